"""``hga info backbones``: what each can do, and how many parameters it has beside the published ones."""

from hga_cli.core.backbones import BACKBONES


def test_what_each_backbone_can_do(hga):
    found = {one["name"]: one for one in hga("info", "backbones", "--json").document["backbones"]}
    assert found.keys() == BACKBONES.entries.keys()
    m2ftrans, shaspec = found["m2ftrans"], found["shaspec"]
    assert (m2ftrans["fusion"], m2ftrans["separate_decoder"], m2ftrans["dims"]) == ("in between", True, [2, 3])
    assert (m2ftrans["deep_supervision"], m2ftrans["patch_multiple"]) == ([1, 2, 4, 8, 16], 16)
    assert shaspec["abilities"] == ["shared and specific features", "the deepest feature"]
    assert (m2ftrans["recompute"], shaspec["recompute"]) == (True, False)
    assert "\noptim.recompute: no\n" in hga("info", "backbones", "shaspec").out
    out = hga("info", "backbones").out.splitlines()
    rows = {
        cells[0]: cells[1:]
        for cells in ([cell.strip() for cell in line.split("│")[1:-1]] for line in out)
        if len(cells) == 7
    }
    assert rows["rfnet"] == ["2D 3D", "in between", "yes", "1 to 1/8", "-", "n x 8"]
    assert rows["unet"] == ["2D 3D", "late", "no", "no", "deepest", "any"]
    assert rows.keys() == BACKBONES.entries.keys()


def test_parameters_of_a_backbone_beside_the_published_ones(hga):
    out = hga("info", "backbones", "swinunetr_early").out
    assert "62,191,986 ours, 62,191,990 published (-4: the output layer has no bias)" in out
    assert "2,381,792 ours, 2,381,792 published\n" in hga("info", "backbones", "rfnet").out
    document = hga("info", "backbones", "swinunetr_early", "--json").document
    counts = {"ours": 62_191_986, "published": 62_191_990, "reason": "the output layer has no bias"}
    assert (document["text"], document["parameters"]) == (out, counts)
