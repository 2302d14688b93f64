"""``hga predict --overlay``: one PNG for each case, there when the label map is there, gone when it is not."""

import json

import numpy as np
import pytest
from PIL import Image, ImageColor

from hga_cli.reporting.mosaic import FOOT, GAP, TILE, write_mosaic
from hga_cli.reporting.scene import COLOURS

CASE = "Phantom-00006-000"


def picture(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def has(pixels, colour):
    """Tell whether a colour occurs."""
    return bool((pixels == ImageColor.getrgb(colour)).all(-1).any())


@pytest.fixture
def predict(hga, road, sample_data, tmp_path):
    def run(*more, code=0, case=CASE):
        arguments = ["--runs-dir", road.runs_dir, "--device", "cpu", "-o", tmp_path / "masks", "--json"]
        return hga("predict", sample_data / case, *arguments, *more, code=code)

    return run


def test_outlines_are_where_the_prediction_is(scene, tmp_path):
    """Two voxels are predicted, the third and fourth of 6 from behind: the line is around them, in one tile."""
    write_mosaic(tmp_path / "x.png", scene, {"WT": 1.25})
    pixels = picture(tmp_path / "x.png")
    assert pixels.shape == (3 * (TILE + GAP) + FOOT, 3 * (TILE + GAP) - GAP, 3)
    tile = pixels[:TILE, :TILE]
    lines = np.argwhere((tile == ImageColor.getrgb(COLOURS[0])).all(-1))
    assert lines.size
    # 6 voxels of 2 mm fill the height; the scan is 4 mm wide and stands in the middle
    unit = TILE / 12
    assert lines[:, 0].min() == pytest.approx(4 * unit, abs=2)
    assert lines[:, 0].max() == pytest.approx(8 * unit, abs=2)
    left = TILE / 2 - 2 * unit
    assert lines[:, 1].min() == pytest.approx(left + 2 * unit, abs=2)
    assert lines[:, 1].max() == pytest.approx(left + 3 * unit, abs=2)


def test_reference_is_not_drawn(scene, tmp_path):
    write_mosaic(tmp_path / "x.png", scene, {"WT": 0.0})
    scene.labels["reference"][:] = 0
    write_mosaic(tmp_path / "y.png", scene, {"WT": 0.0})
    assert np.array_equal(picture(tmp_path / "x.png")[: TILE - 60], picture(tmp_path / "y.png")[: TILE - 60])


def test_predict_writes_one_and_names_it(predict, tmp_path):
    (result,) = predict("--overlay").document["results"]
    assert result["outputs"]["overlay"] == f"{CASE}_overlay.png"
    pixels = picture(tmp_path / "masks" / f"{CASE}_overlay.png")
    assert has(pixels, COLOURS[0]) == (result["volumes_ml"]["WT"] > 0)
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        f"{CASE}.json",
        f"{CASE}.nii.gz",
        f"{CASE}_overlay.png",
    ]


def test_without_the_option_there_is_none(predict, tmp_path):
    predict()
    assert not list((tmp_path / "masks").glob("*.png"))


def test_finished_case_is_skipped(predict, tmp_path):
    predict("--overlay")
    path = tmp_path / "masks" / f"{CASE}_overlay.png"
    before = path.stat().st_mtime_ns
    (result,) = predict("--overlay").document["results"]
    assert result["skipped"]
    assert path.stat().st_mtime_ns == before


def test_other_wish_is_told(predict):
    predict()
    assert "overlay was False, is True" in predict("--overlay", code=3).err


def test_failed_case_leaves_no_old_picture(predict, tmp_path, monkeypatch):
    predict("--overlay")

    def fail(*_):
        raise OSError(28, "No space left on device", "mask")

    monkeypatch.setattr("hga_cli.workflows.predict.write_label_map", fail)
    predict("--overlay", "--overwrite", code=3)
    assert list((tmp_path / "masks").iterdir()) == []


def test_foreign_picture_is_not_replaced(predict, tmp_path):
    (tmp_path / "masks").mkdir()
    path = tmp_path / "masks" / f"{CASE}_overlay.png"
    path.write_text("mine")
    assert path.name in predict("--overlay", code=3).err
    assert path.read_text() == "mine"


def test_setting_is_the_option(predict, tmp_path):
    predict("--set", "prediction.overlay=true")
    assert (tmp_path / "masks" / f"{CASE}_overlay.png").exists()
    record = json.loads((tmp_path / "masks" / f"{CASE}.json").read_text())
    assert record["settings"]["overlay"] is True
