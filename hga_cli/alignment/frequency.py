"""Frequency weights: a modality that few cases own counts more in each of them."""

from collections.abc import Collection

from hga_cli.core.combinations import Combination


def frequency_weights(available: Collection[Combination]) -> dict[str, float]:
    """Return omega_m = N / N_m, with N cases of which N_m own modality m (PASSION).

    Over a pass through the cases each modality then weighs as much as a modality that all cases own. The published
    weight is I / N_m with I = ceil(N / B) steps in an epoch, and its losses are sums over the batch. For B = 1 that is
    the same; for larger batches it there makes the losses of modalities B times lighter against the fused one.

    Args:
        available: what each training case (or slice) may use.

    Returns:
        modality -> omega, at least 1; only modalities that somebody owns.
    """
    owned = [modality for combination in available for modality in combination]
    return {modality: len(available) / owned.count(modality) for modality in dict.fromkeys(owned)}
