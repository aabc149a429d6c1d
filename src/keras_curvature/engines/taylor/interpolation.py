"""Along which directions derivatives of higher order are found, and how.

Univariate series along a few directions have every mixed partial derivative (Griewank, Utke and
Walther, Evaluating higher derivative tensors by forward propagation of univariate Taylor series,
2000). With `D_v` the derivative along `v`, a monomial of order `p = Σ a_i` is

    ∂^a = 1/p! Σ_{0 <= j <= a} (-1)^|j| Π C(a_i, j_i) D_h^p,   h = a/2 - j

(Kan, From moments of sum to moments of product, 2008), in which `h` and `-h` are one direction.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from keras_curvature.engines.quantities import Partial

Direction = tuple[int, ...]
"""A sparse direction: pairs of an index and a whole number, one after the other."""


@dataclass(frozen=True)
class Plan:
    """The directions for some partial derivatives.

    Attributes:
        directions: `(k, d)`, those that are needed to the highest order first.
        counts: how many are needed to order 1, to order 2, …
        weights: for each partial derivative its order and, for each direction that goes so far,
            the weight of the derivative of that order along it.
    """

    directions: np.ndarray
    counts: tuple[int, ...]
    weights: dict[Partial, tuple[int, np.ndarray]]


def plan(partials: Collection[Partial], width: int) -> Plan:
    """Finds few directions, of which several partial derivatives are made.

    Args:
        partials: sorted indexes of inputs.
        width: how many inputs there are.
    """
    needed: dict[Direction, int] = {}
    made_of: dict[Partial, dict[Direction, float]] = {}
    # Those along one input first: what is mixed may use their directions.
    for partial in sorted(set(partials), key=lambda p: (len(set(p)), -len(p), p)):
        made_of[partial] = _made_of(partial, needed)
        for direction in made_of[partial]:
            needed[direction] = max(needed.get(direction, 0), len(partial))
    ordered = sorted(needed, key=lambda direction: -needed[direction])
    rows = np.zeros((len(ordered), width))
    for row, direction in zip(rows, ordered, strict=True):
        row[list(direction[::2])] = direction[1::2]
    highest = max(needed.values())
    counts = tuple(sum(n >= k for n in needed.values()) for k in range(1, highest + 1))
    weights = {
        partial: (
            len(partial),
            np.array([parts.get(v, 0.0) for v in ordered[: counts[len(partial) - 1]]]),
        )
        for partial, parts in made_of.items()
    }
    return Plan(rows, counts, weights)


def _made_of(partial: Partial, needed: dict[Direction, int]) -> dict[Direction, float]:
    exponents = Counter(partial)
    if len(exponents) == 2 and len(partial) == 2:
        i, j = partial
        alone: list[Direction] = [(i, 1), (j, 1)]
        if all(needed.get(direction, 0) >= len(partial) for direction in alone):
            return {(i, 1, j, 1): 0.5, alone[0]: -0.5, alone[1]: -0.5}
    return _symmetric(exponents)


def _symmetric(exponents: Counter[int]) -> dict[Direction, float]:
    """The sum over `j`, of `2 h` where that is whole, without common factors and with one sign."""
    inputs, order = list(exponents), sum(exponents.values())
    found: dict[Direction, float] = {}
    for js in itertools.product(*(range(a + 1) for a in exponents.values())):
        doubled = [a - 2 * j for a, j in zip(exponents.values(), js, strict=True)]
        common = math.gcd(*doubled)
        if common == 0:
            continue
        if next(h for h in doubled if h) < 0:
            common = -common
        weight = math.prod(math.comb(a, j) for a, j in zip(exponents.values(), js, strict=True))
        direction = tuple(
            itertools.chain.from_iterable(
                (i, h // common) for i, h in zip(inputs, doubled, strict=True) if h
            )
        )
        scale = (common / 2) ** order / math.factorial(order)
        found[direction] = found.get(direction, 0.0) + (-1) ** sum(js) * weight * scale
    return {direction: weight for direction, weight in found.items() if weight}


def bilaplacian(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions `(k, d)` and weights `(k,)` of fourth derivatives that add up to `Δ²`.

    Three directions in a plane, the six axes of an icosahedron in space, and beyond these
    `6 |x|⁴ = Σ_{i<j} (x_i ± x_j)⁴ + 2 (4 - d) Σ_i x_i⁴` (Reznick, Sums of even powers of real
    linear forms, 1992).
    """
    if width == 1:
        return np.ones((1, 1)), np.ones(1)
    if width == 2:
        angles = np.arange(3) * np.pi / 3
        return np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(3, 8 / 9)
    if width == 3:
        golden = (1 + math.sqrt(5)) / 2
        corners = [(0, 1, golden), (1, golden, 0), (golden, 0, 1)]
        turned = [(0, 1, -golden), (1, -golden, 0), (-golden, 0, 1)]
        rows = np.array(corners + turned) / math.sqrt(1 + golden**2)
        return rows, np.full(6, 5 / 6)
    axes = np.eye(width)
    i, j = np.triu_indices(width, 1)
    rows = np.concatenate([axes[i] + axes[j], axes[i] - axes[j], axes])
    weights = np.concatenate([np.full(2 * len(i), 1 / 6), np.full(width, (4 - width) / 3)])
    return rows[weights != 0], weights[weights != 0]
