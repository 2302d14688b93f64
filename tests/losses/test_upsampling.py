import pytest
import torch

from hga_cli.losses.probabilities import probabilities
from hga_cli.losses.upsampling import upsample


@pytest.mark.parametrize("space", [(5,), (5, 4), (5, 4, 3)], ids=["1d", "2d", "3d"])
@pytest.mark.parametrize("factor", [2, 4, 16])
def test_a_ramp_stays_a_ramp_between_the_same_corners(space, factor):
    axes = [torch.linspace(0, i + 1, n, dtype=torch.float64) for i, n in enumerate(space)]
    fine = [torch.linspace(0, i + 1, factor * n, dtype=torch.float64) for i, n in enumerate(space)]
    ramp, wanted = (sum(torch.meshgrid(*a, indexing="ij"))[None, None] for a in (axes, fine))
    torch.testing.assert_close(upsample(ramp, factor), wanted)


@pytest.mark.parametrize(("space", "mode"), [((5, 1), "bilinear"), ((5, 4, 3), "trilinear")])
def test_as_torch_interpolates(space, mode):
    values = torch.randn(2, 3, *space, dtype=torch.float64)
    wanted = torch.nn.functional.interpolate(values, scale_factor=4, mode=mode, align_corners=True)
    torch.testing.assert_close(upsample(values, 4), wanted)


def test_half_precision_and_autocast_do_not_coarsen():
    values = torch.randn(1, 2, 5, 4)
    wanted = upsample(values, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(upsample(values, 2), wanted)
    assert torch.equal(upsample(values.half(), 2), upsample(values.half().float(), 2))


def test_factor_one_is_the_tensor_itself():
    values = torch.randn(1, 2, 3, 3)
    assert upsample(values, 1) is values


def test_enlarged_probabilities_still_sum_to_one():
    q = probabilities(3 * torch.randn(2, 4, 3, 3, 3), temperature=2, factor=4)
    assert q.shape == (2, 4, 12, 12, 12)
    torch.testing.assert_close(q.sum(1), torch.ones(2, 12, 12, 12))
