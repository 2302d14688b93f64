"""Weights drawn in each step: what a method has to beat."""

from collections.abc import Mapping

import torch

from hga_cli.balancing.weighted import WeighedLosses


class RandomWeights(WeighedLosses):
    """w = softmax of normal numbers, drawn anew in each step, for the tasks of the step.

    Source: Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022. torchjd has the same, drawn from the
    generator of the process; here the seed of the step decides, so that parts of a batch and ranks have the same.
    """

    def weights(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weights of the step; what a task draws does not depend on which others the step has."""
        generator = torch.Generator().manual_seed(self.now.seed)
        drawn = dict(zip(self.tasks, torch.randn(len(self.tasks), generator=generator), strict=True))
        weights = torch.softmax(torch.stack([drawn[task] for task in losses]), 0)
        return dict(zip(losses, weights.tolist(), strict=True))
