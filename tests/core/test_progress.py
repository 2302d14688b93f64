import pytest

from hga_cli.core.progress import Silent, tracked


class Recorder(Silent):
    def __init__(self):
        self.calls = []

    def start(self, title, total, done=0):
        self.calls.append(("start", title, total))

    def advance(self, note=""):
        self.calls.append("advance")

    def finish(self):
        self.calls.append("finish")


def test_each_item_is_told_after_it_was_used():
    recorder = Recorder()
    for item in tracked("ab", recorder, "letters", 2):
        recorder.calls.append(item)
    assert recorder.calls == [("start", "letters", 2), "a", "advance", "b", "advance", "finish"]


def test_stage_ends_when_an_item_fails():
    def items():
        yield 1
        raise ValueError

    recorder = Recorder()
    with pytest.raises(ValueError):
        list(tracked(items(), recorder, "numbers", 2))
    assert recorder.calls[-1] == "finish"
