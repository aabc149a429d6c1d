"""The table of models on the other backends: the same truth, the same weights, the same tolerances.

Errors are relative in the Frobenius norm over the whole batch:
`|found - truth| / max(|truth|, |gradient|)`, as on TensorFlow.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cases import CASES, named
from cases.weights import precision
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
    "models/autograph": "tf.cast",
    "models/exported": "only currently supported with the TensorFlow backend",
    "models/text_beside_numbers": "JAX has no arrays of text",
    "ops/average_pool": "inconsistent window_strides",  # Keras, where no strides are given
    "ops/max_pool": "inconsistent window_strides",
    "ops/rearrange": "Shapes must be 1D sequences of concrete values",  # Keras, of unknown batches
}
"""What Keras or JAX does not build or take: part of what it says."""

OTHERWISE = {
    "layers/MelSpectrogram": 1e-4,  # the matrix of its filters is made in float32
    "layers/Resizing[bicubic]": 1e-3,  # TensorFlow reads its weights from a table
}
"""What Keras's backends compute differently, and by how much at most."""


def table():
    for case in CASES:
        if case.family in TENSORFLOW_S or case.tags & {"slow", "wide"} or case.id in REFUSED:
            continue
        marks = [] if case.id in QUICK else [pytest.mark.slow]
        yield pytest.param(case, id=case.id, marks=marks)


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
    known = truths[case.id]
    options = Options(engine=engine, dtype=dtype, **case.kwargs)
    bound = bind(model_of(case), case.batch("float64"), options)
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
        name: np.linalg.norm(found[name] - truth) / (size or 1)
        for name, (truth, size) in wanted.items()
    }
    assert max(errors.values()) < max(TOLERANCE[dtype], OTHERWISE.get(case.id, 0)), errors


def _causes(error):
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_says_why(name):
    (case,) = named(name)
    with pytest.raises((NotImplementedError, TypeError)) as refusal:
        bind(case.make(), case.batch("float64"), Options(**case.kwargs))
    assert any(REFUSED[name] in cause for cause in _causes(refusal.value))
