"""What most tests of the terminal share: the program, one road from raw folders to a model, and tiny phantoms."""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: on a busy machine its threads wait for each other

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from hga_cli.cli.app import app

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell started the tests in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs that tests start would ignore Ctrl-C too

SAMPLE_DATA = Path(__file__).parents[1] / "sample_data"
PLAIN = {"COLUMNS": "300", "HGA_DATA": None, "HGA_RUNS": None, "HGA_DEVICE": None, "FORCE_COLOR": None}
SMALL = {"network.width": 4, "data.spacing": [4, 4, 4], "data.patch": [16, 16, 16], "data.workers": 0}
TINY = {"network.width": 2, "data.batch": 2, "data.patch": [16, 16, 16], "data.workers": 0}
MODALITIES = ("flair", "t1ce", "t1", "t2")


@dataclass(frozen=True)
class Outcome:
    """What a call of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        """The one JSON document on stdout (anything before or after it is an error)."""
        return json.loads(self.out)


def assigned(settings):
    """Return the options that set these settings."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


class Program:
    """``hga`` in this process."""

    def __call__(self, *arguments, code=0, env=None):
        """Run the program and insist on its exit code."""
        words = [str(argument) for argument in arguments]
        result = CliRunner().invoke(app, words, env={**PLAIN, **(env or {})})
        trace = "" if result.exception is None else "".join(traceback.format_exception(result.exception))
        assert result.exit_code == code, f"hga {' '.join(words)}\n{result.stderr}{trace}"
        return Outcome(code=result.exit_code, out=result.stdout, err=result.stderr)

    def refuses(self, *arguments, code, says=(), env=None):
        """Run the program and insist on a refusal: text with error and hint on stderr, nothing else anywhere."""
        outcome = self(*arguments, code=code, env=env)
        assert outcome.out == ""
        assert "Traceback" not in outcome.err
        assert "error: " in outcome.err
        assert "hint: " in outcome.err
        for text in [says] if isinstance(says, str) else says:
            assert text in outcome.err
        return outcome.err


@dataclass(frozen=True)
class Road:
    """What the road left: tests only read it."""

    data_dir: Path
    runs_dir: Path
    said: dict[str, Outcome]

    @property
    def store(self):
        return self.data_dir / "brats"

    @property
    def run(self):
        return self.runs_dir / "road"

    def copy_of_run(self, runs_dir, name="road"):
        """Copy the run into another folder of runs."""
        return Path(shutil.copytree(self.run, runs_dir / name))


@pytest.fixture(scope="session")
def hga():
    return Program()


@pytest.fixture(scope="session")
def sample_data():
    return SAMPLE_DATA


@pytest.fixture(scope="session")
def road(hga, tmp_path_factory):
    """Preprocess, split, make-imbalance and train on ``sample_data``: 2 epochs of 20 steps on a 4 mm grid."""
    top = tmp_path_factory.mktemp("road")
    made = Road(data_dir=top / "data", runs_dir=top / "runs", said={})
    data, runs = ["--data-dir", made.data_dir], ["--runs-dir", made.runs_dir]
    commands = {
        "preprocess": ["preprocess", SAMPLE_DATA, "--dataset", "brats", "--workers", 1, *data],
        "split": ["split", "--dataset", "brats", *data],
        "make-imbalance": ["make-imbalance", "--dataset", "brats", "--rates", "mr2468", *data],
    }
    training = ["--preset", "quick", *assigned(SMALL), "--epochs", 2, "--iterations", 20, "--device", "cpu"]
    commands["train"] = ["train", "--dataset", "brats", *training, "--run", "road", *data, *runs]
    for name, command in commands.items():
        made.said[name] = hga(*command, "--json")
    return made


def affine_of(codes="RAS", spacing=(1.0, 1.0, 1.0), shape=(12, 14, 10)):
    """Return an affine with the centre of the volume at 0 mm and axes that point to ``codes``."""
    matrix = np.zeros((4, 4))
    for axis, (code, step) in enumerate(zip(codes, spacing, strict=True)):
        row = ["LR", "PA", "IS"].index(next(pair for pair in ("LR", "PA", "IS") if code in pair))
        matrix[row, axis] = step if code in "RAS" else -step
    matrix[3, 3] = 1
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    return matrix


def write_volume(path, array, affine):
    """Write a NIfTI file as scanners do: sform and qform in millimetres, both with code 1."""
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


def write_case(folder, case, *, modalities=MODALITIES, label=True, shape=(12, 14, 10), seed=0):
    """Write one tiny case in BraTS 2020 style: an ellipsoid of a brain with nested labels 2, 1 and 4."""
    generator = np.random.default_rng([seed, *case.encode()])
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    labels = np.zeros(shape, np.uint8)
    for value, size in ((2, 0.6), (1, 0.45), (4, 0.3)):
        labels[radius < size] = value
    affine = affine_of(shape=shape)
    for modality in modalities:
        bright = {"flair": (2,), "t1ce": (4,), "t1": (1,), "t2": (1, 2)}[modality]
        image = 500 + 60 * generator.normal(size=shape) + 400 * np.isin(labels, bright)
        write_volume(folder / case / f"{case}_{modality}.nii.gz", np.where(radius < 1, image, 0).astype("i2"), affine)
    if label:
        write_volume(folder / case / f"{case}_seg.nii.gz", labels, affine)
    return folder / case


@pytest.fixture(scope="session")
def phantom() -> Callable[..., Path]:
    """The function that writes a tiny case."""
    return write_case


@pytest.fixture(scope="session")
def volume() -> Callable[..., Path]:
    """The function that writes a NIfTI file."""
    return write_volume


@pytest.fixture(scope="session")
def affine() -> Callable[..., np.ndarray]:
    """The function that makes an affine."""
    return affine_of


@pytest.fixture(scope="session")
def tiny_folder(hga, tmp_path_factory):
    """A store ``brats`` of 11 tiny cases of 10 subjects, with a split, and a run ``start`` that was never trained."""
    top = tmp_path_factory.mktemp("tiny")
    for number in range(1, 11):
        lacks = {2: ("t2",), 3: ("t1", "t2")}.get(number, ())
        modalities = [modality for modality in MODALITIES if modality not in lacks]
        write_case(top / "raw", f"Tiny-{number:05}-000", modalities=modalities)
    write_case(top / "raw", "Tiny-00001-001", seed=1)
    data, runs = ["--data-dir", top / "data"], ["--runs-dir", top / "runs"]
    hga("preprocess", top / "raw", "--workers", 1, *data)
    hga("split", "--dataset", "brats", *data)
    hga("train", "--dataset", "brats", *assigned(TINY), "--epochs", 0, "--run", "start", *data, *runs)
    return top


@dataclass(frozen=True)
class Tiny:
    """A copy of the tiny store and its run, for tests that change things."""

    top: Path

    @property
    def data(self):
        return ["--data-dir", self.top / "data"]

    @property
    def runs(self):
        return ["--runs-dir", self.top / "runs"]

    @property
    def store(self):
        return self.top / "data" / "brats"

    def index_bytes(self):
        """The index of the store, to see whether something was written."""
        return (self.store / "store.h5").read_bytes()

    def training(self, *more):
        """The arguments of a training that takes a fraction of a second."""
        settings = [*assigned(TINY), "--iterations", 4, "--device", "cpu"]
        return ["train", "--dataset", "brats", *settings, *self.data, *self.runs, *more]


@pytest.fixture
def tiny(tiny_folder, tmp_path):
    """A copy of the tiny folder that a test may change."""
    shutil.copytree(tiny_folder, tmp_path / "tiny")
    about = tmp_path / "tiny" / "runs" / "start" / "run.json"
    told = json.loads(about.read_text())
    about.write_text(json.dumps({**told, "store": str(tmp_path / "tiny" / "data" / "brats")}))
    return Tiny(tmp_path / "tiny")


@pytest.fixture(scope="session")
def program_path():
    """The installed program, for tests that need a process of their own."""
    return Path(sys.executable).with_name("hga")
