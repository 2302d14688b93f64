"""What the tests of ``predict`` and ``export`` share."""

import pytest
from _patients import CASE, SUFFIXES, folder_with, mask, on_road


@pytest.fixture(scope="session")
def files(sample_data):
    """modality -> its file, of a case that has all."""
    return {name: sample_data / CASE / f"{CASE}-{suffix}.nii.gz" for name, suffix in SUFFIXES.items()}


@pytest.fixture
def predict(hga, road, tmp_path):
    """The function that predicts into ``masks`` and returns (outcome, case -> label map)."""

    def run(*arguments, code=0, output=tmp_path / "masks"):
        outcome = hga("predict", *arguments, *on_road(road), "-o", output, code=code)
        return outcome, {path.name.removesuffix(".nii.gz"): mask(path) for path in sorted(output.glob("*.nii.gz"))}

    return run


@pytest.fixture(scope="session")
def expected(hga, road, files, tmp_path_factory):
    """combination -> label map, predicted from folders that hold just these modalities."""
    top = tmp_path_factory.mktemp("expected")
    made = {}
    for names in (("flair",), ("t2",), ("flair", "t2"), tuple(SUFFIXES)):
        folder = folder_with(top / "+".join(names) / "p", files, names)
        hga("predict", folder, *on_road(road), "-o", top / "masks" / "+".join(names))
        made[names] = mask(top / "masks" / "+".join(names) / "p.nii.gz")
    assert len({array.tobytes() for array in made.values()}) == 4  # or comparing them would prove nothing
    return made
