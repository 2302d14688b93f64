"""An interrupted and resumed run sees the batches of the run that was not, and no epoch repeats another."""

import pytest
from _interrupting import interrupt
from _training import finished, make_store, planned, run_folder, settings

from hga_cli.engine.training import Training
from hga_cli.workflows.train import train

EPOCHS, ITERATIONS = 3, 5


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("order") / "store")


@pytest.fixture
def seen(monkeypatch):
    """What would be learnt: step, combination, cases, and a number that tells patches apart. Nothing is computed."""
    batches = []

    def note(self, batch):
        content = sum(float(image.double().sum()) for image in batch.images.values()) + int(batch.label.sum())
        batches.append((batch.step, batch.combination, batch.cases, content))
        self.step += 1
        self._note({"loss": 0.0})
        return 0.0

    monkeypatch.setattr(Training, "learn", note)
    return batches


@pytest.mark.parametrize("method", ["hga-published", "hga"])
def test_the_order_of_the_data_goes_on(store, tmp_path, seen, method):
    """Three epochs at once, and one by one: the same batches; and no epoch repeats another [T06]."""
    config = settings(method, optim__epochs=EPOCHS, optim__iterations=ITERATIONS)
    finished(store, config, tmp_path / "at once")
    at_once = list(seen)
    seen.clear()
    run = run_folder(tmp_path / "run")
    interrupt(planned(store, config), run, ITERATIONS, resume=False)
    interrupt(planned(store, config), run, 2 * ITERATIONS, resume=True)
    train(planned(store, config), run, resume=True)
    assert seen == at_once
    assert [batch[0] for batch in seen] == list(range(EPOCHS * ITERATIONS))
    epochs = [
        [batch[1:3] for batch in seen[start : start + ITERATIONS]]
        for start in range(0, EPOCHS * ITERATIONS, ITERATIONS)
    ]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert len({batch[3] for batch in seen}) == len(seen)  # patches are new even where a case comes again
