"""Which validation of a training was the best."""

import math
from typing import Any


class Contest:
    """Which validation was the best so far, and how many in a row were not."""

    def __init__(self) -> None:
        self.epoch = 0
        """Epochs that were finished at the latest validation."""
        self.latest: dict[str, Any] | None = None
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.worse_in_a_row = 0

    def note(self, epoch: int, result: dict[str, Any]) -> bool:
        """Keep a result and return whether it is the best. A result without a number never is."""
        self.epoch, self.latest = epoch, result
        mean = result["mean"]
        if mean is not None and math.isfinite(mean) and (self.best is None or mean > self.best):
            self.best, self.best_epoch, self.worse_in_a_row = mean, epoch, 0
            return True
        self.worse_in_a_row += 1
        return False

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep."""
        return dict(vars(self))

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        vars(self).update(state)
