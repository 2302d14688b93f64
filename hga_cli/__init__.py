"""hga: medical image segmentation when patients lack modalities, unequally.

Axis letters used in every docstring: B batch, M modality, C channel, K class, D H W the three array axes of a
volume in canonical (RAS) orientation; ``*space`` stands for D H W or, for 2D networks, H W.
"""

__version__ = "0.1.0"
