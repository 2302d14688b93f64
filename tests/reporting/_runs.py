"""Run folders as training and evaluation leave them, with chosen scores."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

from hga_cli.core.config import resolve, to_toml
from hga_cli.core.run_folder import RunFolder

MODALITIES = ("flair", "t2")
COMBINATIONS = ("flair", "t2", "flair+t2")
CASES = "ABCDEF"
RULES = {
    "name": "hga",
    "empty": "Both empty: 1.",
    "hd95": "pooled, mm",
    "grid": "original",
    "regions": {"WT": 0, "ET": 500},
    "surface_dice_tolerance_mm": 1.0,
    "interval": {"level": 0.95, "method": "bootstrap over subjects", "draws": 2000, "seed": 1037},
}


def scores(flair, t2, both, *, worse=0.0, hd95=5.0, lacks=()):
    """Rows of the cases: WT is 0.05 above these numbers and ET as far below; case i loses ``worse`` i times.

    Args:
        flair, t2, both: Dice with each combination, as a mean over the two regions.
        worse: see above.
        hd95: everywhere, mm.
        lacks: (case, combination) that were not scored.
    """
    return [
        {
            "case": case,
            "subject": case,
            "combination": combination,
            "region": region,
            "dice": dice - worse * number + shift,
            "hd95": hd95,
        }
        for number, case in enumerate(CASES)
        for combination, dice in zip(COMBINATIONS, (flair, t2, both), strict=True)
        for region, shift in (("WT", 0.05), ("ET", -0.05))
        if (case, combination) not in lacks
    ]


def metrics(name, rows, *, rules=RULES, split="a" * 32):
    """A document of ``metrics.json``."""

    def mean(score, **where):
        known = [row[score] for row in rows if all(row[key] == value for key, value in where.items())]
        return fmean(value for value in known if value is not None)

    def cell(region, **where):
        return {score: mean(score, region=region, **where) for score in ("dice", "hd95")}

    table = {one: {region: cell(region, combination=one) for region in ("WT", "ET")} for one in COMBINATIONS}
    means = {
        region: {score: fmean(table[one][region][score] for one in COMBINATIONS) for score in ("dice", "hd95")}
        for region in ("WT", "ET")
    }
    return {
        "run": name,
        "split": "test",
        "conventions": rules,
        "modalities": list(MODALITIES),
        "combinations": table,
        "mean": means,
        "overall": {},
        "cases": rows,
        "origin": {
            "model": {"digest": name},
            "split": {"name": "default", "part": "test", "digest": split},
            "settings": asdict(resolve().evaluation),
        },
    }


class Runs:
    """A folder of runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name, rows, *, method="joint", seed=1, sources=None, store="nowhere/brats", **more):
        """Write one run; ``more`` goes to its settings (``balancer``) or to its scores (``rules``, ``split``)."""
        scoring = {key: more.pop(key) for key in ("rules", "split") if key in more}
        config = resolve(flags={"method.name": method, "seed": seed, "optim.balancer": more.pop("balancer", None)})
        data = replace(config.data, split="default", imbalance=more.pop("imbalance", "none"))
        config = replace(config, data=data, optim=replace(config.optim, **more))
        run = RunFolder(self.path / name)
        run.path.mkdir(parents=True)
        run.write_config(to_toml(config))
        about = {"status": "finished", "changed": "2026-01-01", "store": str(store)}
        run.write_about({**about, "sources": {"available": "b", "cases": "c", **(sources or {})}})
        if rows is not None:
            text = json.dumps(metrics(name, rows, **scoring))
            (run.path / "metrics.json").write_text(text, encoding="utf-8")
        return run
