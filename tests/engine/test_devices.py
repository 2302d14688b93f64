import pytest
import torch

from hga_cli.core.errors import SetupError, UsageError
from hga_cli.engine.devices import choose_device


@pytest.fixture
def gpus(monkeypatch):
    """Let torch see so many GPUs."""

    def show(count):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)

    return show


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("HGA_DEVICE", raising=False)


@pytest.mark.parametrize(
    ("count", "device", "gpu", "chosen"),
    [
        (0, None, None, "cpu"),
        (0, "auto", None, "cpu"),
        (0, "cpu", None, "cpu"),
        (2, None, None, "cuda:0"),
        (2, "auto", None, "cuda:0"),
        (2, "cpu", None, "cpu"),
        (2, "cuda", None, "cuda:0"),
        (2, "cuda:1", None, "cuda:1"),
        (2, None, "1", "cuda:1"),
        (2, "auto", "1", "cuda:1"),
        (2, "cuda:1", "1", "cuda:1"),
    ],
)
def test_what_is_asked_for(gpus, count, device, gpu, chosen):
    gpus(count)
    assert choose_device(device, gpu) == torch.device(chosen)


@pytest.mark.parametrize(
    ("rank", "device", "gpu", "chosen"),
    [
        ("0", None, "3,1", "cuda:3"),
        ("1", None, "3,1", "cuda:1"),
        ("1", "cuda", None, "cuda:1"),
        ("1", "auto", None, "cuda:1"),
        ("1", "cpu", None, "cpu"),
        ("1", "cuda:0", None, "cuda:0"),
    ],
)
def test_each_rank_gets_a_gpu_of_its_own(gpus, monkeypatch, rank, device, gpu, chosen):
    gpus(4)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_device(device, gpu) == torch.device(chosen)


def test_cuda_alone_is_the_first_one(gpus):
    gpus(0)
    with pytest.raises(SetupError, match="device 'cuda:0' is not there"):
        choose_device("cuda", None)


@pytest.mark.parametrize(
    ("count", "device", "gpu"),
    [(0, "cuda:0", None), (0, "cuda:7", None), (2, "cuda:7", None), (0, None, "0"), (2, None, "2")],
)
def test_a_gpu_that_is_not_there_is_never_replaced(gpus, count, device, gpu):
    gpus(count)
    with pytest.raises(SetupError, match=f"{device or 'cuda:' + gpu}' is not there.*shows {count} GPUs") as caught:
        choose_device(device, gpu)
    assert caught.value.exit_code == 5
    assert "--device cpu" in caught.value.hint


def test_the_same_for_mps(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SetupError, match="'mps' is not there"):
        choose_device("mps", None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps", None) == torch.device("mps")


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "cuda", "mps"])
def test_contradictions(gpus, device):
    gpus(2)
    with pytest.raises(UsageError, match=f"--gpu 1 and --device {device} contradict") as caught:
        choose_device(device, "1")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("gpu", ["0,0", "0,", "-1", "", "all", "cuda:0", "1.0"])
def test_gpus_are_different_numbers(gpus, gpu):
    gpus(2)
    with pytest.raises(UsageError, match="is not the number of a GPU, or several different ones"):
        choose_device(None, gpu)


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:-1", "cuda:x", "", "cuda0", "meta", "vulkan"])
def test_names_that_mean_nothing_here(gpus, device):
    """Some of them mean something to torch, but nothing can be trained there."""
    gpus(2)
    with pytest.raises(UsageError, match=f"no device called '{device}'") as caught:
        choose_device(device, None)
    assert "cuda:0" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "device", "gpu", "chosen"),
    [
        ("cpu", None, None, "cpu"),
        ("cuda:1", None, None, "cuda:1"),
        ("auto", None, None, "cuda:0"),
        ("cpu", "cuda:1", None, "cuda:1"),
        ("cpu", "auto", None, "cuda:0"),
        ("cpu", None, "1", "cuda:1"),
    ],
)
def test_the_environment_answers_where_nobody_is_asked(gpus, monkeypatch, variable, device, gpu, chosen):
    gpus(2)
    monkeypatch.setenv("HGA_DEVICE", variable)
    assert choose_device(device, gpu) == torch.device(chosen)


def test_the_environment_is_checked_too(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setenv("HGA_DEVICE", "cuda:7")
    with pytest.raises(SetupError, match="'cuda:7' is not there"):
        choose_device(None, None)


@pytest.mark.parametrize(
    ("before", "device", "gpu", "variable", "chosen"),
    [
        ("cpu", None, None, "", "cpu"),
        ("cuda:1", None, None, "", "cuda:1"),
        (None, None, None, "", "cuda:0"),
        ("cpu", "cuda:1", None, "", "cuda:1"),
        ("cpu", "auto", None, "", "cuda:0"),
        ("cpu", None, "1", "", "cuda:1"),
        ("cuda:1", None, None, "cpu", "cpu"),
    ],
)
def test_a_run_continues_where_it_was_unless_another_device_is_named(
    gpus, monkeypatch, before, device, gpu, variable, chosen
):
    gpus(2)
    monkeypatch.setenv("HGA_DEVICE", variable)
    assert choose_device(device, gpu, before=before) == torch.device(chosen)


@pytest.mark.parametrize(("before", "chosen"), [("cuda:0", "cuda:1"), ("cpu", "cpu")])
def test_ranks_continue_on_the_kind_of_device(gpus, monkeypatch, before, chosen):
    """The run tells of the first rank only."""
    gpus(2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(None, None, before=before) == torch.device(chosen)


def test_the_device_of_a_run_is_not_replaced_either(gpus):
    gpus(0)
    with pytest.raises(SetupError, match="'cuda:1', on which the run was trained, is not there") as caught:
        choose_device(None, None, before="cuda:1")
    assert "--device cpu" in caught.value.hint
