"""The method: gradients of combinations and modalities brought into line, in direction and in magnitude.

Letters: B batch, M modality, K class, C channel, V voxels; ``*space`` is D H W or H W. Papers: PASSION (Shi et al.,
"PASSION: Towards Effective Incomplete Multi-Modal Medical Image Segmentation with Imbalanced Missing Rates", ACM MM
2024) and HGA (Hierarchical Gradient Alignment), its successor.
"""
