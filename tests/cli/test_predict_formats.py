"""What ``hga predict`` takes besides BraTS-like NIfTI files: other formats, any names, folders it wrote into."""

import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK
from _patients import STRANGE, folder_with, on_road


def converted(path, folder, name):
    """Let ITK convert a NIfTI file."""
    folder.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(folder / name), True)
    return folder / name


class TestOtherFormats:
    """MetaImage and NRRD."""

    @pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
    def test_case_folder(self, predict, files, expected, tmp_path, suffix):
        for name in ("flair", "t2"):
            converted(files[name], tmp_path / "in" / STRANGE, f"p_{name}{suffix}")
        masks = predict(tmp_path / "in")[1]
        assert np.array_equal(masks["p"], expected["flair", "t2"])
        scan, made = nibabel.load(files["flair"]), nibabel.load(tmp_path / "masks" / "p.nii.gz")
        np.testing.assert_allclose(made.affine, scan.affine, atol=2e-4)

    @pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
    @pytest.mark.parametrize("put_together", [SimpleITK.Compose, SimpleITK.JoinSeries], ids=["vectors", "volumes"])
    def test_all_modalities_in_one_file(self, predict, files, expected, tmp_path, suffix, put_together):
        """In any order, several numbers for each voxel or volumes along a fourth axis."""
        whole = put_together([SimpleITK.ReadImage(str(files[name])) for name in ("t2", "flair")])
        SimpleITK.WriteImage(whole, str(tmp_path / f"p{suffix}"), True)
        masks = predict(tmp_path / f"p{suffix}", "--modalities", "t2,flair")[1]
        assert np.array_equal(masks["p"], expected["flair", "t2"])
        scan, made = nibabel.load(files["flair"]), nibabel.load(tmp_path / "masks" / "p.nii.gz")
        np.testing.assert_allclose(made.affine, scan.affine, atol=2e-4)

    def test_beside_nifti(self, predict, files, expected, tmp_path):
        folder = folder_with(tmp_path / "in", files, ["flair"])
        converted(files["t2"], folder, "p_t2.mha")
        assert np.array_equal(predict(folder)[1]["p"], expected["flair", "t2"])

    def test_one_file_twice(self, hga, road, files, tmp_path):
        folder = folder_with(tmp_path / "in", files, ["flair"])
        converted(files["flair"], folder, "p_flair.nrrd")
        outcome = hga("predict", folder, *on_road(road), "-o", tmp_path / "masks", code=3)
        assert "2 files for flair, expected one" in outcome.err
        assert "unreadable" not in outcome.err

    def test_damaged(self, hga, road, tmp_path):
        (tmp_path / "p_flair.nrrd").write_bytes(b"NRRD0004\n")
        outcome = hga("predict", tmp_path / "p_flair.nrrd", *on_road(road), "-o", tmp_path / "masks", code=3)
        assert "p_flair.nrrd: is not a whole .nrrd file" in outcome.err


class TestAssignedImages:
    """``--image MODALITY=FILE``."""

    @pytest.mark.parametrize(
        ("names", "case"),
        [
            (("flair.nii.gz", "t2.nii.gz"), "in"),
            (("p17_a.nii.gz", "p17_b.nii.gz"), "p17"),
            (("p17-t1.nii.gz", "p17-t2.nii.gz"), "p17"),
            (("p17 17.nii.gz", "p17 18.nii.gz"), "p17"),
            (("scan.nii.gz", "scan_2.nii.gz"), "scan"),
            (("1.2.3.nii.gz", "1.2.4.nii.gz"), "1.2"),
            (("00345a.nii.gz", "00345b.nii.gz"), "in"),
        ],
    )
    def test_any_names(self, predict, files, expected, tmp_path, names, case):
        (tmp_path / "in").mkdir()
        paths = [tmp_path / "in" / name for name in names]
        for name, path in zip(("t2", "flair"), paths, strict=True):
            shutil.copy(files[name], path)
        outcome, masks = predict("--image", f"t2={paths[0]}", "--image", f"flair={paths[1]}", "--json")
        assert list(masks) == [case]
        assert np.array_equal(masks[case], expected["flair", "t2"])
        assert outcome.document["results"][0]["modalities"] == {"flair": str(paths[1]), "t2": str(paths[0])}

    def test_names_of_files_do_not_matter(self, predict, files, expected, tmp_path):
        """What is said is believed: a file called t2 is given as flair, and alone."""
        shutil.copy(files["flair"], tmp_path / "x_t2.nii.gz")
        masks = predict("--image", f"flair={tmp_path / 'x_t2.nii.gz'}")[1]
        assert np.array_equal(masks["x_t2"], expected["flair",])

    def test_same_file_twice(self, predict, files):
        """[P05]"""
        err = predict("--image", f"flair={files['flair']}", "--image", f"t2={files['flair']}")[0].err
        assert "flair and t2 are the same image" in err

    @pytest.mark.parametrize(
        "images",
        [["t1cee=FILE"], ["FILE"], ["flair=FILE", "flair=FILE"], ["=FILE"]],
        ids=lambda images: " ".join(images),
    )
    def test_refused(self, hga, road, files, tmp_path, images):
        words = [word for one in images for word in ("--image", one.replace("FILE", str(files["flair"])))]
        says = ["expected MODALITY=FILE", "known: flair, t1, t1ce, t2"]
        hga.refuses("predict", *words, *on_road(road), "-o", tmp_path / "masks", code=2, says=says)
        assert not (tmp_path / "masks").exists()

    @pytest.mark.parametrize(
        ("value", "says"),
        [("absent.nii.gz", "no file or folder"), (".", "is not a NIfTI file"), ("x.dcm", "is not a NIfTI file")],
    )
    def test_no_image(self, hga, road, tmp_path, monkeypatch, value, says):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "x.dcm").touch()
        hga.refuses("predict", "--image", f"flair={value}", *on_road(road), code=3, says=[says, value])

    def test_not_together_with_other_inputs(self, hga, road, files):
        image = ["--image", f"flair={files['flair']}"]
        for more in ([files["t2"]], ["--modalities", "flair,t2"]):
            hga.refuses("predict", *image, *more, *on_road(road), code=2, says="one of them")


class TestOwnLabelMaps:
    """Label maps that lie where the scans lie are not taken for scans, and never replace them."""

    @pytest.mark.parametrize("place", [".", "masks", "deep/er"])
    def test_output_inside_the_input(self, predict, files, tmp_path, place):
        folder_with(tmp_path / "in" / "p", files, ["flair"])
        more = ["--set", "prediction.uncertainty=true"]
        first = predict(tmp_path / "in", *more, output=tmp_path / "in" / place)[0]
        folder_with(tmp_path / "in" / "q", files, ["t2"], "q")
        again = predict(tmp_path / "in", *more, "--json", output=tmp_path / "in" / place)[0]
        assert "warning" not in first.err + again.err
        assert [(one["case"], one["skipped"]) for one in again.document["results"]] == [("p", True), ("q", False)]

    def test_beside_the_scans(self, predict, files, tmp_path):
        folder = folder_with(tmp_path / "p", files, ["flair", "t2"])
        predict(folder, output=folder)
        outcome = predict(folder, "--json", output=folder)[0]
        assert outcome.err.count("warning") == 0
        assert outcome.document["results"][0]["skipped"] is True

    def test_nothing_but_label_maps(self, hga, road, predict, files, tmp_path):
        predict(files["flair"])
        says = ["only label maps that 'hga predict' wrote", str(tmp_path / "masks")]
        hga.refuses("predict", tmp_path / "masks", *on_road(road), "-o", tmp_path / "more", code=3, says=says)

    def test_outputs_of_two_cases(self, hga, road, files, tmp_path):
        for case in ("p", "p_entropy"):
            folder_with(tmp_path / "in" / case, files, ["flair"], case)
        more = ["--set", "prediction.uncertainty=true"]
        arguments = ["predict", tmp_path / "in", *on_road(road), "-o", tmp_path / "masks"]
        hga.refuses(*arguments, *more, code=2, says="cases 'p' and 'p_entropy' would both write")
        assert len(hga(*arguments, "--json").document["results"]) == 2

    @pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=["", "overwrite"])
    def test_scan_is_never_replaced(self, hga, road, files, tmp_path, more):
        scan = tmp_path / "p.nii.gz"
        shutil.copy(files["flair"], scan)
        arguments = ["predict", "--image", f"flair={scan}", *on_road(road), "-o", tmp_path, *more]
        hga.refuses(*arguments, code=2, says=["would overwrite the scan", "-o masks"])
        assert scan.read_bytes() == files["flair"].read_bytes()
