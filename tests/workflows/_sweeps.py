"""Sweeps of tiny trainings."""


def sweep_text(*, iterations):
    """Return the file of a sweep of one run, of one epoch of so many steps."""
    return f"""
dataset = "brats"
name = "x"
methods = ["joint"]
[settings]
network.width = 2
data = {{ batch = 2, patch = [16, 16, 16], workers = 0, split = "default" }}
optim = {{ iterations = {iterations}, epochs = 1 }}
validation.every = 0
"""
