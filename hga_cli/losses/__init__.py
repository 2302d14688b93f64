"""Losses: plain functions of tensors, one value per sample.

Letters: B batch, K class, C channel, V voxels of one patch; ``*space`` is D H W or H W. A label holds class indices,
(B, *space) int64, never one-hot. Every loss computes in float32 at least, also under autocast and for half-precision
inputs, because a sum over a patch of 48^3 voxels no longer fits into a half (largest value 65504).

Two papers are quoted throughout. PASSION: Shi et al., "PASSION: Towards Effective Incomplete Multi-Modal Medical Image
Segmentation with Imbalanced Missing Rates", ACM MM 2024. HGA: Hierarchical Gradient Alignment, its successor.
"""
