"""How the weights move: optimisers, warm-up, clipping, batches in parts, number formats."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from _training import assert_same_tensors, make_store, planned, run_folder, settings, training_of

from hga_cli.core.errors import ConfigError, SetupError
from hga_cli.core.settings import Optim
from hga_cli.data.loading import in_parts
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.optimiser import gradient_norm, learning_rate
from hga_cli.engine.precision import check_precision
from hga_cli.losses.segmentation import cross_entropy, dice
from hga_cli.workflows.train import train


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cases = {f"case-{number}": ("flair", "t1ce", "t2") for number in range(4)}
    return make_store(tmp_path_factory.mktemp("optimiser") / "store", cases)


def one_step(store, **changes):
    training, patches = training_of(planned(store, settings("joint", data__batch=4, **changes)))
    training.learn(patches[0])
    return training


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_each_optimiser_trains_and_is_resumed_bit_for_bit(store, tmp_path, name, kind):
    config = settings("joint", optim__optimiser=name, optim__epochs=3, optim__iterations=2)
    straight = run_folder(tmp_path / "straight")
    train(planned(store, config), straight)
    training, patches = training_of(planned(store, config))
    assert type(training.optimiser) is kind
    for step in range(3):
        training.learn(patches[step])
    tensors, state = training.tensors(), training.state()
    again, _ = training_of(planned(store, config))
    again.load(tensors, state)
    for step in range(3, 6):
        again.learn(patches[step])
        if (step + 1) % 2 == 0:
            again.end_epoch()
    assert_same_tensors(again.tensors(), load_checkpoint(straight.last)[0])


def test_warm_up_rises_to_the_schedule():
    plain, warm = Optim(epochs=10, learning_rate=1.0), Optim(epochs=10, learning_rate=1.0, warm_up=4)
    shares = [learning_rate(warm, epoch) / learning_rate(plain, epoch) for epoch in range(10)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])


def test_clipping_shortens_the_gradient_and_keeps_its_direction(store):
    free, held = one_step(store), one_step(store, optim__clip_norm=1e-3)
    assert gradient_norm(free.model.parameters()) > 1e-2
    assert gradient_norm(held.model.parameters()) == pytest.approx(1e-3, rel=1e-3)
    flat = [torch.cat([one.grad.reshape(-1) for one in training.model.parameters()]) for training in (free, held)]
    assert float(torch.cosine_similarity(*flat, dim=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("method", ["hga", "hga-published"])
@pytest.mark.parametrize("parts", [2, 3, 9])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(store, method, parts):
    found = []
    for accumulate in (1, parts):
        training, patches = training_of(planned(store, settings(method, data__batch=4, optim__accumulate=accumulate)))
        loss = training.learn(patches[0])
        found.append(
            (loss, torch.cat([one.grad.reshape(-1) for one in training.model.parameters() if one.grad is not None]))
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    whole, pieces = found[0][1], found[1][1]
    assert float((whole - pieces).norm() / whole.norm()) < 3e-4  # clipped probabilities fall on either side


def test_parts_of_a_batch_hold_every_case_once(store):
    _, patches = training_of(planned(store, settings("joint", data__batch=4)))
    batch = patches[0]
    parts = list(in_parts(batch, 3))
    assert [case for part, _ in parts for case in part.cases] == list(batch.cases)
    assert sum(share for _, share in parts) == pytest.approx(1)
    assert [len(part.label) for part, _ in parts] == [2, 1, 1]
    for name, image in batch.images.items():
        assert torch.equal(torch.cat([part.images[name] for part, _ in parts]), image)


def test_fp16_without_cuda_is_refused(store):
    with pytest.raises(SetupError, match="fp16 needs a CUDA device") as caught:
        planned(store, settings("joint", optim__precision="fp16"))
    assert caught.value.exit_code == 5
    check_precision(torch.device("cuda:0"), "fp16")
    check_precision(torch.device("cpu"), "bf16")


def test_large_rate_ends_with_an_error_and_good_checkpoints(store, tmp_path):
    """Case T07: within a few steps, with cases and combination, and no weight that is no number in any checkpoint."""
    run = run_folder(tmp_path / "run")
    wild = settings("joint", optim__learning_rate=1e30, optim__optimiser="sgd", optim__epochs=9, optim__iterations=1)
    with pytest.raises(
        ConfigError, match=r"not finite at epoch \d+, step \d+, combination flair\+t1ce\+t2, cases case-"
    ):
        train(planned(store, wild), run)
    for path in (run.last, run.previous):
        if path.exists():
            assert all(torch.isfinite(tensor.float()).all() for tensor in load_checkpoint(path)[0].values())


@pytest.mark.parametrize("loss", [dice, cross_entropy])
def test_losses_do_not_overflow_in_half_precision(loss):
    """Case T09: 48^3 voxels of foreground are more than float16 can count."""
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=(1, 2, 48, 48, 48)).astype(np.float16)).requires_grad_()
    label = torch.ones((1, 48, 48, 48), dtype=torch.long)
    value = loss(logits, label)
    exact = loss(logits.detach().float(), label)
    assert float(value.detach()) == pytest.approx(float(exact), abs=1e-3)
    value.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert math.isfinite(float(value.detach()))


def test_settings_of_the_optimiser_may_not_change_on_resume(store, tmp_path):
    config = settings("joint", optim__epochs=2, optim__iterations=1)
    run = run_folder(tmp_path / "run")
    train(planned(store, config), run)
    changed = replace(config, optim=replace(config.optim, clip_norm=1.0))
    with pytest.raises(ConfigError, match=r"optim\.clip_norm was None, is 1\.0"):
        train(planned(store, changed), run, resume=True)


@pytest.mark.parametrize("planes", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_bf16_on_a_cpu_refuses_what_torch_computes_wrongly(store, planes, layout):
    """Two planes at a level of the U-Net, whichever: gradients of any size, and no error of torch."""
    chosen = settings("joint", optim__precision="bf16", optim__layout=layout, data__patch=[planes, 32, 16])
    training, patches = training_of(planned(store, chosen))
    with pytest.raises(ConfigError, match="two voxels left at some level") as caught:
        training.learn(patches[0])
    assert "fp32" in caught.value.hint


@pytest.mark.parametrize("planes", [24, 48])
def test_bf16_on_a_cpu_takes_other_patches(store, planes):
    training, patches = training_of(
        planned(store, settings("joint", optim__precision="bf16", data__patch=[planes, 16, 16]))
    )
    assert math.isfinite(training.learn(patches[0]))
