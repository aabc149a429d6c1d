"""Where TensorFlow lets a derivative that it has not count as 0: an error that names the op."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from keras_curvature.engines.activity import NotDifferentiableError
from keras_curvature.engines.tensorflow import missing_gradients

POINT = np.array([[0.37]])
IMAGE = np.arange(16, dtype="float32").reshape(1, 4, 4, 1) / 7
ROW = np.linspace(0.2, 0.9, 4)
MATRIX = np.array([[2.0, 0.3], [0.3, 1.0], [0.1, 0.5]])
SPARSE = np.array([[0, 0], [1, 1]])
raw = tf.raw_ops


def wide(values):
    return tf.constant(values, tf.float64)


def narrow(t):
    return tf.cast(t, tf.float32)


def transformed(**options):
    """An image moved by `t`, from one op of two versions."""
    name = options.pop("op")

    def function(t):
        t = narrow(t)
        matrix = tf.concat([tf.ones(1), [0.1], t[None], [0.0], [1.0], -t[None], [0.0, 0.0]], 0)
        given = {"images": IMAGE, "transforms": matrix[None], "output_shape": [4, 4]}
        return getattr(raw, name)(**given, **{"interpolation": "BILINEAR", **options})

    return function


def normalised(op, index):
    def function(t):
        statistics = [tf.constant([0.2]), tf.constant([0.7])]
        statistics[index - 3] = narrow(t)[None]
        return getattr(raw, op)(
            x=IMAGE, scale=[1.5], offset=[0.1], mean=statistics[0], variance=statistics[1],
            is_training=False,
        )[0]  # fmt: skip

    return function


def gradient_of_normalised(op, index):
    def function(t):
        spaces = [tf.constant([0.2]), tf.constant([0.7])]
        spaces[index - 3] = narrow(t)[None]
        more = {"reserve_space_3": [0.0]} if op.endswith("V3") else {}
        return getattr(raw, op)(
            y_backprop=IMAGE, x=IMAGE**2, scale=[1.5], reserve_space_1=spaces[0],
            reserve_space_2=spaces[1], is_training=False, **more,
        )[1]  # fmt: skip

    return function


def quantised(op, index):
    def function(t):
        ends = [wide(-1.0), wide(1.0)]
        ends[index - 1] = 3 * t if index == 2 else -3 * t
        bits = {"num_bits": 8} if op.endswith("V3") else {}
        # Far outside: what comes is the end of the range itself.
        return getattr(raw, op)(
            input=wide([-90.0, 90.0]), input_min=ends[0], input_max=ends[1], range_given=True,
            **bits,
        )  # fmt: skip

    return function


def scaled(index):
    def function(t):
        where = [tf.constant([1.1, 0.9]), tf.constant([0.2, 0.1])]
        where[index - 2] = where[index - 2] + narrow(t)
        return raw.ScaleAndTranslate(
            images=IMAGE, size=[4, 4], scale=where[0], translation=where[1],
            kernel_type="triangle",
        )  # fmt: skip

    return function


def fake_quantised(op):
    ends = {"min": -1.0, "max": 1.0}
    if op.endswith("PerChannelGradient"):
        ends = {"min": [-1.0], "max": [1.0]}

    def function(t):
        return tf.nest.flatten(
            getattr(raw, op)(gradients=narrow(t)[None], inputs=tf.constant([0.3]), **ends)
        )[0]

    return function


def added(index):
    def function(t):
        values = [wide([1.0, 2.0]), wide([3.0, 4.0])]
        values[index // 4] = values[index // 4] * t
        a, b = (tf.SparseTensor(SPARSE, v, (2, 2)) for v in values)
        return tf.sparse.add(a, b, threshold=0.0).values ** 2

    return function


def found_in_a_table(t):
    keys = tf.constant(["a"])
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, tf.constant([1.0], tf.float64)), 0.0
    )
    return raw.LookupTableFindV2(
        table_handle=table.resource_handle, keys=tf.constant(["b"]), default_value=t
    )


BY_INPUT = {
    ("Betainc", 0): lambda t: tf.math.betainc(t, wide(1.7), wide(0.4)),
    ("Betainc", 1): lambda t: tf.math.betainc(wide(1.7), t, wide(0.4)),
    ("DrawBoundingBoxes", 0): lambda t: raw.DrawBoundingBoxes(
        images=narrow(t) * IMAGE, boxes=[[[0.3, 0.3, 0.6, 0.6]]]
    ),
    ("ExtractGlimpse", 0): lambda t: raw.ExtractGlimpse(
        input=narrow(t) * IMAGE, size=[2, 2], offsets=[[0.0, 0.0]]
    ),
    **{
        (op, 0): fake_quantised(op)
        for op in (
            "FakeQuantWithMinMaxVarsGradient",
            "FakeQuantWithMinMaxVarsPerChannelGradient",
        )
    },
    ("FakeQuantWithMinMaxArgsGradient", 0): lambda t: raw.FakeQuantWithMinMaxArgsGradient(
        gradients=narrow(t)[None], inputs=[0.3]
    ),
    **{
        (f"FusedBatchNorm{version}", i): normalised(f"FusedBatchNorm{version}", i)
        for version in ("", "V2", "V3")
        for i in (3, 4)
    },
    **{
        (f"FusedBatchNormGrad{version}", i): gradient_of_normalised(
            f"FusedBatchNormGrad{version}", i
        )
        for version in ("", "V2", "V3")
        for i in (3, 4)
    },
    ("LookupTableFindV2", 2): found_in_a_table,
    ("MatrixDiagPartV2", 2): lambda t: raw.MatrixDiagPartV2(
        input=MATRIX, k=[0, 1], padding_value=t
    ),
    ("MatrixDiagPartV3", 2): lambda t: tf.linalg.diag_part(MATRIX, k=(0, 1), padding_value=t),
    ("MatrixDiagV2", 4): lambda t: raw.MatrixDiagV2(
        diagonal=ROW, k=0, num_rows=4, num_cols=4, padding_value=t
    ),
    ("MatrixDiagV3", 4): lambda t: tf.linalg.diag(ROW, padding_value=t),
    ("MatrixSolveLs", 2): lambda t: raw.MatrixSolveLs(
        matrix=MATRIX, rhs=wide([[1.0], [2], [3]]), l2_regularizer=t
    ),
    ("PadV2", 2): lambda t: tf.pad(ROW, [[1, 1]], constant_values=t),
    ("Polygamma", 0): lambda t: tf.math.polygamma(t, wide(1.3)),
    **{
        (f"QuantizeAndDequantize{version}", i): quantised(f"QuantizeAndDequantize{version}", i)
        for version in ("V2", "V3")
        for i in (1, 2)
    },
    ("RaggedRange", 0): lambda t: tf.ragged.range(t[None], wide([2.0]), wide([1.0])).flat_values,
    ("RaggedRange", 2): lambda t: tf.ragged.range(wide([0.0]), wide([2.0]), t[None]).flat_values,
    ("Range", 0): lambda t: raw.Range(start=t, limit=wide(3.0), delta=wide(1.0)),
    ("Range", 2): lambda t: raw.Range(start=wide(0.0), limit=wide(1.0), delta=t),
    ("ScaleAndTranslate", 2): scaled(2),
    ("ScaleAndTranslate", 3): scaled(3),
    **{("SparseAdd", i): added(i) for i in (1, 4)},
    ("Zeta", 0): lambda t: tf.math.zeta(2 + t, wide(1.3)),
}
"""By op and input, a function of a number that enters there."""

UNRUN = {
    # on a GPU only; a handle of TensorFlow 1
    *(("SparseMatrixAdd", 2), ("SparseMatrixAdd", 3), ("LookupTableFind", 2)),
}

WITHOUT_GRADIENT = {
    "CTCGreedyDecoder": lambda t: tf.nn.ctc_greedy_decoder(
        narrow(t) * IMAGE[0, :, None, :, 0], [4]
    )[1],
    "LinSpace": lambda t: raw.LinSpace(start=t, stop=wide(3.0), num=3),
    "OneHot": lambda t: tf.one_hot([0, 2], 3, on_value=t, off_value=wide(0.0)),
    "RandomShuffle": lambda t: tf.random.shuffle(t * ROW),
    "SparseConcat": lambda t: (
        tf.sparse.concat(
            0,
            [
                tf.SparseTensor(SPARSE, t * ROW[:2], (2, 2)),
                tf.SparseTensor(SPARSE, ROW[:2], (2, 2)),
            ],
        ).values
    ),
}
"""Ops that are registered as not differentiable, though they change smoothly."""

OF_OUTPUT = {
    "FusedBatchNormV3": lambda t: raw.FusedBatchNormV3(
        x=narrow(t) * IMAGE, scale=[1.5], offset=[0.1], mean=[], variance=[]
    )[1],
}
"""Ops, and one of their outputs whose derivative their gradient leaves out."""


def of_one_number(function):
    """As a model: one number in, one out."""

    def model(x):
        weights = np.cos(np.arange(1, 1000))
        y = tf.reshape(tf.cast(function(x[0, 0]), x.dtype), [-1])
        return tf.reshape(tf.reduce_sum(y * weights[: y.shape[0] or 1]), [1, 1])

    return model


def taped(function, twice=False):
    t = tf.constant(POINT)
    with tf.GradientTape() as outer, tf.GradientTape() as tape:
        outer.watch(t)
        tape.watch(t)
        y = of_one_number(function)(t)
        if twice:
            y = tape.gradient(y, t)
    return (outer if twice else tape).gradient(y, t)


def difference(function, h=1e-3):
    ahead, behind = (of_one_number(function)(tf.constant(POINT + s)) for s in (h, -h))
    return (ahead - behind).numpy().item() / (2 * h)


def test_there_is_a_function_for_each():
    known = {(op, i) for op, inputs in missing_gradients._INPUTS.items() for i in inputs}
    assert known == set(BY_INPUT) | UNRUN


@pytest.mark.parametrize(("op", "index"), list(BY_INPUT))
def test_an_input_by_which_the_derivative_is_unknown(op, index):
    """Red if the table lacks it, and if TensorFlow came to have it."""
    function = BY_INPUT[op, index]
    if op != "Polygamma":  # is NaN between the integers
        assert abs(difference(function)) > 0.05
    assert taped(function, twice=op == "SparseAdd") is None
    with pytest.raises(NotDifferentiableError, match=f"{op} with respect to its input '") as error:
        kc.jacobian(of_one_number(function), POINT)
    assert error.value.places[0].op_type == op


@pytest.mark.parametrize("op", WITHOUT_GRADIENT)
def test_an_op_without_a_gradient(op):
    assert taped(WITHOUT_GRADIENT[op]) is None
    with pytest.raises(NotDifferentiableError, match=f"no derivative for {op} "):
        kc.hessian(of_one_number(WITHOUT_GRADIENT[op]), POINT)


@pytest.mark.parametrize("op", OF_OUTPUT)
def test_an_output_that_the_gradient_takes_no_notice_of(op):
    function = OF_OUTPUT[op]
    assert abs(difference(function)) > 0.05
    assert taped(function).numpy().item() == 0
    with pytest.raises(NotDifferentiableError, match=f"no derivative for {op} "):
        kc.hessian(of_one_number(function), POINT)


def test_it_is_unknown_beside_a_path_that_is_known_too():
    with pytest.raises(NotDifferentiableError, match="Betainc"):
        kc.laplacian(lambda x: x**2 * tf.math.betainc(x, wide(1.7), wide(0.4)), POINT)


def test_it_is_unknown_in_loops_and_branches_too():
    def function(x):
        return tf.while_loop(
            lambda i, _: i < 3,
            lambda i, y: (i + 1, tf.math.betainc(y + 1, wide(1.7), wide(0.4))),
            (tf.constant(0), x),
        )[1]

    with pytest.raises(NotDifferentiableError, match="Betainc with respect to its input 'a'"):
        kc.hessian(function, POINT)


@tf.custom_gradient
def half_forgotten(a, b):
    """A product with a square, whose author gave no gradient for that."""
    return a * b**2, lambda upstream: (upstream * b**2, None)


@tf.custom_gradient
def half_constant(a, b):
    return a * b**2, lambda upstream: (upstream * b**2, tf.zeros_like(b))


@tf.custom_gradient
def times_rounded(a, b):
    """None is right: there is no other derivative by what is rounded."""
    return a**2 * tf.round(b), lambda upstream: (upstream * 2 * a * tf.round(b), None)


@tf.custom_gradient
def half_stopped(a, b):
    stopped = tf.stop_gradient(b)
    return a * stopped**2, lambda upstream: (upstream * stopped**2, None)


@tf.custom_gradient
def with_a_gradient_unknown_to_tensorflow(a):
    y = tf.math.betainc(a, wide(1.7), wide(0.4))
    return a**2, lambda upstream: upstream * 2 * a * y / y


def enclosing(of):
    """A function that takes a factor from around it, and says nothing of its derivative."""

    def function(x):
        factor = of(x)

        @tf.custom_gradient
        def scaled(y):
            return y * factor, lambda upstream: upstream * factor

        return scaled(x**2)

    return function


FORGOTTEN = {
    "None for an argument": (lambda x: half_forgotten(x, x), "argument 1 .from 0."),
    "a tensor from around": (enclosing(tf.identity), "a tensor that is no argument"),
    "a formula": (with_a_gradient_unknown_to_tensorflow, "Betainc with respect to its input 'a'"),
    "inside a function": (
        lambda x: tf.function(lambda x: half_forgotten(x, x))(x), "argument 1 .from 0.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_gradient_written_by_hand_that_leaves_something_out(name):
    function, what = FORGOTTEN[name]
    with pytest.raises(NotDifferentiableError, match=what):
        kc.hessian(function, POINT)


HONOURED = {
    "zeros for an argument": (lambda x: half_constant(x, 2 * x), lambda t: (4 * t**2, 8 * t)),
    "rounded": (lambda x: times_rounded(x, x + 3), lambda t: (6 * t, 6)),
    "stopped": (lambda x: half_stopped(x, 2 * x), lambda t: (4 * t**2, 0)),
    "stopped around": (enclosing(tf.stop_gradient), lambda t: (2 * t**2, 2 * t)),
    "stopped behind what is unknown": (
        lambda x: x**2 * tf.stop_gradient(0 * tf.math.betainc(x, wide(1.7), wide(0.4)) + 3),
        lambda t: (6 * t, 6),
    ),
    "a count of what is unknown": (
        lambda x: x**2 * tf.cast(tf.math.zeta(2 + x, wide(1.3)) > 0, x.dtype),
        lambda t: (2 * t, 2),
    ),
    "quotients without a rest": (lambda x: x**2 * ((x + 3) // 1), lambda t: (6 * t, 6)),
    "the end of a range": (
        lambda x: x**2 * tf.reduce_sum(raw.Range(start=wide(1.0), limit=x[0, 0] + 2,
                                                 delta=wide(1.0))),
        lambda t: (6 * t, 6),
    ),
    "known by another input": (
        lambda x: tf.math.betainc(wide(2.0), wide(1.0), x), lambda t: (2 * t, 2),
    ),
}  # fmt: skip
"""What is meant, or 0 wherever there is a derivative, with slope and curvature."""


@pytest.mark.every(3)
@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("name", HONOURED)
def test_what_is_meant_is_no_error(name, engine):
    function, exact = HONOURED[name]
    found = kc.derivatives(function, POINT, ["jacobian", "hessian"], engine=engine)
    slope, curvature = exact(POINT.item())
    np.testing.assert_allclose(found["jacobian"].numpy().item(), slope, rtol=1e-12)
    np.testing.assert_allclose(found["hessian"].numpy().item(), curvature, rtol=1e-12)


CONSTANT = {
    "FloorDiv": lambda t: t // 0.3,
    "ImageProjectiveTransformV3": transformed(
        op="ImageProjectiveTransformV3", fill_value=0.0, interpolation="NEAREST"
    ),
}


@pytest.mark.parametrize("op", CONSTANT)
def test_only_constant_pieces_are_no_derivative(op):
    with pytest.raises(ValueError, match=f"only through ops without a derivative: {op}"):
        kc.hessian(of_one_number(CONSTANT[op]), POINT)
