"""How ``hga info`` shows a store, a run, and what there is. Documents in, tables and lines out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from hga_cli.cli.output import table
from hga_cli.core.combinations import dots
from hga_cli.core.names import KINDS

Document = dict[str, Any]
SHOWN = 5


def overview_parts(document: Document, data_dir: Path, runs_dir: Path) -> list[RenderableType]:
    """Show which stores and runs there are, and what else can be asked."""
    stores = [
        [name, str(one["cases"]), " ".join(one["modalities"]), one["title"]]
        if "error" not in one
        else [name, "?", "", one["error"]]
        for name, one in document["stores"].items()
    ]
    runs = [
        [
            name,
            one["status"],
            f"{one['epochs_done']}/{_text(one['epochs'])}",
            _text(one["method"]),
            _text(one["backbone"]),
        ]
        if "error" not in one
        else [name, one["error"], "", "", ""]
        for name, one in document["runs"].items()
    ]
    return [
        table([f"store in {data_dir}", "cases", "modalities", "title"], stores)
        if stores
        else f"no store in '{data_dir}': make one with 'hga preprocess RAW_DIR'",
        table([f"run in {runs_dir}", "status", "epochs", "method", "backbone"], runs)
        if runs
        else f"no run in '{runs_dir}': make one with 'hga train'",
        f"ask: hga info STORE, hga info RUN, hga info settings, hga info {'|'.join(KINDS)}",
    ]


def run_parts(document: Document) -> list[RenderableType]:
    """Show what a run is, and its mean scores."""
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    rows = [
        ["status", f"{document['status']}, {document['epochs_done']} of {_text(document['epochs'])} epochs"],
        ["method", _text(document["method"])],
        ["backbone", _text(document["backbone"])],
        ["balancer", _text(document["balancer"])],
        ["store", _text(document["store"])],
        ["split, table", f"{_text(document['split'])}, {_text(document['imbalance'])}"],
        ["device", _text(document["device"])],
        ["checkpoint", document["checkpoint"] or "none yet"],
        ["best in validation", document["best"] or "none"],
        ["last change", _text(document["changed"])],
        ["versions", versions or "unknown"],
    ]
    parts: list[RenderableType] = [table(["run", document["run"]], rows)]
    if document["metrics"]:
        scores = [
            [region, _score(one["dice"], 100), _score(one["hd95"], 1)] for region, one in document["metrics"].items()
        ]
        parts.append(table(["mean over combinations", "Dice %", "HD95 mm"], scores, numbers=2))
    else:
        parts.append(f"not evaluated yet: hga evaluate {document['run']}")
    return parts


def store_parts(document: Document, *, verbose: bool) -> list[RenderableType]:
    """Show what is inside a store; with ``verbose`` also one line per case."""
    title = f"{document['name']}: {document['title']}" if document["title"] else document["name"]
    return [
        title,
        f"{len(document['cases'])} cases of {document['subjects']} subjects in {document['store']}, {_size(document)}",
        *_grid_lines(document),
        _picture(document["combinations"], document["modalities"]),
        _rates(document),
        _labels(document),
        _splits(document),
        *(_case_lines(document) if verbose else []),
        *_completeness(document, verbose=verbose),
    ]


def _picture(combinations: dict[str, int], modalities: Sequence[str]) -> RenderableType:
    """Show who misses what: one line of dots for each combination that occurs."""
    rows = [[dots(tuple(name.split("+")), modalities), name or "nothing", str(n)] for name, n in combinations.items()]
    return table([" ".join(modalities), "combination", "cases"], rows, numbers=1)


def _grid_lines(document: Document) -> list[str]:
    if not document["cases"]:
        return []
    shape, spacing = document["shapes"], document["spacings"]
    how = "resampled to these" if document["resampled_to"] else "as in the files"
    return [
        "voxels (smallest, median, largest): " + ", ".join(_times(shape[key]) for key in shape),
        "mm (smallest, median, largest): " + ", ".join(_times(spacing[key]) for key in spacing) + f"; {how}",
    ]


def _labels(document: Document) -> RenderableType:
    total = len(document["cases"])
    rows = [
        [name, f"{one['cases']} of {total}", _number(one["median"]), _number(one["minimum"]), _number(one["maximum"])]
        for name, one in document["voxels"].items()
    ]
    return table(["label", "in cases", "median voxels", "fewest", "most"], rows, numbers=4)


def _rates(document: Document) -> RenderableType:
    """Show the missing rates of the store itself, and of each imbalance table for its training cases."""
    modalities = document["modalities"]
    rows = [
        ["the store", *(f"{document['missing_rates'][name]:.2f}" for name in modalities), str(len(document["cases"]))]
    ]
    for name, one in document["tables"].items():
        wanted = one["wanted"] or {}
        cells = [f"{one['realised'][key]:.2f} ({_rate(wanted.get(key))})" for key in modalities]
        rows.append([f"table {name}", *cells, str(one["rows"])])
    about = "missing rates" + ("; of tables: realised (wanted)" if document["tables"] else "")
    return table(["missing in", *modalities, "cases"], rows, title=about, numbers=len(modalities) + 1)


def _splits(document: Document) -> RenderableType:
    if not document["splits"]:
        return f"no split yet: hga split --dataset {document['store']}"
    rows = [[name, *(str(len(cases)) for cases in parts.values())] for name, parts in document["splits"].items()]
    return table(["cases of split", "train", "val", "test"], rows, numbers=3)


def _case_lines(document: Document) -> list[str]:
    """Return one line for each case: dots, shape, voxel size, label voxels."""
    width = max(map(len, document["cases"]), default=0)
    return [
        f"{case:<{width}}  {dots(tuple(one['modalities']), document['modalities'])}  {_times(one['shape'])}  "
        f"{_times(one['spacing'])} mm  {_voxels(one)}"
        for case, one in document["cases"].items()
    ]


def _completeness(document: Document, *, verbose: bool) -> list[str]:
    lines = []
    for key, text in (("missing_cases", "cases lack (run 'hga preprocess' again)"), ("skipped", "cases were left out")):
        if document[key]:
            lines.append(f"{len(document[key])} {text}: {_some(document[key], verbose=verbose)}")
    unusable = document["unusable_splits"]
    if not document["missing_cases"]:
        but = f"; but splits cannot be used: {', '.join(unusable)}" if unusable else ""
        lines.append(f"complete: all {len(document['expected'])} expected cases are there{but}")
    lines += [f"cannot be used: {text} (make another: hga split --name NAME)" for text in unusable.values()]
    lines += [f"damaged: {text}" for text in document["damaged"].values()]
    warnings = [f"{case}: {text}" for case, texts in document["warnings"].items() for text in texts]
    if warnings:
        lines.append(f"{len(warnings)} warnings: " + _some(warnings, verbose=verbose, between="; "))
    return lines


def _some(items: Sequence[str], *, verbose: bool, between: str = ", ") -> str:
    shown = items if verbose else items[:SHOWN]
    return between.join(shown) + (" ... (-v shows all)" if len(shown) < len(items) else "")


def _size(document: Document) -> str:
    total = document["bytes"] / 1e6
    return f"{total:.1f} MB on disk ({total / max(1, len(document['cases'])):.1f} MB per case)"


def _voxels(case: Document) -> str:
    if case["label_voxels"] is None:
        return "label voxels unknown"
    return ", ".join(f"{name} {count}" for name, count in case["label_voxels"].items()) or "no label voxels"


def _times(values: Sequence[float]) -> str:
    return "x".join(f"{value:g}" for value in values)


def _number(value: float | None) -> str:
    return "unknown" if value is None else str(round(value))


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _score(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:.1f}"


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
