"""Less memory for more time, and compiled passes: the same training."""

from functools import partial
from itertools import product

import pytest
import torch
from _training import assert_same_tensors, make_store, planned, settings, training_of

from hga_cli.core.combinations import all_combinations
from hga_cli.core.errors import ConfigError
from hga_cli.engine.network import compile_passes, recompute
from hga_cli.networks.backbone import Backbone, Prediction


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("recompute") / "store")


def trained(store, **changes):
    training, patches = training_of(planned(store, settings("hga-published", **changes)))
    losses = [training.learn(patches[step]) for step in range(4)]
    return losses, training.tensors()


def test_computing_again_changes_nothing_but_rounding(store):
    """Modalities are no longer stacked into one batch, for which convolutions may add up in another order.

    With SGD: AdamW makes whole steps of gradients that are nothing but rounding.
    """
    plain, again = (trained(store, optim__optimiser="sgd", optim__recompute=again) for again in (False, True))
    assert again[0] == pytest.approx(plain[0], rel=1e-5)
    for name, tensor in plain[1].items():
        if name.startswith("model"):
            torch.testing.assert_close(again[1][name], tensor, rtol=1e-3, atol=1e-4)


def counted(total, tensor):
    total.append(tensor.numel())
    return tensor


def test_computing_again_keeps_fewer_values(store):
    """Counted in what autograd saves on the way."""
    saved = {}
    for again in (False, True):
        training, patches = training_of(planned(store, settings("joint", optim__recompute=again)))
        batch, total = patches[0], []
        with torch.autograd.graph.saved_tensors_hooks(partial(counted, total), lambda x: x):
            training.model.encode(batch.images)
        saved[again] = sum(total)
    assert saved[True] < 0.5 * saved[False]


def test_network_without_blocks_is_refused():
    class Bare(Backbone):
        encode = fuse = shared_parameters = None

    with pytest.raises(ConfigError, match="backbone 'dynunet_early' has no blocks"):
        recompute(Bare(("a",), 2, 3), "dynunet_early")


class Sums(Backbone):
    """Nothing but what passes have in common: dictionaries by modality, and a combination."""

    def __init__(self):
        super().__init__(("a", "b"), 2, 2)
        self.strength = torch.nn.ParameterDict({name: torch.ones(()) for name in self.modalities})

    def encode(self, images):
        return {name: self.strength[name] * image for name, image in images.items()}

    def fuse(self, features, combination):
        total = sum(features[name] for name in combination)
        return Prediction(logits=total, features=(total,))

    def shared_parameters(self):
        return []


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch itself looks at it
def test_no_combination_is_left_uncompiled(monkeypatch):
    """In training with batches of three sizes, and in validation: torch stops at 8 versions, without an error."""
    modes, ran = [*((torch.enable_grad, batch) for batch in (2, 1, 3)), (torch.inference_mode, 1)], []

    def counting(graph, _):
        return lambda *inputs: (ran.append(1), graph(*inputs))[1]

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counting))
    network = Sums()
    with torch._dynamo.config.patch(recompile_limit=8, accumulated_recompile_limit=8):
        compile_passes(network)
        for (mode, batch), combination in product(modes, all_combinations(network.modalities)):
            with mode():
                features = network.encode({name: torch.ones(batch, 1, 4, 4) for name in combination})
                assert network.fuse(features, combination).logits.mean() == len(combination)
    assert len(ran) == 2 * 4 * 3


def test_passes_are_compiled_and_names_stay(store, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: (compiled.append(function.__name__), function)[1])
    plain, again = trained(store), trained(store, optim__compile=True)
    assert compiled == ["encode", "fuse", "fuse_alone", "decode_alone"]
    assert_same_tensors(plain[1], again[1])
