"""The small problems behind some balancers, solved exactly from the products of T gradients (T is 2 to a dozen).

Nothing here needs a solver under the GPL, as quadprog and ecos are, which torchjd uses. Arrays are (T, T) products G,
scaled to trace 1, and (T,) weights; all float64.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

Array = NDArray[np.float64]
NEWTON_STEPS = 100
TOLERANCE = 1e-12


def root(gram: Array) -> Array:
    """Return R with R^T R = G, also where G is singular."""
    values, vectors = np.linalg.eigh(gram)
    return np.asarray(np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)


def shortest(gram: Array) -> Array:
    """Return the weights, not negative and of sum 1, of the shortest combination (MGDA).

    With x = s w, ||R x||^2 + (sum x - 1)^2 = s^2 ||R w||^2 + (s - 1)^2, so the least x >= 0 has the least w.
    """
    count = len(gram)
    found, _ = nnls(np.vstack([root(gram), np.ones(count)]), np.append(np.zeros(count), 1.0))
    return np.asarray(found / found.sum())


def onto_dual_cone(gram: Array, start: Array) -> Array:
    """Return the v >= start of least v^T G v: a combination that conflicts with no gradient (UPGrad).

    With v = start + x this is least squares over x >= 0.
    """
    matrix = root(gram)
    found, _ = nnls(matrix, -matrix @ start)
    return np.asarray(start + found)


def conflict_averse(gram: Array, radius: float) -> Array:
    """Return the weights of the direction within ``radius`` of the mean that helps the worst task most (CAGrad).

    The dual problem: w on the simplex of least g_w . g_0 + radius ||g_0|| ||g_w||; the direction is then
    g_0 + radius ||g_0|| / ||g_w|| g_w.
    """
    count = len(gram)
    mean = np.full(count, 1 / count)
    reach = radius * _length(gram, mean)

    def cost(weights: Array) -> float:
        return float(weights @ gram @ mean) + reach * _length(gram, weights)

    def slope(weights: Array) -> Array:
        return np.asarray(gram @ mean + reach * (gram @ weights) / max(_length(gram, weights), TOLERANCE))

    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)}
    found = minimize(
        cost,
        mean,
        jac=slope,
        bounds=[(0, 1)] * count,
        constraints=simplex,
        method="SLSQP",
        options={"ftol": TOLERANCE, "maxiter": 500},
    ).x
    length = _length(gram, found)
    return np.asarray(mean + (reach / length * found if length > TOLERANCE else 0))


def bargain(gram: Array) -> Array:
    """Return the a > 0 with G a = 1 / a: what tasks agree on that bargain for their losses (Nash-MTL).

    It is where a^T G a / 2 - sum log a is least, a convex problem: Newton with shortened steps, which finds it from any
    start. A little is added to the diagonal, or opposite gradients would have no agreement.
    """
    count = len(gram)
    regular = gram + 1e-8 * np.eye(count)
    found = 1 / np.sqrt(np.diag(regular) * count)
    for _ in range(NEWTON_STEPS):
        slope = regular @ found - 1 / found
        step = np.linalg.solve(regular + np.diag(found**-2), slope)
        decrement = math.sqrt(max(float(slope @ step), 0.0))
        found = found - step / (1 + decrement)
        if decrement < TOLERANCE:
            break
    return np.asarray(found)


def _length(gram: Array, weights: Array) -> float:
    """Return the length of a combination of the gradients."""
    return math.sqrt(max(float(weights @ gram @ weights), 0.0))
