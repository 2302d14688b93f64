import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from _training import (
    CASES,
    MODALITIES,
    assert_same_tensors,
    journal,
    make_store,
    planned,
    run_folder,
    settings,
    training_of,
)

from hga_cli.core.errors import ConfigError
from hga_cli.core.settings import Optim
from hga_cli.data.store import Store
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.optimiser import learning_rate
from hga_cli.workflows.train import train

RATES = json.loads((Path(__file__).parent / "golden_learning_rate.json").read_text())["rates"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("step") / "store")


def test_learning_rate_as_published():
    for line in RATES:
        optim = Optim(learning_rate=line["base"], epochs=line["epochs"])
        assert learning_rate(optim, line["epoch"]) == pytest.approx(line["rate"], abs=1e-8)
        assert learning_rate(optim, line["epoch"]) == pytest.approx(line["rate"], rel=1e-5)  # float32 of the reference


def test_every_step_of_an_epoch_uses_its_rate(store):
    training, patches = training_of(planned(store, settings(optim__iterations=3, optim__epochs=4)))
    used = []
    for step in range(12):
        training.learn(patches[step])
        used.append(training.optimiser.param_groups[0]["lr"])
    assert used == [learning_rate(training.scheme.config.optim, epoch) for epoch in range(4) for _ in range(3)]


def test_the_optimiser_is_adamw_with_amsgrad(store):
    training, _ = training_of(planned(store, settings(optim__weight_decay=0.25)))
    assert isinstance(training.optimiser, torch.optim.AdamW)
    (group,) = training.optimiser.param_groups
    assert (group["amsgrad"], group["weight_decay"], group["betas"], group["eps"]) == (True, 0.25, (0.9, 0.999), 1e-8)


@pytest.mark.parametrize("method", ["hga-published", "hga"])
def test_training_learns(store, method):
    training, patches = training_of(planned(store, settings(method, optim__epochs=6, optim__learning_rate=5e-3)))
    losses = [training.learn(patches[step]) for step in range(42)]
    assert sum(losses[-7:]) < 0.8 * sum(losses[:7])


@pytest.mark.parametrize("method", ["hga-published", "hga"])
def test_bf16_trains_and_its_losses_are_float32(store, method):
    half, patches = training_of(planned(store, settings(method, optim__precision="bf16")))
    whole, _ = training_of(planned(store, settings(method)))
    for step in range(7):
        batch = patches[step]
        label = batch.label.long()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            prediction = half.model.fuse(half.model.encode(batch.images), batch.combination)
            losses = half.objective(half.model, dict(batch.images), label)
        assert prediction.logits.dtype == torch.bfloat16
        assert {loss.dtype for loss in losses.tasks.values()} == {torch.float32}
        loss, exact = half.learn(batch), whole.learn(batch)
        assert math.isfinite(loss)
        assert loss == pytest.approx(exact, rel=0.05)
        assert loss != exact
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.float32}
    assert all(value.isfinite().all() for value in half.tensors().values())


def spoilt(batch, value):
    """The batch with one voxel of its last image spoilt."""
    name, image = list(batch.images.items())[-1]
    image = image.clone()
    image[-1, 0, 3, 3, 3] = value
    return replace(batch, images={**batch.images, name: image})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(store, value, precision):
    training, patches = training_of(planned(store, settings(optim__iterations=3, optim__precision=precision)))
    for step in range(4):
        training.learn(patches[step])
    before = {name: tensor.clone() for name, tensor in training.tensors().items()}
    batch = patches[4]
    with pytest.raises(ConfigError) as caught:
        training.learn(spoilt(batch, value))
    for part in ("epoch 1", "step 4", f"combination {'+'.join(batch.combination)}", *batch.cases, "not finite"):
        assert part in caught.value.message
    assert caught.value.exit_code == 4
    assert "learning_rate" in caught.value.hint
    assert_same_tensors(training.tensors(), before)


def test_a_gradient_that_is_not_finite_stops_too(store):
    training, patches = training_of(planned(store, settings()))
    training.model.head.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(ConfigError, match="gradient is not finite at epoch 0, step 0"):
        training.learn(patches[0])


@pytest.mark.parametrize(("rate", "iterations"), [(1e6, 7), (1e20, 1), (1e30, 7)])
def test_no_checkpoint_of_a_run_that_exploded_holds_nan(store, tmp_path, rate, iterations):
    config = settings(optim__learning_rate=rate, optim__iterations=iterations, optim__epochs=30)
    run = run_folder(tmp_path / "run")
    with pytest.raises(ConfigError, match="not finite at epoch"):
        train(planned(store, config), run)
    kept = [file for file in (run.last, run.previous) if file.exists()]
    assert kept
    for file in kept:
        tensors, about = load_checkpoint(file)
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        assert about["training"]["step"] < 10
    assert run.about()["status"] == "running"  # evaluate and predict take finished runs only


def test_spoilt_data_end_the_run_and_name_the_case(store, tmp_path, monkeypatch):
    original = Store.patch

    def patch(self, case, modalities, box):
        found = original(self, case, modalities, box)
        return replace(found, images=found.images * math.inf) if case == "case-4" else found

    monkeypatch.setattr(Store, "patch", patch)
    run = run_folder(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"cases .*case-4"):
        train(planned(store, settings("joint")), run)
    assert all(tensor.isfinite().all() for tensor in load_checkpoint(run.last)[0].values())


def test_a_cycle_is_merged_when_it_ends(store):
    """Seven combinations: after step 7 slow and fast weights are equal and a tenth of the way was kept."""
    training, patches = training_of(planned(store, settings(optim__iterations=14)))
    start = {name: parameter.detach().clone() for name, parameter in training.model.named_parameters()}
    fast = {}
    training.optimiser.register_step_post_hook(
        lambda *_: fast.update((name, p.detach().clone()) for name, p in training.model.named_parameters())
    )
    for step in range(6):
        training.learn(patches[step])
        assert_same_tensors(training.outer.state(), start)
        assert_same_tensors(dict(training.model.named_parameters()), fast)
    training.learn(patches[6])
    merged = {name: start[name] + 0.1 * (fast[name] - start[name]) for name in start}
    torch.testing.assert_close({n: p.detach() for n, p in training.model.named_parameters()}, merged)
    assert_same_tensors(training.outer.state(), dict(training.model.named_parameters()))


def test_the_moments_of_the_optimiser_are_not_merged(store):
    training, patches = training_of(planned(store, settings()))
    seen = []
    training.optimiser.register_step_post_hook(
        lambda optimiser, *_: seen.append(optimiser.state[training.model.head.weight]["exp_avg"].clone())
    )
    for step in range(7):
        training.learn(patches[step])
    assert torch.equal(training.optimiser.state[training.model.head.weight]["exp_avg"], seen[-1])


@pytest.mark.parametrize(("iterations", "cut"), [(7, False), (5, True)])
def test_the_last_cycle_is_merged_even_if_it_was_cut_short(store, tmp_path, iterations, cut):
    config = settings(optim__iterations=iterations, optim__epochs=2)
    run = run_folder(tmp_path / "run")
    train(planned(store, config), run)
    tensors, about = load_checkpoint(run.last)
    model = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    slow = {name.removeprefix("outer."): value for name, value in tensors.items() if name.startswith("outer.")}
    assert_same_tensors(model, slow)
    training, patches = training_of(planned(store, config))
    for step in range(2 * iterations):
        training.learn(patches[step])
        if (step + 1) % iterations == 0:
            training.end_epoch()
    unmerged = not torch.equal(training.model.head.weight, training.outer.state()["head.weight"])
    assert unmerged == cut
    training.finish()
    assert_same_tensors(training.model.state_dict(), model)
    training.finish()  # once is enough
    assert_same_tensors(training.model.state_dict(), model)
    assert about["training"]["merged"]


def test_the_journal_tells_each_epoch(store, tmp_path):
    run = run_folder(tmp_path / "run")
    train(planned(store, settings(optim__iterations=7, optim__epochs=3)), run)
    lines = journal(run)
    assert [(line["epoch"], line["step"]) for line in lines] == [(0, 7), (1, 14), (2, 21)]
    assert [line["epsilon"] for line in lines] == pytest.approx([0.1, 0.4, 0.7])
    assert [line["eta"] for line in lines] == pytest.approx([0.015] * 3)
    rates = [1e-3 * (1 - epoch / 3) ** 0.9 for epoch in range(3)]
    assert [line["learning_rate"] for line in lines] == pytest.approx(rates)
    for line in lines:
        assert math.hypot(*line["beta"].values()) == pytest.approx(math.sqrt(3))
        terms = {
            f"{name}/{modality}" for name in ("separate", "distillation", "compactness") for modality in MODALITIES
        }
        assert line["losses"].keys() == {"loss", "fused/fused", *terms}
        assert all(math.isfinite(value) for value in line["losses"].values())
    assert lines[0]["beta"] != lines[1]["beta"]


def test_losses_of_the_journal_are_means_over_the_steps_that_had_them(store):
    training, patches = training_of(planned(store, settings(optim__iterations=7)))
    for epoch in range(2):
        losses = [training.learn(patches[step]) for step in range(7 * epoch, 7 * epoch + 7)]
        line = training.end_epoch()
        assert line["losses"]["loss"] == pytest.approx(sum(losses) / 7)
        assert 0.3 < line["losses"]["separate/t2"] < 2  # four of seven steps; a sum over them would be larger


def test_zero_epochs_keep_the_random_start(store, tmp_path):
    run = run_folder(tmp_path / "run")
    train(planned(store, settings(optim__epochs=0)), run)
    training, _ = training_of(planned(store, settings(optim__epochs=0)))
    assert_same_tensors(load_checkpoint(run.last)[0], training.tensors())
    assert run.about()["status"] == "finished"


def test_the_seed_decides_everything(store):
    def losses(**changes):
        training, patches = training_of(planned(store, settings(**changes)))
        return [training.learn(patches[step]) for step in range(3)]

    assert losses() == losses()
    assert losses(seed=5) == losses(seed=5)
    assert losses() != losses(seed=5)


def test_channels_last_is_the_same_up_to_rounding(store):
    results = []
    for layout in ("contiguous", "channels_last"):
        training, patches = training_of(planned(store, settings(optim__layout=layout)))
        results.append([training.learn(patches[step]) for step in range(3)])
    assert results[0] == pytest.approx(results[1], rel=1e-3)


@pytest.mark.parametrize("patch", [[16, 16, 16], [20, 20, 20], [9, 24, 13]], ids=str)
def test_patches_need_not_fit_the_stride_nor_the_case(store, patch):
    training, patches = training_of(planned(store, settings(data__patch=patch)))
    for step in (0, 6):
        assert patches[step].label.shape[1:] == tuple(patch)
        assert math.isfinite(training.learn(patches[step]))


def test_a_2d_network_trains_on_slices(store):
    training, patches = training_of(planned(store, settings(data__patch=[16, 12], network__dims=2)))
    for step in range(7):
        assert patches[step].label.shape[1:] == (16, 12)
        assert math.isfinite(training.learn(patches[step]))


def test_case_sampling_sees_every_case_once_per_epoch(store):
    _, patches = training_of(planned(store, settings("joint", data__batch=1, optim__iterations=5)))
    batches = [patches[step] for step in range(10)]
    for epoch in (batches[:5], batches[5:]):
        assert sorted(case for batch in epoch for case in batch.cases) == sorted(CASES)
        assert all(batch.combination == CASES[batch.cases[0]] for batch in epoch)


@pytest.mark.parametrize("in_passes", [True, False])
def test_too_little_gpu_memory_is_an_error_with_advice(store, monkeypatch, in_passes):
    """In the passes, or in the first step of the optimiser, which makes its moments."""
    training, patches = training_of(planned(store, settings()))
    place = (training, "objective") if in_passes else (training.optimiser, "step")

    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.\nsecond line")

    monkeypatch.setattr(*place, full)
    with pytest.raises(ConfigError, match=r"does not suffice for a step with .*: CUDA out of memory") as caught:
        training.learn(patches[0])
    assert "optim.accumulate=2" in caught.value.hint
    assert "optim.recompute=true" in caught.value.hint
    assert "second line" not in caught.value.message
