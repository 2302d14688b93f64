"""Prototypical modal rebalance: by hand, and who is pulled where. What all terms keep to is in test_rival_terms."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from test_rival_terms import NAMES, labelled, outputs

from hga_cli.alignment.pmr import PrototypicalRebalance
from hga_cli.alignment.prototypes import compactness
from hga_cli.core.errors import ConfigError


def pmr_by_loops(seen, weight):
    """name -> losses (B,), number by number."""
    label = seen.label.flatten(1).numpy()
    names = list(seen.alone)
    score, cross, certainty = (np.zeros((len(names), len(label))) for _ in range(3))
    for place, b in product(range(len(names)), range(len(label))):
        f = seen.alone[names[place]].feature[b].flatten(1).numpy()
        classes = sorted(set(label[b]))
        centres = [f[:, label[b] == c].mean(1, keepdims=True) for c in classes]
        weights = np.exp(-np.stack([np.linalg.norm(f - centre, axis=0) for centre in centres]))
        a = weights / weights.sum(0)
        own = a[[classes.index(c) for c in label[b]], range(len(label[b]))]
        score[place, b], cross[place, b] = own.mean(), -np.log(np.clip(own, 0.005, 1)).mean()
        certainty[place, b] = math.log(len(classes)) + (a * np.log(np.clip(a, 0.005, 1))).sum(0).mean()
    ratio = score / ((score.sum(0) - score) / (len(names) - 1))
    slow, fast = np.clip(1 / ratio - 1, 0, 1), np.clip(ratio - 1, 0, 1)
    return dict(zip(names, slow * cross + weight * fast * certainty, strict=True))


def told_apart(seen, name, by):
    """The same, where the feature of a modality tells the classes apart better."""
    better = seen.alone[name].feature + by * seen.label.unsqueeze(1)
    return replace(seen, alone={**seen.alone, name: replace(seen.alone[name], features=(better,))})


@pytest.mark.parametrize("names", [NAMES, ("flair", "t2")], ids="+".join)
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_rebalance_by_loops(names, weight):
    seen = told_apart(labelled(names), "t2", 1.0)
    found = PrototypicalRebalance(entropy=weight)(seen).losses
    for name, wanted in pmr_by_loops(seen, weight).items():
        np.testing.assert_allclose(found[name].numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_modalities_as_good_as_each_other_have_no_rebalance():
    one = labelled().alone["flair"]
    seen = replace(labelled(), alone=dict.fromkeys(NAMES, one))
    for loss in PrototypicalRebalance(entropy=1.0)(seen).losses.values():
        torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-7, rtol=0)


def test_who_is_behind_is_pulled_to_its_prototypes_and_who_is_ahead_is_kept_unsure():
    """A step along the negative gradient lowers the compactness of the one, and the score of the other."""
    seen = told_apart(labelled(), "t2", 2.0)
    for one in seen.alone.values():
        one.feature.requires_grad_()
    losses = PrototypicalRebalance(entropy=1.0)(seen).losses
    assert (losses["flair"] > 0).all()
    assert (losses["t2"] > 0).all()
    for name in ("flair", "t2"):
        feature = seen.alone[name].feature
        losses[name].sum().backward()
        moved = feature.detach() - 0.1 * feature.grad / feature.grad.abs().max()
        before, after = (compactness(one, seen.label, 3, compactness_weight=0.0) for one in (feature, moved))
        assert ((after[0] < before[0]) == (name == "flair")).all()
        assert ((after[1] < before[1]) == (name == "t2")).all()


def test_the_rebalance_of_one_modality_moves_no_other():
    """Scores and their ratio are constants."""
    seen = told_apart(labelled(), "t2", 1.0)
    for one in seen.alone.values():
        one.feature.requires_grad_()
    PrototypicalRebalance()(seen).losses["flair"].sum().backward()
    assert seen.alone["flair"].feature.grad.abs().max() > 0
    assert seen.alone["t2"].feature.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_one_modality_alone_has_no_rebalance(name):
    assert PrototypicalRebalance()(labelled((name,))).losses == {}


def test_a_sample_of_one_class_has_no_rebalance():
    """Every modality is sure of it."""
    for loss in PrototypicalRebalance()(outputs()).losses.values():
        torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-7, rtol=0)


@pytest.mark.parametrize("entropy", [-0.1, float("inf"), float("nan")])
def test_an_entropy_without_sense_is_an_error(entropy):
    with pytest.raises(ConfigError, match="'entropy' of term 'pmr'") as caught:
        PrototypicalRebalance(entropy=entropy)
    assert "terms.pmr.options.entropy" in caught.value.hint
