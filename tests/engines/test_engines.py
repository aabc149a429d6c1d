"""Every engine on every case of the table, in float64 and float32, against the truth.

Errors are relative in the Frobenius norm over the whole batch:
`|found - truth| / max(|truth|, |gradient|)`; the gradient stands in where all second
derivatives are 0.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from cases import CASES
from cases.flat import (
    direction_of,
    joined,
    model_of,
    true_directional,
    true_gradient,
    true_hessian,
    true_slope,
    true_value,
)
from keras_curvature.engines import dispatch
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.evaluation import flat_derivatives
from keras_curvature.engines.options import Options
from keras_curvature.engines.tensorflow.taylor.engine import fallbacks

TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
ENGINES = list(dispatch.ENGINES)


REFUSED = {
    "ops/associative_scan": "ensure_shape",
    "ops/ctc_loss": "a function of TensorFlow 1",
    "ops/lu_factor": "no derivative for Lu",
    "tensorflow/dilation2d": "no second derivative for Dilation2D",
}
"""What neither Keras nor TensorFlow can do with a batch of any size: named errors, no numbers."""


def answers_another_question(case, engine):
    """Differences of gradients see what a `stop_gradient` hides, and step over kinks."""
    hidden = case.tags & {"stop_gradient", "straight_through"}
    # One of its thousands of kinks lies within the engine's step, 6e-6.
    return engine == "finite_difference" and (hidden or case.id == "applications/ResNet50")


BY_NESTED_ONLY = (
    "differentiating/gradient[recurrent]",
    "differentiating/of_a_loop",
    "ops/average",
)
"""What Taylor propagation refuses: derivatives of loops inside the model (lists of tensors), and
what takes one example at a time."""


LONG = (
    "differentiating/accumulator[moments]",
    "differentiating/by_weights",
    "differentiating/forward_over_reverse",
    "differentiating/forward_over_reverse[moments]",
    "differentiating/gradient[bicubic]",
    "differentiating/gradient[bilinear]",
    "differentiating/hessians",
    "differentiating/inside_a_function",
    "differentiating/inside_a_loop",
    "differentiating/inside_a_loop[moments]",
    "differentiating/jacobian[moments]",
    "differentiating/tape_in_tape[gelu]",
    "layers/Conv2D[grouped]",
    "layers/LSTM[unrolled]",
    "layers/RNN[LayerNormalization_in_the_cell,unrolled]",
    "layers/ZeroPadding3D",
    "networks/convnext_block",
    "networks/language_model",
    "networks/transformer_causal",
    "networks/transformer_pre_norm",
    "networks/unet",
    "ops/cholesky",
    "ops/correlate",
    "ops/eig",
    "ops/eigh",
    "ops/fold",
    "ops/istft",
    "ops/logdet",
    "ops/norm[spectral]",
    "ops/pinv",
    "ops/qr",
    "ops/svd",
    "tensorflow/cholesky_of_a_lower_triangle",
    "tensorflow/matrix_exponential",
    "tensorflow/projective_transform[CONSTANT]",
    "tensorflow/projective_transform[NEAREST]",
    "tensorflow/projective_transform[REFLECT]",
    "tensorflow/projective_transform[WRAP]",
    "tensorflow/projective_transform_by_the_input",
    "tensorflow/recompute_grad",
)
"""Cases that take 3 to 20 seconds each in their quickest way."""

EVERY_WAY = (
    "networks/layer_norm",
    "networks/mlp_relu",
    "networks/mlp_silu",
)
"""What `make test` has in all combinations, not with the Taylor engine in float64 alone."""


def seldom(case):
    """Raw TensorFlow ops and tapes, and most of `keras.ops`, whichever other cases there are."""
    return case.family in ("tensorflow", "differentiating") or (
        case.family == "ops" and case.number % 8 != 0
    )


def rows():
    """Cases x dtypes x engines; `make test` has each layer once and every eighth op."""
    for case in CASES:
        for dtype in TOLERANCE:
            if dtype == "float64" and "float32_only" in case.tags:
                continue
            for engine in ENGINES:
                if answers_another_question(case, engine):
                    continue
                if engine == "taylor" and case.id in BY_NESTED_ONLY:
                    continue
                one_way = (dtype, engine) == ("float64", "taylor") and not seldom(case)
                quick = one_way or case.id.startswith(EVERY_WAY)
                slow = (
                    case.tags & {"slow", "loop"} or case.id in LONG or "[" in case.id or not quick
                )
                marks = [pytest.mark.slow] if slow else []
                yield pytest.param(
                    case, dtype, engine, id=f"{case.id}-{dtype}-{engine}", marks=marks
                )


@functools.lru_cache(maxsize=4)
def bind_case(case, dtype, engine):
    options = Options(engine=engine, wrt=case.wrt)
    in_float64 = dispatch.ENGINES[engine].in_float64
    return bind(model_of(case, dtype), case.batch(dtype), options, in_float64=in_float64)


def derivatives(case, dtype, engine, names):
    bound = bind_case(case, dtype, engine)
    v = tf.cast(direction_of(case), bound.f.dtype)
    direction = v if "directional_curvature" in names else None
    found = flat_derivatives(bound, dispatch.ENGINES[engine], names, direction, None)
    return {name: tensor.numpy().astype(np.float64) for name, tensor in found.items()}


def error(found, truth, gradient):
    assert found.shape == truth.shape
    return np.linalg.norm(found - truth) / max(np.linalg.norm(truth), np.linalg.norm(gradient))


@pytest.mark.every(8)
@pytest.mark.parametrize(("case", "dtype", "engine"), list(rows()))
def test_derivatives_are_right(case, dtype, engine):
    if case.id in REFUSED and not (engine == "finite_difference" and "dilation" in case.id):
        with pytest.raises(ValueError, match=REFUSED[case.id]):
            derivatives(case, dtype, engine, ("hessian",))
        return
    wide = "wide" in case.tags
    names = ("value", "jacobian") + (("directional_curvature",) if wide else ("hessian",))
    found = derivatives(case, dtype, engine, names)
    if engine == "taylor" and case.family in ("layers", "activations") and "loop" not in case.tags:
        assert fallbacks(bind_case(case, dtype, engine).f) == ()
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(
        found["value"], true_value(case), atol=tolerance * np.abs(true_value(case)).max()
    )
    if wide:
        gradient, slope = found["jacobian"], true_slope(case)
        found_slope = np.einsum("nmd,nd->nm", gradient, direction_of(case))
        assert error(found_slope, slope, slope) < tolerance
        along = found["directional_curvature"]
        assert error(along, true_directional(case), gradient) < tolerance
    else:
        gradient = true_gradient(case)
        assert error(found["jacobian"], gradient, gradient) < tolerance
        assert error(found["hessian"], true_hessian(case), gradient) < tolerance


EXACT = [
    case
    for case in CASES
    if not case.tags & {"slow", "wide", "float32_only"}
    and case.id not in (*REFUSED, *BY_NESTED_ONLY)
]


@pytest.mark.slow
@pytest.mark.parametrize("case", EXACT, ids=lambda c: c.id)
def test_the_exact_engines_agree_on_every_quantity(case):
    """Each quantity is carried through in its own way; rounding is all they may differ by."""
    for name in ("hessian", "hessian_diagonal", "laplacian", "directional_curvature"):
        taylor, nested = (
            derivatives(case, "float64", engine, (name,))[name] for engine in ("taylor", "nested")
        )
        size = max(np.abs(nested).max(), np.abs(true_gradient(case)).max())
        np.testing.assert_allclose(taylor, nested, rtol=0, atol=1e-7 * size, err_msg=name)


def emitted():
    """`make test` has whole networks, `make test-all` single layers and ops too."""
    for case in CASES:
        if "slow" not in case.tags:
            slow = case.id in LONG or not case.id.startswith(("networks/", "models/"))
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(case, id=case.id, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(emitted()))
def test_the_model_as_it_is_emitted_gives_its_output_to_the_last_bit(case):
    """Op by op, without TensorFlow's graph optimiser, which may fuse the two differently."""
    if case.id in REFUSED and "dilation" not in case.id:
        pytest.skip("cannot be traced")
    if case.id == "differentiating/hessians":
        pytest.skip("tf.gradients exists in graphs only")
    dtype = "float32"
    bound = bind_case(case, dtype, "nested")
    found = bound.f(*bound.f.point(bound.inputs.leaves)).numpy()
    tf.config.run_functions_eagerly(True)
    try:
        outputs = model_of(case, dtype)(case.batch(dtype), training=False)
    finally:
        tf.config.run_functions_eagerly(False)
    # A SavedModel's function keeps its optimiser in older TensorFlow: one unit in the last place.
    older = case.id == "models/exported" and tf.__version__ < "2.21"
    outputs = joined(keras.tree.flatten(outputs))
    # Called eagerly, a model's own tape adds up in another order than in a graph.
    rtol = 3e-6 if case.id.startswith("differentiating/") else 3e-7 if older else 0
    np.testing.assert_allclose(found, outputs, rtol=rtol, atol=0)


@pytest.mark.parametrize(
    "case_id",
    [
        pytest.param("networks/transformer_of_the_evidence", marks=pytest.mark.slow),
        "ops/softsign",
        "ops/moments",
    ],
)
def test_beside_tensorflows_own_figure(case_id, capsys):
    """Where TensorFlow is wrong or silent; fails on the day on which it is mended."""
    (case,) = [case for case in CASES if case.id == case_id]
    model, x = model_of(case, "float64"), tf.constant(case.batch("float64"))
    truth = true_hessian(case)
    ours = error(derivatives(case, "float64", "nested", ("hessian",))["hessian"], truth, truth)
    try:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = model(x, training=False)
            gradient = inner.gradient(y, x)
        own = outer.batch_jacobian(gradient, x, experimental_use_pfor=True).numpy()
        assert truth.shape[1] == 1
        theirs = error(own.reshape(truth.shape), truth, truth)
        figure = f"{theirs:.1%} off"
    except Exception as failure:  # AutoGraph wraps the LookupError
        if "gradient registry has no entry for" not in str(failure):
            raise
        theirs, figure = np.inf, str(failure).strip().splitlines()[-1].strip()
    with capsys.disabled():
        print(f"\n{case_id}: TensorFlow's own Hessian: {figure}; ours: {ours:.0e} off")
    assert ours < 1e-6
    assert theirs > 0.01
