"""Does the method pay on a small machine? Train everything in a TOML file, two runs at a time, and say what came out.

``make evidence`` runs it on phantoms; with HGA_REAL_DATA=DIR (a folder of BraTS cases) on real scans, by
cross-validation; with EVIDENCE=long ten times as long. What is done is skipped when it is called again.
"""

import argparse
import os
import random
import subprocess
import sys
import tomllib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import phantoms
import tomli_w
from configs import write_configs
from cost import step_costs
from tables import folds, write_tables

from hga_cli.core.atomic import write_text
from hga_cli.core.config import merged
from hga_cli.data.store import Store

HERE = Path(__file__).parent
EPOCHS = "optim.epochs"
AT_A_TIME = 2
LONG = 10
"""How many times as many epochs EVIDENCE=long trains."""


@dataclass(frozen=True)
class Work:
    """One place where everything is kept."""

    folder: Path
    plan: dict

    @property
    def store(self):
        """The store of the cohort."""
        return self.folder / "data" / "brats"

    @property
    def runs(self):
        """The folder of the run folders."""
        return self.folder / "runs"

    def hga(self, *words):
        """Run one command of ours on one thread; stop where it fails."""
        folders = {"HGA_DATA": str(self.folder / "data"), "HGA_RUNS": str(self.runs)}
        environment = {**os.environ, **folders, "OMP_NUM_THREADS": "1", "HGA_DEVICE": "cpu"}
        subprocess.run([sys.executable, "-m", "hga_cli", *map(str, words)], env=environment, check=True)


def prepare(work, real):
    """Make the store, and for each regime its splits and tables; what is there stays."""
    if not real:
        phantoms.make(work.folder / "raw", work.plan["cohort"]["phantoms"])
    work.hga("preprocess", real or work.folder / "raw", "--dataset", "brats", "--quiet", *_spacing(work.plan))
    store = Store(work.store)
    of_subject = defaultdict(list)
    for case, entry in sorted(store.cases.items()):
        of_subject[entry.subject].append(case)
    for name, regime in work.plan["regimes"].items():
        rates = ",".join(f"{modality}={rate}" for modality, rate in regime["rates"].items())
        for fold in folds(work.plan):
            split = f"{name}-{fold}"
            if split not in store.splits:
                lists = work.folder / "splits" / split
                _write_split(lists, of_subject, regime.get("train"), work.plan["cohort"], fold)
                work.hga("split", "--dataset", "brats", "--quiet", "--from", lists, "--name", split)
            if split not in store.tables:
                table = ["--split", split, "--name", split, "--rates", rates]
                work.hga("make-imbalance", "--dataset", "brats", "--quiet", *table)


def sweeps(work):
    """Yield one sweep file for each run: all of the first seed and fold first, those named first in every regime."""
    for seed, fold, name in product(work.plan["seeds"], folds(work.plan), work.plan["runs"]):
        for regime in work.plan["runs"][name].get("regimes", work.plan["regimes"]):
            yield _sweep(work, regime, fold, name, seed)


def _sweep(work, regime, fold, name, seed):
    run, split = work.plan["runs"][name], f"{regime}-{fold}"
    settings = merged(work.plan["settings"], work.plan["regimes"][regime].get("settings", {}))
    content = {
        "dataset": str(work.store),
        "name": f"{split}.{name}",
        "methods": [run["method"]],
        "seeds": [seed],
        "tables": ["none" if run.get("complete") else split],
        "axes": {"data.split": [split], **{key: [value] for key, value in run.get("settings", {}).items()}},
        "settings": settings,
    }
    file = work.folder / "sweeps" / f"{split}.{name}.s{seed}.toml"
    write_text(file, tomli_w.dumps(content))
    return file


def _write_split(folder, of_subject, train, cohort, fold):
    """Write who trains, validates and tests: the same test subjects for every size of the training part."""
    order = random.Random(1037).sample(list(of_subject), len(of_subject))
    parts = cohort.get("folds", 1)
    test = order[fold - 1 :: parts] if parts > 1 else order[: cohort["test"]]
    others = [subject for subject in order if subject not in set(test)]
    validation = min(cohort["validation"], max(1, len(others) // 5))  # few cases: they are needed for training
    lists = {"val": others[:validation], "test": test, "train": others[validation:][:train]}
    for part, subjects in lists.items():
        cases = sorted(case for subject in subjects for case in of_subject[subject])
        write_text(folder / f"{part}.txt", "\n".join(cases) + "\n")


def stretched(plan, factor):
    """Return a plan in which every run has ``factor`` times as many epochs, the longer ones too."""
    plan = deepcopy(plan)
    plan["settings"]["optim"]["epochs"] *= factor
    for settings in (run["settings"] for run in plan["runs"].values() if "settings" in run):
        if EPOCHS in settings:
            settings[EPOCHS] *= factor
    return plan


def _spacing(plan):
    spacing = plan["cohort"].get("spacing")
    return ["--set", f"preprocess.spacing={spacing}"] if spacing else []


def main():
    """Do what the terminal asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("evidence"))
    folder, real = parser.parse_args().folder, os.environ.get("HGA_REAL_DATA")
    plan = tomllib.loads((HERE / ("real.toml" if real else "phantoms.toml")).read_text(encoding="utf-8"))
    if os.environ.get("EVIDENCE") == "long":
        folder, plan = folder / "long", stretched(plan, LONG)
    work = Work(folder=folder.resolve() / ("real" if real else "phantoms"), plan=plan)
    prepare(work, real)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(lambda file: work.hga("sweep", file, "--quiet"), sweeps(work)))
    work.hga("report", "--leaderboard", work.runs, "--quiet")
    write_configs(work)
    print(write_tables(work, step_costs(work)))


if __name__ == "__main__":
    main()
