from hga_cli.core.progress import Silent, stage


class Recorder(Silent):
    def __init__(self):
        self.calls = []

    def start(self, title, total, done=0):
        self.calls.append(("start", title, total))

    def advance(self, note=""):
        self.calls.append("advance")

    def finish(self):
        self.calls.append("finish")


def test_stage_begins_and_ends():
    recorder = Recorder()
    with stage(recorder, "letters", 2):
        recorder.advance()
    assert recorder.calls == [("start", "letters", 2), "advance", "finish"]


def test_stage_ends_before_its_failure_is_seen():
    recorder = Recorder()
    try:
        with stage(recorder, "numbers", 2):
            raise ValueError
    except ValueError:
        assert recorder.calls[-1] == "finish"
