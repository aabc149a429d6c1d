"""Derivatives from values alone: central differences of high order in float64.

Nothing here knows autodiff. A function `f` takes points `(rows, d)` and gives values
`(rows, m)`, all float64 NumPy arrays; the rows are whole batches one after another, so
that row `i` belongs to example `i % n` (whatever else an example has goes with it).

The error of a second difference is the sum of two parts (`keras_curvature.verification.stencils`
has the weights and both factors), and each function here is as good as the better of its step's two
sides:

- truncation, `truncation(order) * h**order * |d^(order + 2) f / dt^(order + 2)|`;
- rounding, about `4 * weight(order) * eps * |f| / h**2`: each value is off by a few eps.

With order 8 and a function like exp or sin, `h = 0.05` leaves 1e-12 of either. tanh has
poles 1.6 away and needs `h = 0.02`, which leaves 1e-11. A kink within `order / 2 * h` of the
point along the direction spoils everything, so functions with kinks take small steps:
`h = 0.004` costs rounding of 2e-10 and looks 0.016 far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from keras_curvature.verification.stencils import first_weights, second_weights

Array = np.ndarray
Function = Callable[[Array], Array]

ROWS_AT_ONCE = 8192
"""Points per call of the function: the activations of a small network stay under 100 MB."""


def gradient(f: Function, x: Array, h: float, order: int = 8) -> Array:
    """All first derivatives of `f` at `x`.

    Args:
        f: the function, `(rows, d)` to `(rows, m)`.
        x: points, `(n, d)`.
        h: the step.
        order: of the differences; even.

    Returns:
        `(n, m, d)`.
    """
    d = x.shape[1]
    axes = np.broadcast_to(np.eye(d)[:, None], (d, *x.shape))
    return np.moveaxis(_directional(f, x, axes, h, first_weights(order), odd=True), 0, -1)


def difference(f: Function, x: Array, v: Array, h: float, order: int = 8) -> Array:
    """The first derivative of `f` along `v`, `(n, m)`; arguments as for the second."""
    return _directional(f, x, v[None], h, first_weights(order), odd=True)[0]


def directional_second_difference(
    f: Function, x: Array, v: Array, h: float, order: int = 8
) -> Array:
    """The second derivative of `f` along `v`, which need not have length 1.

    Args:
        f: the function, `(rows, d)` to `(rows, m)`.
        x: points, `(n, d)`.
        v: one direction for each point, `(n, d)`.
        h: the step, in units of the length of `v`.
        order: of the differences; even.

    Returns:
        `(n, m)`.
    """
    return _directional(f, x, v[None], h, second_weights(order), odd=False)[0]


def difference_of_slope(
    slope: Callable[[Array, Array], Array], x: Array, v: Array, h: float, order: int = 8
) -> Array:
    """The second derivative along `v` of a function whose slope along `v` is known.

    For deep networks with kinks, where no step is both short enough to cross none and long
    enough for values: rounding costs only `eps * |slope| / h`. It trusts first derivatives.

    Args:
        slope: from points and directions, both `(rows, d)`, to slopes, `(rows, m)`.
        x: points, `(n, d)`.
        v: one direction for each point, `(n, d)`.
        h: the step, in units of the length of `v`.
        order: of the differences; even.

    Returns:
        `(n, m)`.
    """

    def along_v(points: Array) -> Array:
        return slope(points, np.tile(v, (len(points) // len(v), 1)))

    return difference(along_v, x, v, h, order)


def hessian_of_value(f: Function, x: Array, h: float, order: int = 8) -> Array:
    """All second derivatives of `f` at `x`.

    Mixed derivatives by polarisation: along `e_i + e_j` the second derivative is
    `H_ii + H_jj + 2 H_ij`. (Not scaled to length 1: from a point with few binary digits,
    steps of a power of 2 then lead to points that float32 holds too.)

    Args:
        f: the function, `(rows, d)` to `(rows, m)`.
        x: points, `(n, d)`.
        h: the step.
        order: of the differences; even.

    Returns:
        `(n, m, d, d)`, symmetric.
    """
    d = x.shape[1]
    i, j = np.tril_indices(d)
    axes = np.eye(d)
    directions = np.where((i == j)[:, None], axes[i], axes[i] + axes[j])
    directions = np.broadcast_to(directions[:, None], (len(i), *x.shape))
    along = _directional(f, x, directions, h, second_weights(order), odd=False)
    along = np.moveaxis(along, 0, -1)  # (n, m, pairs)
    diagonal = along[..., i == j]
    result = np.empty((*along.shape[:2], d, d))
    entries = np.where(i == j, along, (along - diagonal[..., i] - diagonal[..., j]) / 2)
    result[..., i, j] = result[..., j, i] = entries
    return result


def _directional(
    f: Function, x: Array, directions: Array, h: float, weights: Array, *, odd: bool
) -> Array:
    """Differences along `directions` `(k, n, d)`, as `(k, n, m)`."""
    n, d = x.shape
    reach = h * np.arange(1, len(weights) + 1)
    offsets = np.concatenate([reach, -reach])
    centre = f(x)
    parts = []
    for some in _portions(directions, len(offsets) * n):
        points = x + offsets[:, None, None, None] * some  # (2p, k, n, d)
        values = f(points.reshape(-1, d)).reshape(2, len(weights), *some.shape[:2], -1)
        pairs = values[0] - values[1] if odd else (values[0] - centre) + (values[1] - centre)
        parts.append(np.einsum("p,pknm->knm", weights, pairs))
    return np.concatenate(parts) / (h if odd else h**2)


def _portions(directions: Array, rows_each: int) -> Iterator[Array]:
    size = max(1, ROWS_AT_ONCE // rows_each)
    for begin in range(0, len(directions), size):
        yield directions[begin : begin + size]
