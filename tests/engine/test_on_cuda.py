"""On a GPU, where there is one: number formats, backbones, resume and its memory, and checkpoints that a CPU opens."""

import gc

import numpy as np
import pytest
import torch
from _interrupting import interrupt
from _training import MODALITIES, assert_same_tensors, journal, make_store, planned, run_folder, settings, training_of

from hga_cli.core.backbones import BACKBONES
from hga_cli.engine.checkpoint import load_checkpoint, save_checkpoint
from hga_cli.engine.inference import load_model, predict_combinations
from hga_cli.workflows.plan import plan
from hga_cli.workflows.train import train

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS"),  # torch makes the context it misses, and says so
]

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
TRANSFORMER = {"heads": 2, "hidden": 8, "depth": 1}
OPTIONS = {"m2ftrans": TRANSFORMER, "mmformer": {"channels": 8, **TRANSFORMER}}
WIDTHS = {"swinunetr": 12, "swinunetr_early": 12}
COMPLETE = {f"case-{number}": MODALITIES for number in range(4)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("cuda") / "store", COMPLETE)


def on_cuda(store, config):
    return training_of(plan(store, config, CUDA))


def with_several(patches):
    return next(patches[step] for step in range(14) if len(patches[step].combination) > 1)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_has_the_loss_of_a_cpu_and_the_next_ones_lower_it(store, precision):
    """The first steps of fp16 may be left out, until the scale of the loss fits."""
    made, patches = on_cuda(store, settings("hga-published", optim__precision=precision))
    on_cpu, _ = training_of(planned(store, settings("hga-published")))
    batch = with_several(patches)
    losses = [made.learn(batch) for _ in range(12)]
    assert losses[0] == pytest.approx(on_cpu.learn(batch), rel=0.05)
    assert losses[-1] < losses[0]
    assert made.scaler.is_enabled() == (precision == "fp16")
    assert {(one.device, one.dtype) for one in made.model.parameters()} == {(CUDA, torch.float32)}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", sorted(BACKBONES.entries))
def test_every_backbone_takes_a_step(store, name, precision):
    edge = max(8, BACKBONES.check(name).multiple)
    config = settings(
        "hga-published",
        network__backbone=name,
        network__dims=2,
        network__width=WIDTHS.get(name, 4),
        network__options=OPTIONS.get(name, {}),
        data__patch=[2 * edge, edge],
        optim__precision=precision,
    )
    made, patches = on_cuda(store, config)
    before = [one.detach().clone() for one in made.model.parameters()]
    batch = with_several(patches)
    losses = [made.learn(batch) for _ in range(8)]
    assert np.isfinite(losses).all()
    after = list(made.model.parameters())
    assert all(one.isfinite().all() for one in after)
    assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_state_of_a_training_round_trip(store, tmp_path, precision):
    """Every tensor and number comes back to where it was; the next step is the same but for the order of sums."""
    config = settings("hga-published", optim__precision=precision)
    made, patches = on_cuda(store, config)
    for step in range(4):
        made.learn(patches[step])
    save_checkpoint(tmp_path / "one.safetensors", made.tensors(), made.state())
    copy, _ = on_cuda(store, config)
    copy.load(*load_checkpoint(tmp_path / "one.safetensors"))
    left, right = copy.tensors(), made.tensors()
    assert {name: one.device for name, one in left.items()} == {name: one.device for name, one in right.items()}
    assert_same_tensors(left, right)
    assert copy.state() == made.state()
    assert copy.learn(patches[4]) == pytest.approx(made.learn(patches[4]), rel=1e-3)


def test_interrupted_and_resumed(store, tmp_path):
    run, config = run_folder(tmp_path / "run"), settings("hga-published", optim__precision="fp16")
    interrupt(plan(store, config, CUDA), run, 5, resume=False)
    train(plan(store, config, CUDA), run, resume=True)
    assert load_checkpoint(run.last)[1]["training"]["step"] == 14
    assert [line["epoch"] for line in journal(run)] == [0, 1]
    assert all(np.isfinite(line["losses"]["loss"]) for line in journal(run))


def peak(store, config, run, *, resume):
    """Train, and return how many bytes that took at most beyond what was there before."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(CUDA)
    before = torch.cuda.memory_allocated(CUDA)
    train(plan(store, config, CUDA), run, resume=resume)
    return torch.cuda.max_memory_allocated(CUDA) - before


def test_resume_needs_no_more_memory_than_a_fresh_start(store, tmp_path):
    """Case T15. All steps have all modalities; the first run also lets libraries take their workspaces."""
    config = settings("joint", data__patch=[16, 16, 16], network__width=8)
    fresh, resumed = run_folder(tmp_path / "fresh"), run_folder(tmp_path / "resumed")
    interrupt(plan(store, config, CUDA), resumed, 5, resume=False)
    assert peak(store, config, resumed, resume=True) <= 1.05 * peak(store, config, fresh, resume=False)


def test_a_checkpoint_of_a_gpu_opens_on_a_cpu(store, tmp_path):
    """Case T15: it is read to the CPU, predicts there what it predicts on the GPU, and goes on there."""
    run, config = run_folder(tmp_path / "run"), settings("hga-published")
    interrupt(plan(store, config, CUDA), run, 9, resume=False)
    assert {one.device for one in load_checkpoint(run.last)[0].values()} == {CPU}
    generator = np.random.default_rng(0)
    images = {name: generator.standard_normal((12, 12, 12), np.float32) for name in MODALITIES}
    found = []
    for device in (CPU, CUDA):
        model = load_model(run.last, device)
        assert {one.device for one in model.network.parameters()} == {device}
        (one,) = predict_combinations(model, images, dict.fromkeys(MODALITIES, 0.0), [MODALITIES], overlap=0.0).values()
        found.append(one)
    assert np.abs(found[0] - found[1]).mean() < 0.05
    train(planned(store, config), run, resume=True)
    assert load_checkpoint(run.last)[1]["training"]["step"] == 14
