"""From a raw folder to cases: descriptions, names of files, grids, labels, preparation of one case."""
