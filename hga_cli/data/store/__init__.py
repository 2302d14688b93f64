"""The store, version 1: what ``hga preprocess`` writes and everything else reads.

A store is a folder::

    store.h5             index: description of the data set, list of cases, splits, imbalance tables
    cases/<case>.h5      one file per case

D H W are the axes of the network's grid: canonical (RAS) orientation, cropped, at the spacing of the store.
"MUST" is what every reader may rely on, "MAY" what it must not.

A case file MUST have

* attributes ``format`` = "hga-case", ``version`` = 1, ``case``, ``subject``, ``modalities`` (JSON list of the present
  ones, in the order of the data set), ``fingerprint`` (hash of sources and settings), ``trail`` (JSON, the way back to
  the files), ``sources`` (JSON, role -> [file name, hash, size in bytes, time of the last change in ns]; the last two
  MAY lack), ``label_values`` (JSON, class -> value in the label file), ``warnings`` (JSON list);
* a data set ``images/<modality>`` (D, H, W) int16 or float32 for each present modality and for no other, with
  attributes ``scale``, ``offset`` (z-score = stored * scale + offset) and ``background`` (z-score of a voxel that
  was 0);
* a data set ``label`` (D, H, W) uint8 of class indices, and ``reference`` uint8 of class indices of the whole file in
  canonical orientation: what predictions are scored against;
* a data set ``foreground/<class index>`` (n, 3) int32 for each class in the label: up to 1000 of its voxels.

It MAY have (newer files do) attributes ``preparation`` (as in the index), ``meaning`` (JSON: modalities, labels with
their values, and layout of the description it was made under) and ``label_voxels`` (JSON, class that occurs -> its
voxels in ``reference``), and on each image an attribute ``digest``: equal ones are the same image. It is a hash of the
values around the image's own foreground (``hga_cli.data.store.identity``); in older files of the values as they are
stored, so that another crop box or type gives another one.

The index MUST have

* attributes ``format`` = "hga-store", ``version`` = 1, ``description`` (JSON), ``preparation`` (JSON: spacing in mm
  that cases were resampled to or null, percentiles that values were clipped to or null, align; older stores have an
  attribute ``spacing`` instead), ``cases`` (JSON, case -> subject, modalities, shape, spacing in mm, label_values,
  label_voxels, fingerprint, digests, sources; the last four MAY lack; ``sources``: modality -> hash of its file),
  ``expected`` (JSON list of the cases that were found in the raw folder and not skipped) and ``skipped`` (JSON list of
  those left out on purpose);
* groups ``splits/<name>`` with data sets ``train``, ``val``, ``test`` (text) and ``imbalance/<name>`` with data sets
  ``cases`` (N) text, ``modalities`` (M) text, ``available`` (N, M) bool; each with an attribute ``about`` (JSON). Where
  ``about`` of a table has ``unit`` = "slice", ``cases`` holds names of axial slices, ``<case>_slice_<k>``, with k the
  index along S in ``reference``.

It MAY have external links ``links/<case>`` to the case files.

Data sets are chunked and every chunk carries a checksum (fletcher32). Readers MUST NOT rely on the size of chunks, nor
on which of them are compressed (lzf) or left out because they hold nothing: HDF5 reads them all alike.
Integer images up to +-32767 that are not resampled are stored as they are, so nothing is lost. Others are quantised to
65535 steps between minimum and maximum; where such a step is more than 0.01 standard deviations, because one voxel is
extreme, z-scores are stored as float32.
Files are made in memory, written under a temporary name and renamed, so a case file is whole or absent. An absent
modality is an absent data set, never zeros.
"""

from hga_cli.data.store.case_file import (
    Box,
    case_path,
    meaning_of,
    stored_fingerprint,
    stored_label_values,
    write_case,
)
from hga_cli.data.store.index import CaseEntry, save_split, save_table, update_index
from hga_cli.data.store.reading import Patch, Store

__all__ = [
    "Box",
    "CaseEntry",
    "Patch",
    "Store",
    "case_path",
    "meaning_of",
    "save_split",
    "save_table",
    "stored_fingerprint",
    "stored_label_values",
    "update_index",
    "write_case",
]
