"""From derivatives at a probe to the named numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement import rounding_noise
from keras_curvature.measurement.data import Measurement, Multiscale, Segments
from keras_curvature.report.data import ScaleProfile
from keras_curvature.typing import Array

EIGENVALUE_TOLERANCE = 1e-5
"""Share of the largest |eigenvalue| below which one counts as 0: float32 rounding."""

SLOPE_TOLERANCE = 64 * float(np.finfo(np.float32).eps)
"""Change of slope, relative to the largest slope, that rounding in float32 can fake."""


def in_standard_units(m: Measurement) -> Measurement:
    """The same with every input and output measured in its standard deviation.

    Numbers in these units compare between features and between runs: 1 means that the
    slope changes by one output deviation per input deviation, over one input deviation.
    """
    s = m.input_spread
    out = m.output_spread[:, None]
    lengths, stretched = m.segments.lengths, m.segments.standard_lengths
    ratio = np.divide(lengths, stretched, out=np.ones_like(lengths), where=stretched > 0)
    ratio = ratio[:, None, None] / m.output_spread
    return dataclasses.replace(
        m,
        jacobian=m.jacobian * s / out,
        diagonal=m.diagonal * s**2 / out,
        hessian=None if m.hessian is None else m.hessian * s[:, None] * s / out[..., None],
        scale=m.scale / s,
        scale_diagonal=m.scale_diagonal * s**2 / out,
        segments=Segments(
            lengths=stretched,
            standard_lengths=stretched,
            slopes=m.segments.slopes * ratio,
            curvature_integrals=m.segments.curvature_integrals * ratio,
            integration_errors=m.segments.integration_errors * ratio,
        ),
        reference=None if m.reference is None else m.reference * s**2 / out,
        input_spread=np.ones_like(s),
        value=m.value / m.output_spread,
        target=None if m.target is None else m.target / m.output_spread,
        output_spread=np.ones_like(m.output_spread),
    )


def headline(m: Measurement) -> dict[str, float]:
    """The few numbers to look at first."""
    numbers = {
        "mean": _mean(_finite(m.laplacian)),
        "rms": _root_mean(_squared_norm(m)),
        "scale_mean": float(np.sum(_over_inside(m, m.scale_diagonal))),
        "scale_rms": float(np.sqrt(np.sum(_over_inside(m, m.scale_diagonal**2)))),
        "slope_change": slope_change(m.segments),
        "hidden_fraction": hidden_fraction(m.segments),
    }
    if m.target is not None:
        numbers["r2"] = r2(m)
    return numbers


def reference_errors(m: Measurement) -> dict[str, float]:
    """How far the second derivatives are from the known ones."""
    if m.reference is None:
        return {}
    exact = (m.diagonal - m.reference) ** 2
    at_scale = _over_inside(m, (m.scale_diagonal - m.reference) ** 2)
    return {
        "reference_rmse": _root_mean(_finite(exact)),
        "scale_reference_rmse": float(np.sqrt(np.mean(at_scale))),
    }


def detail(m: Measurement) -> dict[str, float]:
    """The other scalars."""
    laplacian = _finite(m.laplacian)
    p05, p50, p95 = np.percentile(laplacian, [5, 50, 95]) if laplacian.size else [np.nan] * 3
    second = m.diagonal if m.hessian is None else m.hessian
    exact = second.reshape(*second.shape[:2], -1)
    numbers = {
        "p05": float(p05),
        "p50": float(p50),
        "p95": float(p95),
        "max": float(np.max(np.abs(laplacian))) if laplacian.size else np.nan,
        "positive_fraction": _mean(laplacian > 0),
        "zero_fraction": float(np.mean(np.all(exact == 0, axis=-1))),
        "nonfinite_fraction": float(np.mean(~np.all(np.isfinite(exact), axis=-1))),
    }
    if m.hessian is None:
        return numbers
    return (
        numbers
        | _from_eigenvalues(m, m.hessian)
        | {"interaction_fraction": interaction_fraction(m)}
    )


def feature_curvature(m: Measurement) -> dict[str, float]:
    """Mean |second derivative| along each input, in standard units."""
    standard = in_standard_units(m)
    return {
        name: _mean(_finite(np.abs(standard.diagonal[..., i])))
        for i, name in enumerate(m.feature_names)
    }


def interactions(m: Measurement) -> Array | None:
    """Mean |Hessian| in standard units, `(d, d)`, where the Hessian was taken."""
    hessian = in_standard_units(m).hessian
    if hessian is None:
        return None
    finite = np.isfinite(hessian).all(axis=(2, 3))
    return np.abs(hessian[finite]).mean(axis=0) if finite.any() else np.abs(hessian[0, 0])


def slope_change(segments: Segments) -> float:
    """Total |change of directional slope| over total length: total variation of the slope.

    Means the same for smooth and for piecewise-linear functions, and needs no scale
    (Savarese et al., How do infinite width bounded norm networks look in function space?,
    2019; in one input it is the total variation of the derivative). NaN where there is no way
    between points: of one point alone, or the same one many times.
    """
    changes = np.abs(np.diff(segments.slopes, axis=1)).sum(axis=1)
    finite = np.isfinite(changes).all(axis=1)
    length = segments.lengths[finite].sum()
    return float(changes[finite].mean(axis=1).sum() / length) if length > 0 else float("nan")


def hidden_fraction(segments: Segments) -> float:
    """Share of the change of slope that the exact second derivative does not see.

    On each piece of a segment the change of slope is set against the integral of the exact
    second derivative. 1 for a piecewise-linear function, 0 for a smooth one, and 0 where
    the slope does not change at all. NaN where there is no way between points.
    """
    change = np.diff(segments.slopes, axis=1)
    seen = segments.curvature_integrals
    finite = np.isfinite(change) & np.isfinite(seen)
    if not finite.any() or not segments.lengths.any():
        return float("nan")
    slopes = segments.slopes[np.isfinite(segments.slopes)]
    noise = SLOPE_TOLERANCE * np.abs(slopes).max(initial=0.0)
    missed = np.maximum(np.abs(change - seen) - segments.integration_errors, 0.0)[finite]
    larger = np.maximum(np.abs(change), np.abs(seen))[finite]
    missed = np.where(missed > noise, missed, 0.0)
    total = np.where(larger > noise, larger, 0.0).sum()
    return float(min(1.0, missed.sum() / total)) if total > 0 else 0.0


def r2(m: Measurement) -> float:
    """Coefficient of determination of the model on the probe, all outputs together."""
    if m.target is None:
        return float("nan")
    finite = np.isfinite(m.value)
    residual = ((m.value - m.target)[finite] ** 2).sum()
    about_mean = ((m.target - m.target.mean(axis=0))[finite] ** 2).sum()
    return float(1 - residual / about_mean) if about_mean > 0 else float("nan")


def scale_profile(m: Measurement) -> ScaleProfile | None:
    """Curvature over each distance, in standard deviations, all outputs together."""
    return None if m.multiscale is None else scale_profile_of(m.multiscale, m.output_spread)


def scale_profile_of(multiscale: Multiscale, output_spread: Array) -> ScaleProfile:
    """The same from the curvature over many distances alone."""
    distances = multiscale.distances
    curvature = multiscale.curvature / output_spread
    finite = np.isfinite(curvature)
    count = finite.sum(axis=(1, 2))
    known = np.where(finite, curvature, 0.0)
    empty = np.full(count.shape, np.nan)
    mean, square = (
        np.divide(x.sum(axis=(1, 2)), count, out=empty.copy(), where=count > 0)
        for x in (known, known**2)
    )
    double, single = (
        rounding_noise.in_second_difference(
            np.sqrt(np.mean((noise / output_spread) ** 2)), distances
        )
        for noise in (multiscale.noise, multiscale.single_noise)
    )
    return ScaleProfile(distances, mean, np.sqrt(square), double, single)


def interaction_fraction(m: Measurement) -> float:
    """Squared mixed second derivatives over all squared ones, in standard units.

    0: a sum of functions of one input each describes the model. 1: only products do.
    """
    hessian = in_standard_units(m).hessian
    if hessian is None:
        return float("nan")
    squares = hessian[np.isfinite(hessian).all(axis=(2, 3))] ** 2
    every = squares.sum()
    mixed = squares[:, ~np.eye(squares.shape[-1], dtype=bool)].sum()
    return float(mixed / every) if every > 0 else 0.0


def gain_of_a_parabola(m: Measurement) -> float:
    """How much better a parabola in each input would fit the known values than a plane.

    The difference of the adjusted R2 of the two least-squares fits on the probe: what there
    is to learn beyond a straight line, noise discounted. 0 where the probe has too few points
    to say.
    """
    n, d = m.x.shape
    if m.target is None or n < 4 * d + 4:
        return 0.0
    u = (m.x - m.x.mean(axis=0)) / m.input_spread
    plane = np.hstack([np.ones((n, 1)), u])
    return _adjusted_r2(np.hstack([plane, u**2]), m.target) - _adjusted_r2(plane, m.target)


def _adjusted_r2(columns: Array, y: Array) -> float:
    n, parameters = columns.shape
    fitted = columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
    about_mean = ((y - y.mean(axis=0)) ** 2).sum()
    if about_mean == 0:
        return 1.0
    return float(1 - ((y - fitted) ** 2).sum() / about_mean * (n - 1) / (n - parameters))


def _from_eigenvalues(m: Measurement, hessian: Array) -> dict[str, float]:
    finite = np.isfinite(hessian).all(axis=(2, 3)) & np.isfinite(m.jacobian).all(axis=2)
    if not finite.any():
        return dict.fromkeys(
            ("normalized", "convex_fraction", "concave_fraction", "worst_convexity_violation",
             "top_eigenvalue"), float("nan"),
        )  # fmt: skip
    matrices = hessian[finite]
    eigenvalues = np.linalg.eigvalsh(matrices)
    largest = np.abs(eigenvalues).max(axis=1)
    tolerance = EIGENVALUE_TOLERANCE * largest.max()
    gradient = np.linalg.norm(m.jacobian[finite], axis=1)
    sloped = gradient > 0
    top = np.unravel_index(np.abs(eigenvalues).argmax(), eigenvalues.shape)
    return {
        "normalized": float(np.median(largest[sloped] / gradient[sloped]))
        if sloped.any()
        else float("nan"),
        "convex_fraction": float(np.mean(eigenvalues[:, 0] >= -tolerance)),
        "concave_fraction": float(np.mean(eigenvalues[:, -1] <= tolerance)),
        "worst_convexity_violation": float(max(0.0, -eigenvalues.min())),
        "top_eigenvalue": float(eigenvalues[top]),
    }


def _squared_norm(m: Measurement) -> Array:
    """Squared Frobenius norm of each finite Hessian, or of its diagonal where that is all."""
    second = m.diagonal if m.hessian is None else m.hessian
    return _finite((second.reshape(*second.shape[:2], -1) ** 2).sum(axis=-1))


def _over_inside(m: Measurement, values: Array) -> Array:
    """Mean over outputs and the points whose window is inside the probe's range, `(d,)`."""
    used = m.inside[:, None, :] & np.isfinite(values)
    count = used.sum(axis=(0, 1))
    total = np.where(used, values, 0.0).sum(axis=(0, 1))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _finite(values: Array) -> Array:
    return values[np.isfinite(values)]


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _root_mean(squares: Array) -> float:
    return float(np.sqrt(_mean(squares)))
