"""What the Taylor engine promises besides right numbers: rules, shortcuts, reports."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from cases import CASES
from cases.flat import model_of
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.options import Options
from keras_curvature.engines.taylor.modes import Collapsed
from keras_curvature.engines.tensorflow.random_directions import rademacher
from keras_curvature.engines.tensorflow.taylor.engine import Taylor
from keras_curvature.engines.tensorflow.taylor.propagation import advance
from keras_curvature.engines.tensorflow.taylor.recorded_model import record
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets


def mlp(*widths, inputs=3, activation="tanh"):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(width, activation) for width in widths]
    return keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(1)])


def points(n=5, d=3):
    return np.random.default_rng(0).normal(size=(n, d)).astype("float32")


TAYLOR = Taylor()


def bound_to(model, x):
    return bind(model, x, Options(), in_float64=False)


ACTIVATIONS = [c for c in CASES if c.family == "activations" and "loop" not in c.tags]


@pytest.mark.every(3)
@pytest.mark.parametrize("case", ACTIVATIONS, ids=lambda c: c.id)
def test_a_whole_hessian_takes_one_tangent_per_input(case):
    """Also where the graph holds more than the output needs: `silu` brings its own gradient."""
    assert kc.engine_choice(model_of(case, "float32"), case.batch("float32"), ["hessian"]).name == (
        "taylor"
    )


NETWORKS = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
"""Of `keras.applications`, with the smallest images that each takes."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_needs_the_fallback(name):
    """And both exact engines agree; the truth for seven of them is in `test_engines`."""
    keras.utils.set_random_seed(0)
    shape = (NETWORKS[name], NETWORKS[name], 3)
    build = getattr(keras.applications, name)
    model = build(include_top=False, weights=None, input_shape=shape, pooling="avg")
    rng = np.random.default_rng(0)
    x, v = rng.uniform(0, 255, size=(1, *shape)), rng.normal(size=(1, *shape))
    assert kc.engine_choice(model, x, ["directional_curvature"]).fallbacks == ()
    taylor, nested = (
        kc.directional_curvature(
            model, x, v, output=lambda y: y[:, :2], engine=engine, dtype="float64"
        ).numpy()
        for engine in ("taylor", "nested")
    )
    np.testing.assert_allclose(taylor, nested, rtol=0, atol=1e-8 * np.abs(nested).max())


@pytest.mark.usefixtures("rules_as_before")
def test_an_op_without_a_rule_is_named_and_still_right():
    kc.taylor.deregister("EuclideanNorm")
    x = tf.constant(points())

    def norms(x):
        return tf.math.reduce_euclidean_norm(x, axis=1, keepdims=True)

    choice = kc.engine_choice(norms, x, ["laplacian"])
    assert [place.op_type for place in choice.fallbacks] == ["EuclideanNorm"]
    assert "EuclideanNorm" in str(choice)
    found = kc.laplacian(norms, x, engine="taylor")
    np.testing.assert_allclose(found, 2 / norms(x), rtol=1e-5)  # of |x| in 3 dimensions


@tf.custom_gradient
def swish_by_name_only(x, beta):
    """The value of `tf.nn.silu`, which the engine knows, with a derivative of its author's."""
    return x * tf.sigmoid(beta * x), lambda upstream: (3 * x * upstream, None)


def test_a_custom_gradient_that_looks_like_a_known_one_keeps_its_meaning():
    x = [[0.5]]
    found = kc.laplacian(lambda x: swish_by_name_only(x, tf.ones([], x.dtype)), x)
    np.testing.assert_allclose(found, [[3.0]])


@pytest.mark.usefixtures("rules_as_before")
def test_a_rule_of_ones_own_is_used():
    kc.taylor.deregister("Square")
    kc.taylor.register("Square", kc.taylor.elementwise(lambda x, y: 3 * x, lambda x, y: 7 + 0 * x))
    found = kc.laplacian(lambda x: tf.raw_ops.Square(x=x), [[1.0]], engine="taylor")
    assert float(found[0, 0]) == 7


@pytest.mark.usefixtures("rules_as_before")
def test_another_rule_counts_for_a_model_that_was_asked_before():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation(tf.square)])
    for second in (7.0, None, 2.0):
        kc.taylor.deregister("Square")
        if second is not None:
            rule = kc.taylor.elementwise(lambda x, y: 2 * x, lambda x, y, b=second: b + 0 * x)
            kc.taylor.register("Square", rule)
        found = kc.laplacian(model, [[1.0]], engine="taylor")
        assert float(found[0, 0]) == (second or 2)  # without a rule TensorFlow's derivatives
        if second is None:
            kc.taylor.register("Square", rule)


REFUSED = {
    "register": [("Op", None), ("Op", lambda x: x), (3, kc.taylor.linear())],
    "deregister": [(None,), (["Tanh"],)],
    "is_registered": [({},)],
    "elementwise": [(3,), (None,), (tf.cos, 3)],
    "through": [("tf.cos",)],
}


@pytest.mark.parametrize(
    ("name", "given"), [(name, given) for name, calls in REFUSED.items() for given in calls]
)
def test_what_makes_no_rule_is_refused_at_once(name, given):
    with pytest.raises(TypeError, match=r"must be.*Received"):
        getattr(kc.taylor, name)(*given)
    assert not kc.taylor.is_registered("Op")


@pytest.mark.usefixtures("rules_as_before")
def test_a_formula_stands_for_an_op():
    kc.taylor.deregister("Softplus")
    kc.taylor.register("Softplus", kc.taylor.through(lambda op, x: tf.math.log(1 + tf.exp(x))))
    x = points()
    for name in ("hessian", "laplacian", "hessian_diagonal"):
        model = mlp(4, activation="softplus")
        exact = getattr(kc, name)(model, x, engine="nested")
        np.testing.assert_allclose(getattr(kc, name)(model, x, engine="taylor"), exact, atol=1e-6)


def test_registering_twice_and_forgetting_what_is_not_there():
    rule = kc.taylor.elementwise(lambda x, y: y)
    with pytest.raises(ValueError, match="already"):
        kc.taylor.register("Tanh", rule)
    with pytest.raises(ValueError, match="no rule for 'Nonsense'"):
        kc.taylor.deregister("Nonsense")
    assert kc.taylor.is_registered("Tanh")
    assert not kc.taylor.is_registered("Nonsense")


def test_before_the_first_nonlinearity_no_example_has_work_of_its_own():
    bound = bound_to(mlp(8), points())
    recording = record(bound.f, *bound.f.point(bound.inputs.leaves))
    matmul = next(step for step in recording.steps if step.op.type == "MatMul")
    (jet,) = advance(matmul, ActiveJets(recording.start()), Collapsed(3))
    assert jet.base.first.shape == (3, 1, 8)


@tf.function(jit_compile=True)
def compiled_by_its_author(x):
    return tf.tanh(tf.tanh(x) @ tf.constant([[1.0], [2.0], [3.0]]))


@pytest.mark.every(2)
@pytest.mark.parametrize("compiled", [False, True], ids=["call", "XLA"])
def test_squares_are_summed_where_xla_compiles_and_where_it_does_not(compiled):
    """There is an op for it, for which XLA has no kernel."""
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

    def laplacian(x):
        return kc.laplacian(compiled_by_its_author, x, engine="taylor")

    exact = kc.laplacian(compiled_by_its_author, x, engine="nested")
    found = tf.function(laplacian, jit_compile=True)(x) if compiled else laplacian(x)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5)


def test_products_are_summed_over_the_directions_under_xla():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

    def f(x):
        return tf.matmul(tf.tanh(x)[:, None], tf.sin(x)[:, :, None])[:, 0]

    found = tf.function(lambda x: kc.laplacian(f, x, engine="taylor"), jit_compile=True)(x)
    z = x.astype(float)
    t, slope = np.tanh(z), 1 - np.tanh(z) ** 2
    exact = -2 * t * slope * np.sin(z) + 2 * slope * np.cos(z) - t * np.sin(z)
    np.testing.assert_allclose(found, exact.sum(axis=1, keepdims=True), rtol=0, atol=1e-5)


def test_a_sum_of_squares_of_0_has_a_gradient():
    """Behind a weight of 0 all tangents are 0, and so is the gradient of their squares by it."""
    dense = keras.layers.Dense(1, "tanh", kernel_initializer="zeros", bias_initializer="ones")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("tanh"), dense])
    with tf.GradientTape() as tape:
        laplacian = kc.laplacian(model, np.ones((2, 3), np.float32), engine="taylor")
    by_kernel, by_bias = tape.gradient(laplacian, model.trainable_weights)
    first, second = 1 - np.tanh(1.0) ** 2, -2 * np.tanh(1.0) * (1 - np.tanh(1.0) ** 2)
    np.testing.assert_allclose(
        by_kernel, len(laplacian) * np.full((3, 1), first * second), rtol=1e-5
    )
    np.testing.assert_array_equal(by_bias, [0])


WEIGHTS = np.random.default_rng(3).normal(size=(3, 4))


def squashed(x):
    hidden = tf.tanh(tf.matmul(x, tf.constant(WEIGHTS, x.dtype)))
    return tf.reduce_sum(hidden * hidden, axis=1, keepdims=True)


def siamese(x):
    a, b = tf.split(squashed(tf.concat([x, 2 * x], axis=0)), 2)
    return a * b


def siamese_by_slices(x):
    both, n = squashed(tf.concat([x, 2 * x], axis=0)), tf.shape(x)[0]
    return both[:n] * both[n:]


def tiled(x):
    return tf.reduce_mean(tf.reshape(squashed(tf.tile(x, [3, 1])), [3, -1, 1]), axis=0)


def padded(x):
    return squashed(tf.pad(tf.tanh(x), [[1, 0], [0, 0]]))[1:]


@pytest.mark.every(15)
@pytest.mark.parametrize("name", ["laplacian", "hessian", "hessian_diagonal"])
@pytest.mark.parametrize(
    "model", [siamese, siamese_by_slices, tiled, padded], ids=lambda model: model.__name__
)
def test_examples_may_lie_elsewhere_on_the_way(model, name):
    """Twice in the batch, behind others: what an op adds cannot be told by example there."""
    x = np.random.default_rng(0).normal(size=(5, 3))
    exact = getattr(kc, name)(model, x, engine="nested").numpy()
    found = getattr(kc, name)(model, x, engine="taylor").numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12 * np.abs(exact).max())


def test_a_sum_of_squares_is_no_linear_entry():
    f = bound_to(lambda x: tf.reduce_sum(x * x, axis=1, keepdims=True), points(d=6)).f
    assert TAYLOR.directions(f, ("laplacian",)) == 6


@pytest.mark.parametrize(
    ("model", "directions"),
    [
        (mlp(8, inputs=3), 3),
        (mlp(8, inputs=20), 8),
        (mlp(8, inputs=20, activation="relu"), 8),
        (keras.Sequential([keras.Input((20,)), keras.layers.Dense(1)]), 1),
    ],
)
def test_as_many_directions_as_the_entry_has_units(model, directions):
    x = points(d=model.input_shape[1])
    assert TAYLOR.directions(bound_to(model, x).f, ("laplacian",)) == directions


def test_a_skip_around_the_entry_needs_all_directions():
    inputs = keras.Input((6,))
    narrow = keras.layers.Dense(2)(inputs)
    outputs = keras.layers.Concatenate()([keras.layers.Dense(3, "tanh")(narrow), inputs**3])
    model = keras.Model(inputs, outputs)
    x = points(d=6)
    assert TAYLOR.directions(bound_to(model, x).f, ("laplacian",)) == 6
    exact = kc.laplacian(model, x, engine="nested")
    np.testing.assert_allclose(kc.laplacian(model, x, engine="taylor"), exact, rtol=1e-5)


@pytest.mark.parametrize("name", ["laplacian", "hessian", "hessian_diagonal"])
@pytest.mark.parametrize("kept", [True, False], ids=["weighted", "summed"])
def test_functions_of_a_mean_and_of_what_it_is_the_mean_of(name, kept):
    weights = np.array([1.0, -2.0, 0.5, 3.0]) if kept else np.ones(4)

    def model(x):  # Σ w_j x_j² m, with m the mean
        y = x * x * tf.reduce_mean(x, axis=-1, keepdims=True)
        if kept:
            return tf.matmul(y, tf.constant(weights[:, None]))
        return tf.reduce_sum(y, axis=-1, keepdims=True)

    x = points(d=4).astype("float64")
    wx = weights * x
    mean = x.mean(axis=1)[:, None, None]
    hessian = 2 * mean * np.diag(weights) + (wx[:, :, None] + wx[:, None, :]) / 2
    right = {
        "hessian": hessian,
        "hessian_diagonal": np.einsum("nii->ni", hessian),
        "laplacian": np.einsum("nii->n", hessian),
    }
    found = getattr(kc, name)(model, x, engine="taylor")
    np.testing.assert_allclose(found[:, 0], right[name], rtol=1e-12)


@pytest.mark.every(3)
@pytest.mark.parametrize("name", ["laplacian", "hessian", "hessian_diagonal"])
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_a_narrow_entry_of_any_rank(name, rank):
    """Also where the first kernel has fewer independent columns than columns."""
    model = mlp(4, 5, inputs=9)
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(9, rank)) @ rng.normal(size=(rank, 4))
    model.layers[0].kernel.assign(kernel)
    x = points(d=9)
    exact = getattr(kc, name)(model, x, engine="nested", dtype="float64").numpy()
    found = getattr(kc, name)(model, x, engine="taylor", dtype="float64").numpy()
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12 * max(1, np.abs(exact).max()))


@pytest.mark.every(2)
@pytest.mark.parametrize("rank", [1, 4])
def test_training_through_a_narrow_entry(rank):
    """As through the whole, also where the kernel's columns depend on each other."""
    model = mlp(4, inputs=9)
    x = tf.constant(points(d=9))
    kernel = model.layers[0].kernel
    rng = np.random.default_rng(1)
    kernel.assign(rng.normal(size=(9, rank)) @ rng.normal(size=(rank, 4)))
    gradients = []
    for name in ("taylor", "nested"):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(kc.laplacian(model, x, engine=name, dtype="float64") ** 2)
        gradients.append(tape.gradient(loss, kernel).numpy())
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-5 * np.abs(gradients[1]).max())


@pytest.mark.every(2)
@pytest.mark.parametrize("rank", [3, 4])
def test_the_gradients_gradient_through_a_narrow_entry(rank):
    """By differences of gradients in a direction of the kernel; NaN where it is not known."""
    model = mlp(4, inputs=9)
    x = tf.constant(points(d=9).astype("float64"))
    kernel = model.layers[0].kernel
    before, v = kernel.numpy(), np.random.default_rng(2).normal(size=(9, 4))
    before[:, rank:] = 0
    kernel.assign(before)

    @tf.function
    def slope():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(kc.laplacian(model, x, dtype="float64") ** 2)
        return tape.gradient(loss, kernel.value)

    with tf.GradientTape() as tape:
        along = tf.reduce_sum(slope() * tf.constant(v, "float32"))
    found = tape.gradient(along, kernel.value).numpy()
    if rank < 4:
        assert np.isnan(found).all()
        return
    step, slopes = 2e-3, []
    for sign in (-1, 1):
        kernel.assign(before + sign * step * v)
        slopes.append(slope().numpy())
    difference = (slopes[1] - slopes[0]) / (2 * step)
    # The third derivative times the step's square, and float32 weights.
    np.testing.assert_allclose(found, difference, rtol=0, atol=2e-3 * np.abs(difference).max())


@pytest.mark.every(3)
@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("name", ["laplacian", "hessian", "hessian_diagonal"])
@pytest.mark.parametrize("inputs", [3, 7], ids=["wide entry", "narrow entry"])
def test_directions_in_chunks(name, at_once, inputs):
    model, x = mlp(5, 4, inputs=inputs), points(d=inputs)
    bound = bound_to(model, x)
    z, rest = bound.f.point(bound.inputs.leaves)
    found = TAYLOR.compute(bound.f, z, rest, None, (name,), at_once)[name]
    whole = TAYLOR.compute(bound.f, z, rest, None, (name,), 99)[name]
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "model", "chosen"),
    [
        (["laplacian"], mlp(4), "taylor"),
        (["hessian"], mlp(4), "taylor"),
        (["hessian_vector_product"], mlp(4), "nested"),
        (["hessian"], keras.Sequential([keras.Input((3, 2)), keras.layers.GRU(2)]), "nested"),
        (["laplacian"], keras.Sequential([keras.Input((3, 2)), keras.layers.GRU(2)]), "taylor"),
        (["hessian"], keras.Sequential([keras.Input((3,)), keras.layers.Dense(17)]), "nested"),
    ],
)
def test_auto_chooses_by_the_stated_rule(names, model, chosen):
    x = np.zeros((1, *model.input_shape[1:]), "float32")
    choice = kc.engine_choice(model, x, names)
    assert choice.name == chosen
    assert choice.reason
    asked = kc.engine_choice(model, x, names, engine="nested")
    assert str(asked).startswith("engine 'nested': asked for")


@pytest.mark.parametrize("engine_name", ["taylor", "nested", "finite_difference"])
def test_an_estimate_is_the_mean_over_its_directions(engine_name):
    model, x = mlp(6, inputs=4), points(d=4)
    found = kc.laplacian(model, x, directions=3, seed=1, engine=engine_name, dtype="float64")
    signs = rademacher([5, 3, 4], seed=1).numpy()
    exact = kc.hessian(model, x, dtype="float64").numpy()[:, 0]
    along = np.einsum("nki,nij,nkj->nk", signs, exact, signs)
    np.testing.assert_allclose(found[:, 0], along.mean(axis=1), rtol=1e-6)


def test_the_same_seed_gives_the_same_estimate_whatever_the_chunks():
    model, x = mlp(6, inputs=4), points(d=4)
    one = kc.laplacian(model, x, directions=3)
    np.testing.assert_allclose(kc.laplacian(model, x, directions=3, batch_size=2), one, rtol=1e-5)
    assert not np.allclose(kc.laplacian(model, x, directions=3, seed=1), one)


@pytest.mark.parametrize(("directions", "error"), [(0, ValueError), (1.5, TypeError)])
def test_directions_must_be_a_positive_int(directions, error):
    with pytest.raises(error, match="directions"):
        kc.laplacian(mlp(2), points(), directions=directions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(2, 2, "valid"), (3, 2, "same"), (3, 2, "valid"), (3, 1, "same")],
)
def test_max_pooling_is_the_same_under_xla(size, stride, padding):
    """Which has no kernel for the places of the largest."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((7, 6, 2)),
            keras.layers.Activation("tanh"),
            keras.layers.MaxPooling2D(size, stride, padding),
            keras.layers.Flatten(),
            keras.layers.Dense(1, "tanh"),
        ]
    )
    x = tf.random.stateless_normal((3, 7, 6, 2), [0, 1])
    compiled = tf.function(lambda x: kc.laplacian(model, x, engine="taylor"), jit_compile=True)
    known = kc.laplacian(model, x, engine="nested")
    np.testing.assert_allclose(compiled(x), known, rtol=1e-4, atol=1e-5)  # float32
    np.testing.assert_allclose(kc.laplacian(model, x, engine="taylor"), known, rtol=1e-4, atol=1e-5)
