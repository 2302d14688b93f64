import pytest
import torch

from hga_cli.core.errors import ConfigError
from hga_cli.networks.sizes import cropped, fitting_size, padded, require_fitting_patch


@pytest.mark.parametrize(
    ("space", "stride", "fitting"),
    [
        ((80, 80, 80), 16, (80, 80, 80)),
        ((80, 80, 80), 32, (96, 96, 96)),
        ((81, 16, 15), 16, (96, 16, 16)),
        ((64, 64, 1), 32, (64, 64, 32)),
        ((16, 16, 16), 16, (32, 32, 32)),
        ((5, 1, 9), 16, (32, 32, 32)),
        ((33, 7), 16, (48, 16)),
        ((16, 16), 16, (32, 32)),
    ],
    ids=str,
)
def test_the_next_size_that_fits(space, stride, fitting):
    assert fitting_size(space, stride) == fitting
    assert fitting_size(fitting, stride) == fitting


@pytest.mark.parametrize("space", [(80, 80, 80), (17, 30, 1), (5, 5)], ids=str)
def test_padding_keeps_what_is_there_and_adds_zeros_behind_it(space):
    image = torch.randn(2, 1, *space, generator=torch.Generator().manual_seed(0))
    whole = padded(image, 16)
    assert whole.shape == (2, 1, *fitting_size(space, 16))
    assert torch.equal(cropped(whole, space), image)
    assert torch.count_nonzero(whole) == torch.count_nonzero(image)


@pytest.mark.parametrize("patch", [None, (64, 64, 32), [32, 32, 32], (32, 16)], ids=str)
def test_patches_that_fit(patch):
    require_fitting_patch(patch, 16, "dynunet")


@pytest.mark.parametrize(
    ("patch", "next_size"), [((80, 80, 80), "[96, 96, 96]"), ((32, 32, 32), "[64, 64, 64]"), ((64, 40), "[64, 64]")]
)
def test_a_patch_that_does_not_fit_is_refused_with_the_next_that_does(patch, next_size):
    with pytest.raises(ConfigError) as caught:
        require_fitting_patch(patch, 32, "swinunetr")
    for part in ("x".join(map(str, patch)), "'swinunetr'", "multiple of 32", "at least 64"):
        assert part in caught.value.message
    assert caught.value.hint == f"set data.patch = {next_size}"
