import pytest
import torch
from torch import nn

from hga_cli.alignment.average import Average
from hga_cli.core.settings import Outer


class Weights(nn.Module):
    """A model that is nothing but its weights."""

    def __init__(self, *values):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(values))


def made(*values, share=0.25):
    model = Weights(*values)
    return model, Average(model, Outer(kind="average", share=share))


def end_cycles_at(model, outer, *values):
    for value in values:
        with torch.no_grad():
            model.theta.fill_(value)
        outer.end_cycle(model, outer.epsilon(0, 10))


def test_the_first_cycles_count_equally_and_the_weights_before_training_not_at_all():
    model, outer = made(100.0)
    end_cycles_at(model, outer, 1.0, 2.0, 6.0)
    assert outer.weights()["theta"].item() == pytest.approx(3.0)


def test_later_cycles_count_with_their_share():
    model, outer = made(0.0, share=0.25)
    end_cycles_at(model, outer, 4.0, 4.0, 4.0, 4.0, 8.0)
    assert outer.weights()["theta"].item() == pytest.approx(0.75 * 4.0 + 0.25 * 8.0)


def test_training_goes_on_from_its_own_weights():
    model, outer = made(0.0)
    end_cycles_at(model, outer, 1.0, 3.0)
    assert model.theta.item() == 3.0
    with outer.weights_in_use():
        assert model.theta.item() == 2.0
    assert model.theta.item() == 3.0


def test_own_weights_come_back_after_an_error():
    model, outer = made(0.0)
    end_cycles_at(model, outer, 1.0, 3.0)
    with pytest.raises(KeyError), outer.weights_in_use():
        raise KeyError
    assert model.theta.item() == 3.0


def test_before_the_first_cycle_ends_the_weights_predict_that_training_began_with():
    model, outer = made(7.0)
    with torch.no_grad():
        model.theta.fill_(1.0)
    assert outer.weights()["theta"].item() == 7.0


def test_a_loaded_one_continues_exactly():
    model, outer = made(0.0, 5.0)
    end_cycles_at(model, outer, 1.0, 3.0)
    other, copy = made(9.0, 9.0)
    state = {name: value.detach().clone() for name, value in outer.state().items()}
    other.load_state_dict(outer.weights(), strict=True)
    copy.load(state)
    assert torch.equal(other.theta, model.theta)
    for one, update in ((model, outer), (other, copy)):
        end_cycles_at(one, update, 2.0, 11.0, 4.0)
    assert torch.equal(outer.weights()["theta"], copy.weights()["theta"])
    state["trained.theta"].zero_()
    assert other.theta.abs().sum() > 0
