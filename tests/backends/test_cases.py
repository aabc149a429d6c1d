"""The table of models on the other backends: the same truth, the same weights, the same tolerances.

Errors are relative in the Frobenius norm over the whole batch:
`|found - truth| / max(|truth|, |gradient|)`, as on TensorFlow.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_curvature as kc
import truth
from cases import CASES, named
from cases.weights import precision
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.backend import computing_in
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.dispatch import ENGINES
from keras_curvature.engines.evaluation import flat_derivatives
from keras_curvature.engines.options import Options

TOLERANCE = {"float64": 1e-6, "float32": 1e-3}

TENSORFLOW_S = ("tensorflow", "differentiating", "applications")
"""Families of raw TensorFlow ops, of its tapes, and of weights that are downloaded."""

QUICK = (
    "activations/gelu",
    "activations/softmax",
    "layers/BatchNormalization",
    "layers/Conv2D",
    "layers/Dense",
    "layers/SimpleRNN",
    "layers/LayerNormalization",
    "layers/MaxPooling2D",
    "ops/cumprod",
    "ops/logsumexp",
    "ops/scan",
    "ops/sort",
    "ops/while_loop",
)


REFUSED = {
    "jax": {
        "models/autograph": "tf.cast",
        "models/exported": "only currently supported with the TensorFlow backend",
        "models/text_beside_numbers": "JAX has no arrays of text",
        "ops/average_pool": "inconsistent window_strides",  # Keras, where no strides are given
        "ops/max_pool": "inconsistent window_strides",
        "ops/rearrange": "Shapes must be 1D sequences of concrete values",  # of unknown batches
    },
    "torch": {
        "models/autograph": "Cannot convert a symbolic tf.Tensor",
        "models/exported": "Node type mismatch",  # Keras, where it exports a Sequential
        "models/text_beside_numbers": "PyTorch has no tensors of text",
        "ops/ctc_loss": "PyTorch has no second derivative for _ctc_loss",
        "ops/full_like": "calling .item() on a Tensor",  # Keras, of a tensor that is to fill
        "ops/get_item[negative_stride]": "step must be greater than zero",
        "ops/linspace": "does not support an `axis` argument",
        "ops/logspace": "does not support an `axis` argument",
        "ops/scatter": "cannot be called on meta tensors",  # Keras, where it looks for shapes
        "ops/vdot": "step must be greater than zero",  # its case goes backwards through an array
    },
}[keras.config.backend()]
"""What Keras or the backend does not build or take: part of what it says."""

OTHERWISE = {
    "jax": {
        "layers/MelSpectrogram": "the matrix of its filters is made in float32",
        "layers/Resizing[bicubic]": "TensorFlow reads its weights from a table",
    },
    "torch": {
        "layers/AveragePooling2D[same]": "what is padded counts",
        "layers/MelSpectrogram": "the matrix of its filters is made in float32",
        "layers/Normalization[adapted]": "its statistics are views of its weights, which move here",
        "layers/Resizing[bicubic]": "another cubic",
        "layers/UpSampling2D[bicubic]": "another cubic",
        "ops/pad[symmetric]": "Keras replicates the edge",
    },
}[keras.config.backend()]
"""What Keras computes otherwise here: the truth is differences of the model's values here."""


def table():
    for case in CASES:
        if case.family in TENSORFLOW_S or case.tags & {"slow", "wide"} or case.id in REFUSED:
            continue
        marks = [] if case.id in QUICK else [pytest.mark.slow]
        yield pytest.param(case, id=case.id, marks=marks)


def truth_here(case, model):
    """The true derivatives of what Keras computes on this backend, by differences in float64."""
    bound = bind(model, case.batch("float64"), Options(dtype="float64", **case.kwargs))
    with computing_in("float64"):
        z, rest = bound.f.point(list(map(xp.constant, bound.inputs.leaves)))

    def values(points):
        with computing_in("float64"):
            others = [xp.concatenate([part] * (len(points) // len(z)), 0) for part in rest]
            return xp.to_numpy(bound.f(xp.constant(points), others))

    point = xp.to_numpy(z)
    # They are values of Keras, in float32: a logarithm of a small number loses digits.
    called = [
        np.reshape(keras.ops.convert_to_numpy(y), (len(z), -1))
        for y in keras.tree.flatten(model(case.batch("float32"), training=False))
    ]
    np.testing.assert_allclose(np.concatenate(called, 1), values(point), rtol=1e-4)
    return {
        "value": values(point),
        "jacobian": truth.gradient(values, point, case.h, case.order),
        "hessian": truth.hessian_of_value(values, point, case.h, case.order),
    }


@pytest.fixture(scope="module")
def model_of(truths):
    def model(case):
        with precision("float32"):
            made = case.make()
        for variable, value in zip(made.weights, truths[case.id]["weights"], strict=True):
            variable.assign(value.astype(variable.dtype))
        return made

    return model


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("engine", ["nested", "taylor"])
@pytest.mark.parametrize("case", [*table()])
def test_derivatives_are_right(case, engine, dtype, model_of, truths):
    model = model_of(case)
    known = truth_here(case, model) if case.id in OTHERWISE else truths[case.id]
    options = Options(engine=engine, dtype=dtype, **case.kwargs)
    bound = bind(model, case.batch("float64"), options)
    with computing_in(dtype):
        asked = [("value", "jacobian", "hessian"), ("hessian_diagonal",), ("laplacian",)]
        found = {
            name: keras.ops.convert_to_numpy(array).astype("float64")
            for names in asked
            for name, array in flat_derivatives(bound, ENGINES[engine], names, None, None).items()
        }
    hessian = known["hessian"]
    scale = max(np.linalg.norm(hessian), np.linalg.norm(known["jacobian"]))
    wanted = {
        **{name: (known[name], np.linalg.norm(known[name])) for name in ("value", "jacobian")},
        "hessian": (hessian, scale),
        "hessian_diagonal": (np.einsum("nmii->nmi", hessian), scale),
        "laplacian": (np.einsum("nmii->nm", hessian), scale),
    }
    errors = {
        name: np.linalg.norm(found[name] - right) / (size or 1)
        for name, (right, size) in wanted.items()
    }
    assert max(errors.values()) < TOLERANCE[dtype], errors


def _causes(error):
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_says_why(name):
    (case,) = named(name)
    with pytest.raises((NotImplementedError, RuntimeError, TypeError, ValueError)) as refusal:
        kc.hessian(case.make(), case.batch("float32"), **case.kwargs)
    assert any(REFUSED[name] in cause for cause in _causes(refusal.value))
