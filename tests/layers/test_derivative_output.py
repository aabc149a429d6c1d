"""`DerivativeOutput` as a layer: what it outputs, and in which models."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
import truth

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2)).astype("float32")
V = RNG.normal(size=(6, 2)).astype("float32")
NAMES = ["value", "jacobian", "hessian", "hessian_diagonal", "laplacian"]
DIRECTED = ["directional_curvature", "hessian_vector_product"]
SHAPES = {
    "value": (3,),
    "jacobian": (3, 2),
    "hessian": (3, 2, 2),
    "hessian_diagonal": (3, 2),
    "laplacian": (3,),
    "directional_curvature": (3,),
    "hessian_vector_product": (3, 2),
}


def network(inputs=(2,), outputs=3, **dense):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input(inputs), layers.Dense(8, "tanh", **dense), layers.Dense(outputs, **dense)]
    )


def from_differences(model, x):
    """What the layer must give, from values alone in float64."""
    (w, b), (u, c) = (layer.get_weights() for layer in model.layers)
    w, b, u, c = (array.astype("float64") for array in (w, b, u, c))

    def f(x):
        return np.tanh(x @ w + b) @ u + c

    x = x.astype("float64")
    hessian = truth.hessian_of_value(f, x, h=0.02)
    diagonal = np.diagonal(hessian, axis1=-2, axis2=-1)
    product = np.einsum("nmij,nj->nmi", hessian, V)
    return {
        "value": f(x),
        "jacobian": truth.gradient(f, x, h=0.02),
        "hessian": hessian,
        "hessian_diagonal": diagonal,
        "laplacian": diagonal.sum(-1),
        "directional_curvature": np.einsum("nmi,ni->nm", product, V),
        "hessian_vector_product": product,
    }


def sequential(layer):
    return keras.Sequential([keras.Input((2,)), layer])


def functional(layer):
    inputs = keras.Input((2,))
    return keras.Model(inputs, layer(inputs))


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.derivatives = layer

    def call(self, x):
        return self.derivatives(x)


def alone(layer):
    return layer


KINDS = [sequential, functional, Subclassed, alone]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_outputs_the_derivatives(kind):
    net = network()
    found = kind(kc.DerivativeOutput(net, NAMES))(X)
    assert list(found) == NAMES
    for name, wanted in from_differences(net, X).items():
        if name in found:  # float32 keeps seven digits, of which differentiating costs one
            np.testing.assert_allclose(found[name], wanted, atol=1e-5, err_msg=name)


def test_directions_are_a_second_argument():
    net = network()
    x, v = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([x, v], kc.DerivativeOutput(net, DIRECTED)(x, v))
    found = model.predict([X, V], verbose=0)
    for name in DIRECTED:
        np.testing.assert_allclose(found[name], from_differences(net, X)[name], atol=1e-5)
    same = kc.DerivativeOutput(net, "hessian_vector_product")(X, v=tf.constant([1.0, 0.0]))
    np.testing.assert_allclose(same, from_differences(net, X)["hessian"][..., 0], atol=1e-5)


@pytest.mark.every(3)
@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.__name__)
def test_one_name_is_one_tensor(kind):
    net = network()
    model = kind(kc.DerivativeOutput(net, "laplacian"))
    np.testing.assert_allclose(model(X), from_differences(net, X)["laplacian"], atol=1e-5)
    assert model.predict(X, verbose=0).shape == (6, 3)


def test_shapes_and_dtypes_are_known_before_there_are_data():
    x, v = keras.Input((2,)), keras.Input((2,))
    symbolic = kc.DerivativeOutput(network(), [*NAMES, *DIRECTED])(x, v)
    assert {name: t.shape for name, t in symbolic.items()} == {
        name: (None, *shape) for name, shape in SHAPES.items()
    }
    fixed = kc.DerivativeOutput(network(), "jacobian")(keras.Input(batch_shape=(5, 2)))
    assert fixed.shape == (5, 3, 2)


def two_in_two_out(structure):
    keras.utils.set_random_seed(0)
    a, b = keras.Input((2,), name="a"), keras.Input((3, 1), name="b")
    h = layers.Dense(8, "tanh")(layers.Concatenate()([a, layers.Flatten()(b)]))
    first, second = layers.Dense(1, name="first")(h), layers.Dense(2, name="second")(h)
    if structure == "dict":
        return keras.Model({"a": a, "b": b}, {"first": first, "second": second})
    return keras.Model([a, b], [first, second])


A, B = RNG.normal(size=(4, 2)).astype("float32"), RNG.normal(size=(4, 3, 1)).astype("float32")
TOKENS = np.arange(8).reshape(4, 2) % 5


def embedded():
    return keras.Sequential(
        [
            keras.Input((2,), dtype="int32"),
            layers.Embedding(5, 3, name="embedding"),
            layers.Flatten(),
            layers.Dense(4, "tanh"),
        ]
    )


def doubled(outputs):
    return outputs["second"] * 2


CASES = {
    "list": (lambda: two_in_two_out("list"), [A, B], {}),
    "dict": (lambda: two_in_two_out("dict"), {"a": A, "b": B}, {}),
    "output by name": (lambda: two_in_two_out("dict"), {"a": A, "b": B}, {"output": "second"}),
    "output by index": (lambda: two_in_two_out("list"), [A, B], {"output": 1}),
    "output by function": (lambda: two_in_two_out("dict"), {"a": A, "b": B}, {"output": doubled}),
    "last axis": (network, X, {"output": 1}),
    "wrt by name": (lambda: two_in_two_out("dict"), {"a": A, "b": B}, {"wrt": "b"}),
    "wrt by index": (lambda: two_in_two_out("list"), [A, B], {"wrt": 0}),
    "wrt a list": (lambda: two_in_two_out("list"), [A, B], {"wrt": ["b", 0]}),
    "wrt a layer": (embedded, TOKENS, {"wrt": "embedding"}),
    "float64": (network, X, {"dtype": "float64"}),
    "mixed": (lambda: network(dtype="mixed_float16"), X, {"dtype": "mixed_float16"}),
    "differences": (network, X, {"engine": "finite_difference"}),
}


MUCH_LIKE_OTHERS = ("list", "output by name", "wrt by index", "differences")


@pytest.mark.every(6)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in MUCH_LIKE_OTHERS)) for n in CASES]
)
def test_every_shape_of_model(name):
    """The same as the functions give; symbolically, eagerly and in a graph of any batch."""
    make, x, options = CASES[name]
    net = make()
    layer = kc.DerivativeOutput(net, ["value", "jacobian", "laplacian"], **options)
    given = keras.tree.map_structure(
        lambda array: keras.Input(array.shape[1:], dtype=array.dtype.name), x
    )
    symbolic = layer(given)
    if options.get("dtype") == "mixed_float16":
        options = {}
    wanted = kc.derivatives(net, x, ["value", "jacobian", "laplacian"], **options)
    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), x
    )
    compiled = tf.function(layer, input_signature=[signature])
    for found in (layer(x), compiled(keras.tree.map_structure(tf.constant, x))):
        keras.tree.assert_same_structure(found, wanted)
        for f, w, s in zip(*map(keras.tree.flatten, (found, wanted, symbolic)), strict=True):
            np.testing.assert_allclose(f, w, atol=1e-6)  # other kernels, other rounding
            assert s.shape == (None, *w.shape[1:])
            assert s.dtype == w.dtype.name == f.dtype.name


OPEN = {
    "closed by a sum": (lambda: layers.GlobalAveragePooling1D(), (None, 3)),
    "as long": (lambda: layers.Dense(3), (None, None, 3)),
    "half as long": (lambda: layers.Conv1D(3, 2, strides=2, padding="same"), (None, None, 3)),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("name", OPEN)
def test_the_length_of_a_series_may_be_left_open(name):
    make, shape = OPEN[name]
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((None, 2)), layers.Dense(3, "tanh"), make()])
    names = ["value", "jacobian"]
    inputs = keras.Input((None, 2))
    outputs = kc.DerivativeOutput(net, names)(inputs)
    assert [outputs[name].shape for name in names] == [shape, (*shape, None, 2)]
    model = keras.Model(inputs, outputs)
    for length in (4, 6):
        x = RNG.normal(size=(5, length, 2)).astype("float32")
        found, wanted = model(x), kc.derivatives(net, x, names)
        for name in names:
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)


def test_float16_does_not_reach_the_derivatives():
    """In float16 the second derivative, 2e6, would be infinite."""
    policy = {"dtype": "mixed_float16"}
    net = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(1, use_bias=False, **policy),
            layers.Activation(tf.sin, **policy),
        ]
    )
    kernel, x = 1500.0, np.array([[0.1234567]], "float32")
    net.set_weights([np.array([[kernel]])])
    found = kc.DerivativeOutput(net, ["value", "laplacian"], **policy)(x)
    z = kernel * x.astype("float64")
    # float32 has the 185 inside the sine to within 1e-5.
    np.testing.assert_allclose(found["value"], np.sin(z), atol=1e-4)
    np.testing.assert_allclose(found["laplacian"], -(kernel**2) * np.sin(z), rtol=1e-3)


def test_the_summary_can_be_read():
    lines: list[str] = []
    model = functional(kc.DerivativeOutput(network(), ["value", "laplacian"], name="physics"))
    model.summary(print_fn=lambda line, line_break=True: lines.append(line), line_length=78)
    row = next(line for line in "\n".join(lines).splitlines() if "DerivativeOutput" in line)
    assert re.search(r"physics.*\[\(None, 3\), \(None, 3\)\].*51", row), row

    lines.clear()
    model = Subclassed(kc.DerivativeOutput(network(), ["value", "laplacian"], name="physics"))
    model(X)
    model.summary(print_fn=lambda line, line_break=True: lines.append(line), line_length=78)
    assert re.search(r"physics.*value: \(6, 3\)", "\n".join(lines)), lines


class BuiltInCall(keras.Layer):
    """Has no `build`: Keras makes its variables in the first call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3, "tanh")

    def call(self, x):
        return self.dense(x)


class SubclassedNet(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.last = layers.Dense(4, "tanh"), layers.Dense(3)

    def call(self, x, training=None):
        return self.last(self.hidden(x))


UNBUILT = {
    "sequential": lambda: keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(3)]),
    "layer": lambda: layers.Dense(3, "tanh"),
    "subclassed model": SubclassedNet,
    "layer without build": BuiltInCall,
}


@pytest.mark.every(6)
@pytest.mark.parametrize(
    ("name", "kind"), [("sequential", functional), *((name, Subclassed) for name in UNBUILT)]
)
def test_the_wrapped_model_need_not_be_built(name, kind):
    keras.utils.set_random_seed(0)
    net = UNBUILT[name]()
    model = kind(kc.DerivativeOutput(net, ["value", "laplacian"]))
    # As `fit` builds it: symbolically, when no variable has a value yet.
    model.compile("sgd", "mse", jit_compile=False)
    model.train_on_batch(X, {"value": V[:, :1], "laplacian": V[:, :1]})
    found = model(X)
    np.testing.assert_allclose(found["value"], net(X), atol=1e-6)
    np.testing.assert_allclose(found["laplacian"], kc.laplacian(net, X), atol=1e-6)
    assert float(np.abs(found["laplacian"]).max()) > 1e-3
    assert len(model.trainable_weights) == len(net.trainable_weights) > 0


WRONG = {
    "no names": (lambda: kc.DerivativeOutput(network(), []), ValueError, "one or some of"),
    "unknown name": (lambda: kc.DerivativeOutput(network(), "hesian"), ValueError, "'hesian'"),
    "no layer": (lambda: kc.DerivativeOutput(np.sin, "value"), TypeError, "Lambda\\(function"),
    "names of nothing": (lambda: kc.DerivativeOutput(network(), None), ValueError, "one or some"),
    "unknown engine": (
        lambda: kc.DerivativeOutput(network(), "value", engine="magic"),
        ValueError,
        "'magic'",
    ),
    "unknown output": (
        lambda: kc.DerivativeOutput(network(), "value", output="z")(keras.Input((2,))),
        ValueError,
        "'z'",
    ),
    "unknown wrt": (
        lambda: kc.DerivativeOutput(network(), "value", wrt="z")(keras.Input((2,))),
        ValueError,
        "'z'",
    ),
    "integers": (
        lambda: kc.DerivativeOutput(embedded(), "jacobian")(keras.Input((2,), dtype="int32")),
        TypeError,
        'wrt="embedding"',
    ),
    "other width": (
        lambda: kc.DerivativeOutput(network(), "value")(keras.Input((3,))),
        ValueError,
        r"shape \(n, 2\)",
    ),
    "data of unknown size": (
        lambda: tf.function(kc.DerivativeOutput(layers.Dense(1), "value")).get_concrete_function(
            tf.TensorSpec([None, None, 2])
        ),
        ValueError,
        r"known sizes.*\(None, None, 2\).*run_eagerly",
    ),
    "an open axis that is not open": (
        lambda: kc.DerivativeOutput(network((3, 2)), "value")(keras.Input((None, 2))),
        ValueError,
        r"with 64 for each open axis.*shape \(n, 3, 2\)",
    ),
    "no direction": (
        lambda: kc.DerivativeOutput(network(), DIRECTED)(X),
        ValueError,
        "direction `v`",
    ),
}


@pytest.mark.every(4)
@pytest.mark.parametrize("name", WRONG)
def test_errors_come_early_and_say_what_to_do(name):
    make, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        make()


def test_coupled_examples_are_told_of():
    class Centred(keras.Layer):
        def call(self, x):
            return x**2 - tf.reduce_mean(x, axis=0)

    with pytest.warns(UserWarning, match="examples influence each other"):
        functional(kc.DerivativeOutput(Centred(), "laplacian"))

    @tf.function
    def compiled(x):
        return kc.DerivativeOutput(Centred(), "laplacian")(x)

    with pytest.warns(UserWarning, match="examples influence each other"):
        compiled(tf.constant(X))


def test_the_shapes_of_a_large_result_take_no_memory():
    net = keras.Sequential([keras.Input((100_000,)), layers.Dense(1)])
    found = kc.DerivativeOutput(net, ["hessian", "value"])(keras.Input((100_000,)))
    assert found["hessian"].shape == (None, 1, 100_000, 100_000)


ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "tanh": np.tanh,
}


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_its_outputs_are_differentiated_in_their_turn(activation):
    """A model of derivatives is watched as any other: what was mended in it was mended once."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((2,)), layers.Dense(8, activation), layers.Dense(1)])
    (w, b), (u, c) = ([a.astype("float64") for a in layer.get_weights()] for layer in net.layers)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, kc.DerivativeOutput(net, ["value", "jacobian"])(inputs))
    hessian = truth.hessian_of_value(
        lambda x: ACTIVATIONS[activation](x @ w + b) @ u + c, X.astype("float64"), h=0.02
    )
    for options in ({"engine": "taylor"}, {"engine": "nested"}):
        found = kc.hessian(model, X, output="value", dtype="float64", **options)
        np.testing.assert_allclose(found, hessian, atol=1e-6)  # of the differences
    found = kc.jacobian(model, X, output="jacobian", dtype="float64")
    np.testing.assert_allclose(np.reshape(found, hessian.shape), hessian, atol=1e-6)
