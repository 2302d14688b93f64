"""Methods that do not fit backbone or data set are refused by what their terms declare."""

import pytest

from hga_cli.alignment.requirements import require_fit
from hga_cli.core.catalog import BACKBONES, shipped
from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError

MODALITIES = ("flair", "t1ce", "t2")
FITTING = {
    "mag-deepest": {"unet", "shaspec"},
    "shaspec": {"shaspec"},
    "shaspec-gss": {"shaspec"},
    "shaspec-hga": {"shaspec"},
    "shaspec-mag": {"shaspec"},
}
"""Method -> the backbones that it fits; all others fit every one."""


def method(name, *assignments):
    return resolve(flags={"method.name": name}, assignments=assignments).method


@pytest.mark.parametrize("backbone", BACKBONES.entries)
@pytest.mark.parametrize("name", shipped("presets/methods"))
def test_every_method_fits_or_is_refused(name, backbone):
    fitting = FITTING.get(name, set(BACKBONES.entries))
    if backbone in fitting:
        require_fit(method(name), backbone, MODALITIES)
        return
    with pytest.raises(ConfigError, match=f"method '{name}': term .* backbone '{backbone}' does not have") as caught:
        require_fit(method(name), backbone, MODALITIES)
    listed = caught.value.hint.partition(";")[0].removeprefix("--backbone ").split(" or ")
    assert set(listed) == fitting


def test_the_error_says_what_each_term_looks_at_and_how_to_do_without():
    with pytest.raises(ConfigError) as caught:
        require_fit(method("shaspec-mag"), "unet", MODALITIES)
    assert "'shared' looks at shared and specific features" in str(caught.value)
    assert "'features'" not in str(caught.value)
    _, without = caught.value.hint.split("; or ")
    words = without.replace("--set ", "").split()
    require_fit(method("shaspec-mag", *words), "unet", MODALITIES)


def test_a_term_without_weight_needs_nothing():
    off = method("mag-deepest", "method.terms.features.weight=0")
    require_fit(off, "dynunet", MODALITIES)


def test_a_leader_that_is_no_modality_of_the_data_set_is_refused():
    led = method("gss", "method.terms.group.options.leader=flaire")
    with pytest.raises(ConfigError, match="names 'flaire', which is no modality") as caught:
        require_fit(led, "unet", MODALITIES)
    assert "did you mean 'flair'" in caught.value.hint
    require_fit(method("gss", "method.terms.group.options.leader=t2"), "unet", MODALITIES)
