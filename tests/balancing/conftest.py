"""Trainings on tiny stores, as in the tests of the engine."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "engine"))
