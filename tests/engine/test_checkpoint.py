import errno
import gc
import json
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from _training import (
    assert_same_tensors,
    finished,
    make_store,
    one_thread,
    planned,
    settings,
    training_of,
)
from safetensors.torch import load_file, save_file

from hga_cli.core.errors import ConfigError
from hga_cli.core.progress import Silent
from hga_cli.engine import inference
from hga_cli.engine.checkpoint import load_checkpoint, save_checkpoint, with_prefix, without_prefix
from hga_cli.engine.inference import load_model, predict_combinations
from hga_cli.workflows.resume import continue_run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("checkpoint") / "store")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    with one_thread():
        return finished(store, settings(), tmp_path_factory.mktemp("checkpoint") / "run")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "one.safetensors"


TENSORS = {
    "matrix": torch.tensor([[1.5, -2.0], [3.25, torch.pi]]),
    "transposed": torch.arange(12, dtype=torch.float64).reshape(3, 4).T,
    "channels last": torch.randn(1, 2, 3, 4, 5).contiguous(memory_format=torch.channels_last_3d),
    "scalar": torch.tensor(7.0),
    "empty": torch.zeros(0, 3),
    "half": torch.tensor([1 / 3], dtype=torch.bfloat16),
    "integers": torch.tensor([2**40]),
    "not a number": torch.tensor([torch.nan, torch.inf]),
    "needs gradient": torch.nn.Parameter(torch.tensor([0.1])),
}


def test_tensors_and_values_come_back_exactly(path):
    about = {
        "number": 0.1 + 0.2,
        "tiny": 5e-324,
        "large": 2**70,
        "text": "Größe",
        "list": [1, [2.5, None]],
        "no": False,
    }
    save_checkpoint(path, TENSORS, about)
    tensors, values = load_checkpoint(path)
    assert values == about
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name].nan_to_num(9), tensor.detach().nan_to_num(9))
        assert not tensors[name].requires_grad


def test_tensors_that_share_memory_are_both_kept(path):
    base = torch.arange(6.0)
    save_checkpoint(path, {"a": base[:3], "b": base[3:]}, {})
    tensors, _ = load_checkpoint(path)
    assert tensors["a"].tolist() == [0, 1, 2]
    assert tensors["b"].tolist() == [3, 4, 5]


def test_the_file_is_safetensors_and_nothing_is_pickled(run, monkeypatch):
    def fail(*arguments, **options):
        pytest.fail("pickle was used")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load"), (torch, "save")):
        monkeypatch.setattr(module, name, fail)
    tensors, about = load_checkpoint(run.last)
    assert_same_tensors(load_file(run.last), tensors)
    header = json.loads(run.last.read_bytes()[8 : 8 + int.from_bytes(run.last.read_bytes()[:8], "little")])
    assert header["__metadata__"]["format"] == "hga-checkpoint"
    assert json.loads(header["__metadata__"]["about"]) == about


def test_a_write_that_fails_leaves_the_old_file_and_no_other(path, monkeypatch):
    def full_disk(tensors, file, metadata):
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    save_checkpoint(path, {"a": torch.zeros(2)}, {"step": 1})
    monkeypatch.setattr("hga_cli.engine.checkpoint.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"a": torch.ones(2)}, {"step": 2})
    assert load_checkpoint(path)[1] == {"step": 1}
    assert list(path.parent.iterdir()) == [path]


def test_state_of_a_training_round_trip(store, path):
    """Also in the middle of an epoch and of a cycle: the next steps are the same."""
    with one_thread():
        training, patches = training_of(planned(store, settings()))
        for step in range(4):
            training.learn(patches[step])
        save_checkpoint(path, training.tensors(), training.state())
        copy, _ = training_of(planned(store, settings(seed=5)))
        copy.load(*load_checkpoint(path))
        assert_same_tensors(copy.tensors(), training.tensors())
        assert copy.state() == training.state()
        copy.scheme = training.scheme
        for step in range(4, 8):
            assert copy.learn(patches[step]) == training.learn(patches[step])
        assert copy.end_epoch() == training.end_epoch()
        assert_same_tensors(copy.tensors(), training.tensors())


def test_what_fp16_on_a_gpu_has_left_opens_on_a_cpu(run, path):
    """Case T15: no device is in the file; the network predicts as the same one trained in fp32 does."""
    tensors, about = load_checkpoint(run.last)
    assert not {"cuda", "device"} & set(json.dumps(about).split('"'))
    about["config"]["optim"]["precision"] = "fp16"
    about["training"]["scaler"] = torch.amp.GradScaler("cpu").state_dict()
    save_checkpoint(path, tensors, about)
    images = {name: np.random.default_rng(0).standard_normal((12, 12, 12), np.float32) for name in ("flair", "t2")}
    found = []
    for file in (path, run.last):
        model = load_model(file, torch.device("cpu"))
        assert {one.device.type for one in model.network.parameters()} == {"cpu"}
        found.append(predict_combinations(model, images, dict.fromkeys(images, 0.0), [tuple(images)], overlap=0.0))
    np.testing.assert_array_equal(*(one["flair", "t2"] for one in found))


def test_a_resumed_training_holds_nothing_twice(store, run, monkeypatch):
    """Case T15: of what was read, what the training has copies of is given back, so memory is that of a fresh start."""
    read = {}

    def watched(path):
        tensors, about = load_checkpoint(path)
        read.update({name: weakref.ref(tensor) for name, tensor in tensors.items()})
        return tensors, about

    monkeypatch.setattr("hga_cli.workflows.resume.load_checkpoint", watched)
    plan = planned(store, settings())
    training, _ = training_of(plan)
    continue_run(training, plan, run, Silent())
    gc.collect()
    own = {tensor.data_ptr() for tensor in training.tensors().values()}
    kept = {name: tensor for name, reference in read.items() if (tensor := reference()) is not None}
    assert {name.split(".")[0] for name in read} == {"model", "optimiser", "outer"}
    assert {name.split(".")[0] for name in kept} <= {"optimiser"}
    assert {tensor.data_ptr() for tensor in kept.values()} <= own


def test_moments_of_the_optimiser_are_all_kept(store, path):
    """Of the parameters that moved; those of a modality not seen yet have none, before as after."""
    with one_thread():
        training, patches = training_of(planned(store, settings(method__sampler__order="fixed")))
        training.learn(patches[0])  # flair alone
        save_checkpoint(path, training.tensors(), training.state())
        copy, _ = training_of(planned(store, settings()))
        copy.load(*load_checkpoint(path))
    old, new = training.optimiser.state_dict(), copy.optimiser.state_dict()
    assert 0 < len(old["state"]) < len(old["param_groups"][0]["params"])
    assert new["state"].keys() == old["state"].keys()
    for index, moments in old["state"].items():
        assert moments.keys() == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
        assert_same_tensors(new["state"][index], moments)
    assert new["param_groups"][0]["params"] == old["param_groups"][0]["params"]


def test_a_checkpoint_says_what_the_model_is(run):
    model = load_model(run.last, torch.device("cpu"))
    assert model.modalities == ("flair", "t1ce", "t2")
    assert model.config == settings(data__split="default", data__imbalance="none")
    assert model.label_values == {"core": 1, "oedema": 2}
    assert model.spacing is None
    assert model.step == 14
    assert not model.network.training
    weights = without_prefix("model", load_checkpoint(run.last)[0])
    assert_same_tensors(dict(model.network.state_dict()), weights)


def test_a_model_on_a_cpu_keeps_memory(run, monkeypatch):
    """Without it the evaluation of a U-Net takes half as long again."""
    called = []
    monkeypatch.setattr(inference, "keep_memory", lambda: called.append("kept"))
    load_model(run.last, torch.device("cpu"))
    assert called


def test_a_model_lies_in_memory_as_it_was_trained(store, tmp_path):
    """A channels-last network is faster on a CPU: evaluation shall be too, and answer the same."""
    last = load_model(
        finished(store, settings(optim__layout="channels_last"), tmp_path / "run").last, torch.device("cpu")
    )
    weights = [one for one in last.network.parameters() if one.ndim == 5 and one.shape[1] > 1 and one.shape[2] > 1]
    assert weights
    assert all(one.is_contiguous(memory_format=torch.channels_last_3d) for one in weights)
    images = {
        name: np.random.default_rng(0).standard_normal((16, 16, 16), dtype=np.float32) for name in last.modalities
    }
    nothing = dict.fromkeys(images, 0.0)
    found = predict_combinations(last, images, nothing, [last.modalities], overlap=0.5)[last.modalities]
    last.network.to(memory_format=torch.contiguous_format)
    plain = predict_combinations(last, images, nothing, [last.modalities], overlap=0.5)[last.modalities]
    np.testing.assert_allclose(found, plain, atol=1e-5)


def test_prefixes():
    tensors = {"a": torch.zeros(1), "b.c": torch.ones(1)}
    both = {**with_prefix("model", tensors), **with_prefix("modelling", {"a": torch.ones(2)})}
    assert both.keys() == {"model.a", "model.b.c", "modelling.a"}
    assert_same_tensors(without_prefix("model", both), tensors)


def absent(path, run):
    return r"no checkpoint '.*one\.safetensors'", "hga train"


def empty(path, run):
    path.touch()
    return "damaged", "previous.safetensors"


def truncated(path, run):
    content = run.last.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    return r"one\.safetensors' is damaged", "previous.safetensors"


def cut_in_the_header(path, run):
    path.write_bytes(run.last.read_bytes()[:100])
    return "damaged", "previous.safetensors"


def noise(path, run):
    path.write_bytes(bytes(range(256)) * 20)
    return "damaged", "previous.safetensors"


def folder(path, run):
    path.mkdir()
    return r"one\.safetensors", ""


def pickled(path, run):
    torch.save({"a": torch.zeros(2)}, path)
    return "damaged", ""


def foreign(path, run):
    save_file({"a": torch.zeros(2)}, path)
    return "None version None, expected hga-checkpoint 1", "train again"


def foreign_with_metadata(path, run):
    save_file({"a": torch.zeros(2)}, path, {"format": "pt"})
    return "pt version None, expected hga-checkpoint 1", "train again"


def from_the_future(path, run):
    save_file(load_file(run.last), path, {"format": "hga-checkpoint", "version": "2", "about": "{}"})
    return "version 2, expected hga-checkpoint 1", "update hga"


@pytest.mark.parametrize(
    "make",
    [
        absent,
        empty,
        truncated,
        cut_in_the_header,
        noise,
        folder,
        pickled,
        foreign,
        foreign_with_metadata,
        from_the_future,
    ],
    ids=lambda make: make.__name__.replace("_", " "),
)
@pytest.mark.parametrize("load", [load_checkpoint, lambda path: load_model(path, torch.device("cpu"))], ids=["", "use"])
def test_what_cannot_be_loaded_is_an_error(path, run, make, load):
    message, hint = make(path, run)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert caught.value.exit_code == 4
    assert hint in caught.value.hint
    assert str(path) in caught.value.message


def test_the_one_before_is_kept(run):
    """last is of the end of training, previous of the epoch before; nothing else is left in the folder."""
    steps = {file.stem: load_checkpoint(file)[1]["training"]["step"] for file in Path(run.last.parent).iterdir()}
    assert steps == {"last": 14, "previous": 7}
