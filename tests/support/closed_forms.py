"""Measurements of functions in closed form, shared by the tests of what is shown of them."""

import dataclasses

import numpy as np

from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.measurement.segment_slopes import Segments
from keras_curvature.report.data import Report, Verdict


def measurement(x, value, slope, hessian, at_scale=None, *, target=None, known=None, names=None):
    """A measurement of `m` outputs from arrays `(n, m)`, `(n, m, d)`, `(n, m, d, d)`."""
    x, value, slope, hessian = (np.asarray(a, dtype=float) for a in (x, value, slope, hessian))
    d = x.shape[1]
    diagonal = np.einsum("nmii->nmi", hessian).copy()
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    return ExactMeasurement(
        x=x,
        value=value,
        jacobian=slope,
        diagonal=diagonal,
        hessian=hessian,
        scale=spread / 4,
        scale_diagonal=diagonal.copy() if at_scale is None else np.asarray(at_scale, dtype=float),
        inside=(x - spread / 4 >= x.min(axis=0)) & (x + spread / 4 <= x.max(axis=0)),
        segments=Segments(np.ones(2), np.ones(2), np.zeros((2, 3, 1)), np.zeros((2, 2, 1))),
        target=target,
        reference=known,
        feature_names=tuple(names or (f"x{i}" for i in range(d))),
        input_spread=spread,
        output_spread=np.where(value.std(axis=0) > 0, value.std(axis=0), 1.0),
    )


def parabola(n=101, seed=0, **known):
    """`x²` at unsorted points of [0, 1]."""
    x = np.random.default_rng(seed).permutation(np.linspace(0, 1, n))[:, None]
    return measurement(x, x**2, 2 * x[..., None], np.full((n, 1, 1, 1), 2.0), names=["x"], **known)


def kinked(n=101):
    """As a ReLU network sees `x²`: nothing exactly, about 2 over a distance."""
    smooth = parabola(n)
    noise = np.random.default_rng(1).normal(size=(n, 1, 1))
    zero = np.zeros((n, 1, 1))
    return dataclasses.replace(
        smooth, diagonal=zero, hessian=zero[..., None], scale_diagonal=2 + noise - noise.mean()
    )


def quadratic_form(d, n=40, seed=0, names=None):
    """`x'Ax / 2` with known `A`, the same Hessian at every point."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(d, d))
    a = a + a.T
    x = rng.normal(size=(n, d))
    value = 0.5 * np.einsum("ni,ij,nj->n", x, a, x)[:, None]
    hessian = np.broadcast_to(a, (n, 1, d, d))
    return measurement(x, value, (x @ a)[:, None], hessian, names=names)


def on_grid(shape, n=40, **known):
    """A quadratic form of the entries of an image or a sequence."""
    d = int(np.prod(shape))
    m = quadratic_form(d, n, names=[str(index) for index in np.ndindex(shape)])
    return dataclasses.replace(m, example_shape=shape, **known)


def with_two_values(m, *inputs, start=0.0, end=1.0):
    """The measurement with some inputs that are said to have two values, and change the output."""
    ends = np.full((m.x.shape[1], 2), np.nan)
    ends[list(inputs)] = start, end
    changes = np.broadcast_to(np.arange(1.0, 1 + len(inputs)), (len(m.x), 1, len(inputs)))
    return dataclasses.replace(m, ends=ends, changes=changes * m.output_spread)


def saddle(n=200, names=("x0", "x1")):
    """`x0³ + x1³`, whose Laplacian is of either sign."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, 2))
    a, b = x.T
    hessian = np.zeros((n, 1, 2, 2))
    hessian[:, 0, 0, 0], hessian[:, 0, 1, 1] = 6 * a, 6 * b
    slope = np.stack([3 * a**2, 3 * b**2], 1)[:, None]
    return measurement(x, (a**3 + b**3)[:, None], slope, hessian, names=names)


def everywhere(m, number):
    """The measurement with `number` in the place of all that was measured."""
    fields = ("value", "jacobian", "diagonal", "hessian", "scale_diagonal")
    changed = {field: np.full_like(getattr(m, field), number) for field in fields}
    return dataclasses.replace(m, **changed, target=changed["value"], reference=changed["diagonal"])


def some(m, number):
    """The measurement with `number` at every third point."""
    changed = {}
    for field in ("value", "jacobian", "diagonal", "hessian", "scale_diagonal"):
        changed[field] = getattr(m, field).copy()
        changed[field][::3] = number
    return dataclasses.replace(m, **changed)


def features_of(m):
    """Mean |second derivative| along each input in standard deviations, as a report has it."""
    standard = np.abs(m.diagonal * m.input_spread**2 / m.output_spread[:, None])
    return dict(zip(m.feature_names, standard.mean(axis=(0, 1)), strict=True))


def pairs_of(m):
    """Mean |Hessian|, as a report has it."""
    return np.abs(m.hessian).mean(axis=(0, 1))


def report(
    features=None,
    *,
    step=3,
    output="",
    headline=None,
    reference=None,
    detail=None,
    interactions=None,
    sentence="The function bends, and the exact second derivative sees it.",
    method=("256 probe points, 1 input.", "Engine: nested, in float32."),
    units="raw",
    changes=None,
    shape=(),
    example_shape=None,
    hessians="",
):
    """A report with numbers that can be told apart."""
    headline_names = ["mean", "rms", "scale_mean", "scale_rms", "slope_change"]
    headline_names += ["hidden_fraction", "r2"]
    detail_names = ["p05", "p50", "p95", "max", "positive_fraction", "zero_fraction", "seconds"]
    return Report(
        step=step,
        output=output,
        headline=headline or {name: 1.5 + i for i, name in enumerate(headline_names)},
        reference=reference or {"reference_rmse": 20.5, "scale_reference_rmse": 21.5},
        detail=detail or {name: 30.5 + i for i, name in enumerate(detail_names)},
        features=features or {"x": 40.5},
        interactions=interactions,
        verdict=Verdict("smooth", sentence),
        method=method,
        units=units,
        changes=changes or {},
        shape=shape,
        example_shape=example_shape,
        hessians=hessians,
    )
