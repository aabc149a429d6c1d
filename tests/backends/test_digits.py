"""Tails, ties and confident classes digits that the backend's own derivatives lose."""

from __future__ import annotations

import keras
import mpmath
import numpy as np
import pytest
import scipy.special
from keras import ops

import keras_curvature as kc
from cases.special_points import OF_ONE_NUMBER
from confident_classes import ASKED, LOGITS, V, check, of_logsumexp, of_loss, of_probability

ENGINES = ["taylor", "nested"]

TAILS = (
    *("celu", "elu", "expm1", "log_sigmoid", "logaddexp", "mish", "selu", "sigmoid", "silu"),
    *("softplus", "tanh"),
)
"""Rows of `OF_ONE_NUMBER` that are Keras's own functions."""


def _derivatives(function, x, v, engine):
    found = {}
    for names in ASKED:
        found |= kc.derivatives(function, x, names, v=v, engine=engine)
    return {name: ops.convert_to_numpy(array).astype("float64") for name, array in found.items()}


def _check_columns(rows, points, engine):
    """Functions of one number, all at once, against their derivatives in float32."""
    x = np.array(points, "float32")[:, None]

    def columns(x):
        return ops.concatenate([ops.reshape(row.function(x), (-1, 1)) for row in rows], axis=1)

    found = _derivatives(columns, x, np.ones(1), engine)
    exact = x[:, 0].astype("float64")
    first, second = (np.stack([row[k](exact) for row in rows], axis=1) for k in (1, 2))
    for name, array in found.items():
        truth = first if name == "jacobian" else second
        np.testing.assert_allclose(
            array.reshape(truth.shape), truth, rtol=2e-5, atol=1e-36, err_msg=name
        )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_tails(engine):
    points, rows = OF_ONE_NUMBER["tails"]
    # At 0 elu and selu have no second derivative, and some are on their curved branch.
    _check_columns([rows[name] for name in TAILS], [x for x in points if x], engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_smooth_functions_written_in_branches(engine):
    """Right where their branches meet."""
    points, smooth = OF_ONE_NUMBER["smooth, written in branches"]
    functions = {
        "softplus by hand": lambda x: ops.maximum(x, 0) + ops.log1p(ops.exp(-ops.abs(x))),
        "hypot": lambda x: ops.hypot(x, ops.ones_like(x)),
        "abs times abs": lambda x: ops.abs(x) * ops.abs(x),
    }
    rows = [smooth[name]._replace(function=function) for name, function in functions.items()]
    _check_columns(rows, points, engine)


def _bessel_functions():
    """`I₀` and `I₁` of the backend: as they are, and by what is left without their exponential."""
    if keras.config.backend() == "jax":
        from jax.scipy.special import i0, i0e, i1, i1e
    elif keras.config.backend() == "torch":
        from torch.special import i0, i0e, i1, i1e
    else:
        from tensorflow.math import bessel_i0 as i0
        from tensorflow.math import bessel_i0e as i0e
        from tensorflow.math import bessel_i1 as i1
        from tensorflow.math import bessel_i1e as i1e
    rest = {"i0e": lambda x: ops.exp(ops.abs(x)) * i0e(x)}
    rest |= {"i1e": lambda x: ops.exp(ops.abs(x)) * i1e(x)}
    return {"i0": i0, "i1": i1, **rest, "keras": ops.i0, "0 alone": i0e, "1 alone": i1e}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["i0", "i1", "i0e", "i1e", "keras"])
def test_bessel_functions_are_smooth_where_their_factors_are_not(name, engine):
    """Written as `exp(|x|)` times a rest with a kink at 0."""
    if not hasattr(ops, "i0") and name == "keras":
        pytest.skip("this Keras has no i0")
    x = np.array([[0.0], [-0.0], [1e-5], [-0.3], [2.5], [-40.0]])
    over_x = np.where(x == 0, 0.5, scipy.special.i1(x) / np.where(x == 0, 1, x))
    bend_over_x = np.where(x == 0, 0, scipy.special.iv(2, x) / np.where(x == 0, 1, x))
    i0, i1 = scipy.special.i0(x), scipy.special.i1(x)
    truth = (i0 - over_x, i1 - bend_over_x) if "1" in name else (i1, i0 - over_x)
    found = kc.derivatives(
        _bessel_functions()[name], x, ("jacobian", "hessian"), dtype="float64", engine=engine
    )
    for array, exact in zip(found.values(), truth, strict=True):
        # Of numbers of size 1 that cancel, 11 digits beside the point are left by 1 / x.
        array = ops.convert_to_numpy(array).reshape(exact.shape)
        np.testing.assert_allclose(array, exact, rtol=1e-11, atol=1e-10)


def _functions_with_tails():
    """Functions of the backend's, and what they are, whose slopes are differences far out."""

    def bessel(order):
        return lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(order, x)

    def log_of_normal(x):
        return mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)

    own = _bessel_functions()
    yield own["0 alone"], bessel(0)
    yield own["1 alone"], bessel(1)
    yield lambda x: ops.hypot(x, ops.ones_like(x)), lambda x: mpmath.sqrt(1 + x * x)
    if keras.config.backend() == "jax":
        from jax.scipy.special import log_ndtr
        from jax.scipy.stats.norm import logsf

        yield log_ndtr, log_of_normal
        yield logsf, lambda x: log_of_normal(-x)
    if keras.config.backend() == "torch":
        from torch.special import erfcx, log_ndtr

        yield log_ndtr, log_of_normal
        yield lambda x: erfcx(ops.abs(x)), lambda x: mpmath.exp(x * x) * mpmath.erfc(abs(x))


FAR_OUT = [-1e4, -1e3, -100, -41, -13, -11, -7, -5.5, -2.5, 2.5, 5.5, 7, 11, 13, 41, 100, 1e3, 1e4]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_slopes_that_are_differences_keep_their_digits(dtype, engine):
    functions, exact = zip(*_functions_with_tails(), strict=True)
    points = np.array(FAR_OUT, dtype)[:, None]
    found = kc.derivatives(
        lambda x: ops.concatenate([function(x) for function in functions], axis=1),
        points,
        ("jacobian", "hessian"),
        dtype=dtype,
        engine=engine,
    )
    # In float32 JAX's are differences of numbers 10² larger up to where the expansions begin.
    allowed, smallest = {"float32": 1e-4, "float64": 1e-10}[dtype], float(np.finfo(dtype).tiny)
    for order, array in enumerate(found.values(), start=1):
        with mpmath.workdps(60):
            truth = [
                [mpmath.diff(f, x, order, h=mpmath.mpf("1e-15")) for f in exact] for x in FAR_OUT
            ]
        truth = np.array(truth, "float64")
        np.testing.assert_allclose(
            ops.convert_to_numpy(array).reshape(truth.shape),
            np.where(np.abs(truth) < smallest, 0, truth),
            rtol=allowed,
            atol=2 * smallest,
        )


def _labels(x):
    return ops.zeros(x.shape[:1], "int32")


CLASSES = {
    "softmax": (lambda x: ops.softmax(x)[:, 0], of_probability),
    "log_softmax": (lambda x: -ops.log_softmax(x)[:, 0], of_loss),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), of_logsumexp),
    "logaddexp": (
        lambda x: ops.logaddexp(ops.logaddexp(x[:, 0], x[:, 1]), x[:, 2]),
        of_logsumexp,
    ),
    "sparse cross entropy": (
        lambda x: ops.sparse_categorical_crossentropy(_labels(x), x, from_logits=True),
        of_loss,
    ),
    "cross entropy": (
        lambda x: ops.categorical_crossentropy(ops.one_hot(_labels(x), 3), x, from_logits=True),
        of_loss,
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "softmax" else [pytest.mark.slow]) for name in CLASSES],
)
def test_confident_classes(name, engine):
    function, derivatives = CLASSES[name]
    check(_derivatives(function, np.array(LOGITS, "float32"), V, engine), derivatives)
