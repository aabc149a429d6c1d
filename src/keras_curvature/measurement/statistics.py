"""Averages, shares and errors of arrays that hold NaN where nothing is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.typing import Array, Units

EIGENVALUE_TOLERANCE = 1e-5
"""Share of the largest |eigenvalue| below which one counts as 0: float32 rounding."""

NEIGHBOURS, FEWEST_NEIGHBOURS = 1024, 20
"""Points among which neighbours are looked for: the most, of which all distances take some
milliseconds, and the fewest, of which a standard error means something."""


JOINT_SHAPE = ("joint_convex_fraction", "joint_concave_fraction", "joint_convexity_violation")
"""What Hessians say of all inputs together, where they see what bends."""

OF_EIGENVALUES = ("normalized", *JOINT_SHAPE, "top_eigenvalue")
"""All that `from_eigenvalues` says, in this order."""

CARRIED = 0.9
"""Share of a mean square; few points that have it leave a standard error little to go by."""

PARTLY_HIDDEN = 0.05
"""Hidden fraction from which a function is called partly piecewise linear."""


def finite(values: Array) -> Array:
    """The finite ones, `(k,)`."""
    return values[np.isfinite(values)]


def mean(values: NDArray[Any]) -> float:
    """Their mean, NaN where there are none."""
    return float(np.mean(values)) if values.size else float("nan")


def root_mean(squares: Array) -> float:
    """The root of their mean, NaN where there are none."""
    return float(np.sqrt(mean(squares)))


def mean_where(used: NDArray[np.bool_], values: Array) -> Array:
    """Mean over outputs and points of the finite values used, `(d,)` of `(n, m, d)`."""
    used = used & np.isfinite(values)
    count = used.sum(axis=(0, 1))
    total = np.where(used, values, 0.0).sum(axis=(0, 1))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def error_of_column_means(used: NDArray[np.bool_], values: Array, share: float) -> float:
    """Standard error of the sum of what `mean_where` gives, over other choices of the points.

    To first order each point moves a mean by its distance from it over the number of values used
    (Cochran, Sampling Techniques, 1977, section 6.4). Nothing is left to chance at a `share` of 1.
    """
    used = used & np.isfinite(values)
    points = int(used.any(axis=(1, 2)).sum())
    if points < 2:
        return float("nan")
    away = np.where(used, values - mean_where(used, values), 0.0).sum(axis=1)
    moved = (away / np.maximum(used.sum(axis=(0, 1)), 1)).sum(axis=1)
    return float(np.sqrt((1 - share) * points / (points - 1) * np.sum(moved**2)))


def spread_of(value: Array) -> Array:
    """Standard deviation of the finite values of each output, 1 where it is 0."""
    columns = [finite(column) for column in value.T]
    spread = np.array([np.std(column) if column.size else 0.0 for column in columns])
    return np.where(spread > 0, spread, 1.0)


def deviations(x: Array, spread: Array) -> Array:
    """What each input counts as one unit in standard deviations, `(d,)`.

    0 for one that does not vary beside others that do: over the probe it makes no difference. With
    the 1 of `spread` the dark edge of images would outweigh what is to be seen on them.
    """
    return np.where(still(x), 0.0, spread)


def units_of(asked: str, points: Array) -> Units:
    """Those asked for; with `"auto"` those of the data for one input, deviations for several."""
    if asked == "auto":
        deviates = points.shape[1] > 1 and np.ptp(points, axis=0).any()
        return "std" if deviates else "raw"
    return "std" if asked == "std" else "raw"


def still(x: Array) -> NDArray[np.bool_]:
    """Which inputs are the same at all points `(n, d)`, beside others that are not, `(d,)`.

    Nothing tells how far they might be moved.
    """
    varies = np.ptp(x, axis=0) > 0
    return ~varies & varies.any()


def r2(value: Array, target: Array) -> float:
    """Coefficient of determination of the finite values, the mean of those of each output.

    As Keras and scikit-learn take it by default: pooled, one output of large variance would hide
    that no other is learned. An output that is known to be constant has none.
    """
    known = np.isfinite(value)
    residual = np.where(known, (value - target) ** 2, 0.0).sum(axis=0)
    about_mean = np.where(known, (target - target.mean(axis=0)) ** 2, 0.0).sum(axis=0)
    varies = (np.ptp(target, axis=0) > 0) & (about_mean > 0)
    return mean(1 - residual[varies] / about_mean[varies])


def adjusted_r2(columns: Array, y: Array) -> float:
    """That of a least-squares fit, noise discounted."""
    n, parameters = columns.shape
    fitted = columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
    if not (np.ptp(y, axis=0) > 0).any():
        return 1.0
    return 1 - (1 - r2(fitted, y)) * (n - 1) / (n - parameters)


def unlearned(x: Array, value: Array, target: Array) -> float:
    """Share of the variance of each output that the model has still to learn, at least, their mean.

    Noise is independent from point to point; what is not learned is not. So the mean product of
    the errors at each point and at the one nearest to it is the mean square of the latter, less
    what changes on the way: the residual variance minus the noise that differences of neighbours
    estimate (Rice, Bandwidth choice for nonparametric regression, 1984). This is two standard
    errors below it, two points that are nearest to each other counted as one: negative where
    neighbours are too few or, as among many inputs, too far to tell anything.

    Args:
        x: points in standard deviations, shape `(n, d)`.
        value: of the model, shape `(n, m)`.
        target: known values, shape `(n, m)`.
    """
    rows = np.linspace(0, len(x) - 1, min(len(x), NEIGHBOURS)).round().astype(int)
    rows = rows[np.isfinite(value[rows]).all(axis=1)]
    x, error, target = x[rows], (value - target)[rows], target[rows]
    varies = np.ptp(target, axis=0) > 0 if len(rows) else np.zeros(1, bool)
    if len(rows) < FEWEST_NEIGHBOURS or not varies.any():
        return -1.0
    error = error[:, varies] / target[:, varies].std(axis=0)
    squares = (x**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * x @ x.T
    np.fill_diagonal(distances, np.inf)
    products = (error * error[distances.argmin(axis=1)]).mean(axis=1)
    return float(products.mean() - 2 * products.std() * np.sqrt(2 / len(rows)))


def from_eigenvalues(
    hessian: Array, jacobian: Array, numbers: NDArray[np.bool_]
) -> dict[str, float]:
    """What the eigenvalues of Hessians `(n, m, d, d)` say; those of `numbers` alone, of shape."""
    known = np.isfinite(hessian).all(axis=(2, 3)) & np.isfinite(jacobian).all(axis=2)
    if not known.any():
        return dict.fromkeys(OF_EIGENVALUES, float("nan"))
    eigenvalues = np.linalg.eigvalsh(hessian[known])
    largest = np.abs(eigenvalues).max(axis=1)
    gradient = np.linalg.norm(jacobian[known], axis=1)
    sloped = gradient > 0
    top = np.unravel_index(np.abs(eigenvalues).argmax(), eigenvalues.shape)
    return {
        "normalized": float(np.median(largest[sloped] / gradient[sloped]))
        if sloped.any()
        else float("nan"),
        **_joint_shape(
            eigenvalues
            if numbers.all()
            else np.linalg.eigvalsh(hessian[known][:, numbers][:, :, numbers])
        ),
        "top_eigenvalue": float(eigenvalues[top]),
    }


def _joint_shape(eigenvalues: Array) -> dict[str, float]:
    """Of those of each Hessian, the lowest first, `(n, d)`."""
    if not eigenvalues.size:
        return dict.fromkeys(JOINT_SHAPE, float("nan"))
    tolerance = EIGENVALUE_TOLERANCE * np.abs(eigenvalues).max()
    shape = (
        np.mean(eigenvalues[:, 0] >= -tolerance),
        np.mean(eigenvalues[:, -1] <= tolerance),
        max(0.0, -eigenvalues.min()),
    )
    return dict(zip(JOINT_SHAPE, map(float, shape), strict=True))


def interactions(hessian: Array) -> Array:
    """Mean size of the finite ones of `(n, m, d, d)`, entry by entry, `(d, d)`."""
    known = np.isfinite(hessian).all(axis=(2, 3))
    return np.abs(hessian[known]).mean(axis=0) if known.any() else np.abs(hessian[0, 0])


def interaction_fraction(hessian: Array) -> float:
    """Squared mixed second derivatives over all squared ones.

    0: a sum of functions of one input each describes the model. 1: only products do.
    """
    squares = hessian[np.isfinite(hessian).all(axis=(2, 3))] ** 2
    every = squares.sum()
    mixed = squares[:, ~np.eye(squares.shape[-1], dtype=bool)].sum()
    return float(mixed / every) if every > 0 else 0.0


def by_point(values: Array) -> Array:
    """The mean over outputs at each point where all are finite, `(n,)` or fewer.

    The outputs of an example share its directions, so only points are independent.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return finite(values.mean(axis=1))


def error_of_mean(traces: Array) -> float:
    """Standard error of the mean trace over the probe: of the random directions, not of the probe.

    Args:
        traces: along each direction, `(n, m, k)`.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        variances = finite(traces.mean(axis=1).var(axis=1, ddof=1)) / traces.shape[2]
    return float(np.sqrt(np.sum(variances)) / len(variances)) if len(variances) else float("nan")


def error_of_sample(traces: Array) -> float:
    """Standard error of a mean over some of the probe's points: theirs and the directions'."""
    points = by_point(traces.mean(axis=2))
    return float(points.std(ddof=1) / np.sqrt(len(points))) if len(points) > 1 else float("nan")


def error_of_root(squares: Array) -> float:
    """Standard error of a root mean square, of the points as a sample and of what each is off by.

    By the jackknife: how much the root moves without each point in turn. On average that is no less
    than the true one (Efron, Stein, The jackknife estimate of variance, Annals of Statistics 9,
    1981), and up to twice that where few points have nearly all of the squares. There it has to
    be: too small a root comes with too small an error, and one from the deviation of the squares,
    right on average, reached the truth in 55 draws of 100.
    """
    n = len(squares)
    if n < 2 or not squares.any():
        return float("nan")
    without = np.sqrt(np.maximum(squares.sum() - squares, 0.0) / (n - 1))
    return float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))


def carriers(squares: Array) -> int:
    """The fewest points whose squares make up `CARRIED` of their sum."""
    sums = np.cumsum(np.sort(squares)[::-1])
    return int(np.searchsorted(sums, CARRIED * sums[-1])) + 1 if squares.any() else len(squares)
