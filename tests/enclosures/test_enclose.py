"""Bounds over boxes hold what the engines find at points, and are as narrow as can be known."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from keras_curvature.enclosures import encloser
from keras_curvature.enclosures.encloser import Encloser, encloser_of
from keras_curvature.engines.api import Options, bind

RNG = np.random.default_rng(0)
NAMES = ["value", "jacobian", "hessian", "hessian_diagonal", "laplacian"]
ACTIVATIONS = [
    *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu"),
    *("log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax"),
    *("soft_shrink", "softplus", "softsign", "squareplus", "tanh", "tanh_shrink"),
]


def net(*inside, shape=(3,)):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), *inside])
    for weight in model.trainable_weights:
        weight.assign(numbers(weight) + RNG.normal(0, 0.2, weight.shape))
    return model


def gated():
    x = keras.Input((3,))
    a, b = layers.Dense(4, "tanh")(x), layers.Dense(4, "silu")(x)
    larger = layers.Maximum()([layers.Multiply()([a, b]), layers.Subtract()([b, a])])
    return keras.Model(x, layers.Dense(2)(layers.Concatenate()([larger, layers.Dot(1)([a, b])])))


def attending():
    x = keras.Input((3, 2))
    y = layers.MultiHeadAttention(2, 2)(layers.Dense(4)(x), layers.Dense(4)(x))
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(y)))


MODELS = {
    **{name: lambda n=name: net(layers.Dense(5, n), layers.Dense(4, n), layers.Dense(2))
       for name in ACTIVATIONS},
    "gelu by tanh": lambda: net(
        layers.Dense(5, lambda x: keras.activations.gelu(x, approximate=True)), layers.Dense(1)
    ),
    "batch norm": lambda: net(
        layers.Dense(4, "tanh"), layers.BatchNormalization(), layers.Dense(1)
    ),
    "layer norm": lambda: net(
        layers.Dense(4, "tanh"), layers.LayerNormalization(), layers.Dense(1)
    ),
    "convolutions": lambda: net(
        layers.Conv2D(2, 2, padding="same", activation="softplus"), layers.AveragePooling2D(2),
        layers.DepthwiseConv2D(2, activation="tanh"), layers.GlobalMaxPooling2D(), layers.Dense(1),
        shape=(4, 4, 1),
    ),
    "moving about": lambda: net(
        layers.ZeroPadding1D(1), layers.Cropping1D((1, 0)), layers.Permute((2, 1)),
        layers.UpSampling1D(2), layers.Flatten(), layers.Dense(2, "tanh"), shape=(3, 2),
    ),
    "attention": attending,
    "gated": gated,
    "a loop rolled out": lambda: net(layers.GRU(2, unroll=True), layers.Dense(1), shape=(2, 2)),
    "rational": lambda: lambda x: x[:, :1] ** 3 / (1 + x[:, 1:2] ** 2) + keras.ops.sin(3 * x),
}  # fmt: skip


def points(low, high):
    """Corners of boxes, and points inside."""
    for k in range(6):
        share = RNG.uniform(size=low.shape) if k % 2 else RNG.integers(0, 2, low.shape)
        yield np.clip(low + share * (high - low), low, high)


def numbers(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def boxes(shape, count=6):
    low = RNG.uniform(-1, 1, (count, *shape))
    width = RNG.choice([0.0, 0.1, 0.6], (count, *(1,) * len(shape)))
    width[0] = 0
    return low, low + width * RNG.uniform(size=low.shape)


@pytest.mark.every(12)
@pytest.mark.parametrize("name", MODELS)
def test_points_of_a_box_are_within_its_bounds(name):
    model = MODELS[name]()
    low, high = boxes(model.input_shape[1:] if isinstance(model, keras.Model) else (3,))
    found = kc.enclose(model, low, high, NAMES)
    for x in points(low, high):
        true = kc.derivatives(model, x, NAMES, dtype="float64")
        for what, (lower, upper) in found.items():
            y = numbers(true[what])
            assert y.shape == lower.shape == upper.shape
            assert (lower <= y).all(), (what, np.min(y - lower))
            assert (y <= upper).all(), (what, np.max(y - upper))
    if name not in ("layer norm",):  # which divides by what may be 0, but for 0.001
        for lower, upper in found.values():  # the first box is a point
            assert np.all(upper[0] - lower[0] < 1e-10)


CLOSED = {
    "square": (lambda x: x**2, (0, 4), (-2, 4), (2, 2)),
    "cube": (lambda x: x**3, (-1, 8), (0, 12), (-6, 12)),
    "exp": (keras.ops.exp, np.exp([-1, 2]), np.exp([-1, 2]), np.exp([-1, 2])),
    "silu": (
        keras.activations.silu,
        (-0.2689414213699951, 1.7615941559557649),
        (0.07232948812851325, 1.0907842487848955),
        (-0.05282271, 0.5),
    ),
    "abs": (keras.ops.abs, (0, 2), (-1, 1), (0, np.inf)),
    "relu": (keras.ops.relu, (0, 2), (0, 1), (0, np.inf)),
    "-relu": (lambda x: -keras.ops.relu(x), (-2, 0), (-1, 0), (-np.inf, 0)),
    "x - relu(x)": (lambda x: x - keras.ops.relu(x), (-1, 0), (0, 1), (-np.inf, 0)),
    "softsign": (
        keras.activations.softsign, (-0.5, 2 / 3), (1 / 9, 1), (-2, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_ranges_that_are_known(name):
    """On [-1, 2], exactly but for rounding."""
    f, *ranges = CLOSED[name]
    if name == "silu":  # its slope is largest at 2.399, its second derivative at 0
        ranges[2] = (-0.0218, 0.5)
        slope = [
            float(numbers(kc.jacobian(f, [[v]], dtype="float64"))[0, 0, 0]) for v in (-1.0, 2.0)
        ]
        bend = [
            float(numbers(kc.hessian(f, [[v]], dtype="float64")).ravel()[0]) for v in (-1.0, 2.0)
        ]
        ranges[1:] = [slope, (min(bend), 0.5)]
    found = kc.enclose(f, [[-1.0]], [[2.0]], {"a": "value", "b": (0,), "c": (0, 0)})
    # A formula that no row knows is looked at on cells of 1/256.
    for (lower, upper), (low, high) in zip(found.values(), ranges, strict=True):
        np.testing.assert_allclose([lower[0, 0], upper[0, 0]], [low, high], rtol=0, atol=1e-9)


def piecewise_linear(signs):
    """Hinges, turned upwards or downwards."""
    hinges = layers.Dense(len(signs), "relu")
    model = net(hinges, layers.Dense(1))
    model.layers[-1].kernel.assign(np.array(signs, float)[:, None])
    return model


def test_kinks_upwards_are_convex():
    low, high = -np.ones((1, 3)), np.ones((1, 3))
    lower, upper = kc.enclose(piecewise_linear([1, 1, 2]), low, high, "hessian_diagonal")[
        "hessian_diagonal"
    ]
    assert (lower == 0).all()
    assert np.isposinf(upper).all()
    lower, _ = kc.enclose(piecewise_linear([1, -1, 2]), low, high, "hessian_diagonal")[
        "hessian_diagonal"
    ]
    assert np.isneginf(lower).all()


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_a_network_that_is_convex_by_its_weights_is_so_for_every_box(activation):
    """Without a tolerance for rounding (Amos et al., Input convex neural networks, 2017)."""
    model = net(*[layers.Dense(8, activation) for _ in range(3)], layers.Dense(1))
    for layer in model.layers[1:]:
        layer.kernel.assign(np.abs(numbers(layer.kernel)))
    low, high = boxes((3,), 50)
    lower, _ = kc.enclose(model, low - 1, high + 1, "hessian_diagonal")["hessian_diagonal"]
    assert (lower >= 0).all()


def two_inputs():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    y = layers.Dense(2, "tanh")(layers.Concatenate()([layers.Dense(3, "silu")(a), b]))
    return keras.Model({"a": a, "b": b}, {"y": y, "z": layers.Dense(1)(y)})


def test_structures_and_partial_derivatives():
    keras.utils.set_random_seed(0)
    model = two_inputs()
    low = {"a": RNG.uniform(-1, 1, (4, 2)), "b": RNG.uniform(-1, 1, (4, 1))}
    high = {key: x + 0.1 for key, x in low.items()}
    names = {"d": "jacobian", "u": ("b",), "v": (("a", 1), "b"), "w": (("a", 0), ("a", 0))}
    found = kc.enclose(model, low, high, names)
    true = kc.derivatives(model, {k: x + 0.05 for k, x in low.items()}, names, dtype="float64")
    for name in names:
        lower, upper = found[name]
        keras.tree.assert_same_structure(lower, true[name])
        ends = zip(*map(keras.tree.flatten, (lower, true[name], upper)), strict=True)
        for a, y, b in ends:
            assert a.shape == numbers(y).shape
            assert (a <= numbers(y)).all()
            assert (numbers(y) <= b).all()


def test_along_a_direction_and_of_one_output():
    model, v = net(layers.Dense(4, "gelu"), layers.Dense(2)), np.array([1.0, -2.0, 0.5])
    low, high = boxes((3,))
    name = "directional_curvature"
    lower, upper = kc.enclose(model, low, high, name, v=v, output=1)[name]
    y = numbers(kc.directional_curvature(model, (low + high) / 2, v, output=1, dtype="float64"))
    assert lower.shape == y.shape == (6, 1)
    assert ((lower <= y) & (y <= upper)).all()


@pytest.mark.slow
def test_the_same_in_chunks_and_in_threads(monkeypatch):
    model = net(layers.Dense(4, "tanh"), layers.Dense(1))
    low, high = boxes((3,), 40)
    ours = encloser_of(model, bind(model, low, Options(dtype="float64")))
    assert isinstance(ours, Encloser)
    whole = ours(low, high, ["value", "hessian"])
    monkeypatch.setattr(encloser, "AT_ONCE", 100)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: ours(low, high, ["value", "hessian"]), range(4)):
            for name, bounds in found.items():
                np.testing.assert_allclose(bounds, whole[name], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("activation", ["softplus", "tanh", "silu", "gelu"])
def test_affine_forms_narrow_what_intervals_say(activation, monkeypatch):
    """By more than twice on a box of 0.2; each says what holds, and so they meet."""
    model = net(*[layers.Dense(16, activation) for _ in range(3)], layers.Dense(1))
    low, high = np.full((1, 3), 0.1), np.full((1, 3), 0.3)
    names = ["jacobian", "hessian"]  # values are bounded backwards too
    monkeypatch.setattr(encloser, "terms_over", lambda low, high: 0)  # no Taylor models
    narrow = kc.enclose(model, low, high, names)
    monkeypatch.setattr(encloser, "FEW", 0)
    for name, (lower, upper) in kc.enclose(model, low, high, names).items():
        assert (narrow[name][0] >= lower - 1e-12).all()
        assert (narrow[name][1] <= upper + 1e-12).all()
        assert 2 * np.max(narrow[name][1] - narrow[name][0]) < np.max(upper - lower)


@pytest.mark.parametrize("activation", ["tanh", "silu", "exponential"])
def test_what_is_nearly_as_wide_as_the_truth_still_holds_it(activation):
    """Shallow and along few directions, where bounds are so narrow that a part less would show."""
    model = net(layers.Dense(2, activation), layers.Dense(1), shape=(2,))
    low, high = np.array([[-1.0, 0.2]]), np.array([[0.4, 0.6]])
    share = np.linspace(0, 1, 61)
    grid = np.stack(np.meshgrid(share, share[::6]), -1).reshape(-1, 2)
    x = low + grid * (high - low)
    for names in ({"u": (0,), "uu": (0, 0)}, {"v": (1,), "uv": (0, 1)}, {"L": "laplacian"}):
        true = kc.derivatives(model, x, names, dtype="float64")
        for name, (lower, upper) in kc.enclose(model, low, high, names).items():
            y = numbers(true[name])
            assert lower.min() <= y.min()
            assert upper.max() >= y.max()
            assert upper.max() - lower.min() < 3 * (y.max() - y.min())


@pytest.mark.skipif(keras.config.backend() == "torch", reason="Keras has no loop of PyTorch's")
def test_a_loop_is_refused_in_words():
    model = net(layers.LSTM(2, name="loop"), shape=(2, 2))
    with pytest.raises(ValueError, match=r"'loop' is a loop.*unroll=True"):
        kc.enclose(model, np.zeros((1, 2, 2)), np.ones((1, 2, 2)))


def test_every_backend_has_these_numbers():
    """A network by its weights, and its bounds as TensorFlow had them once."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3, "mish"), layers.Dense(1)])
    rng = np.random.default_rng(7)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    found = kc.enclose(model, [[-0.5, 0.25]], [[0.5, 0.75]], ["value", "laplacian"])
    np.testing.assert_allclose(
        [float(end[0, 0]) for ends in found.values() for end in ends], KNOWN, rtol=1e-6
    )


KNOWN = [0.4941585239302902, 0.69566022047196, -0.23660924201043515, -0.020311240683470802]


def whole_numbers():
    return net(layers.Dense(1)), np.zeros((1, 3), int), np.ones((1, 3), int)


BAD = {
    "ends the wrong way round": (
        lambda: (net(layers.Dense(1)), np.ones((2, 3)), np.zeros((2, 3))),
        ValueError, "`low` must nowhere be above `high`.*1 above 0 in box 0",
    ),
    "infinite": (
        lambda: (net(layers.Dense(1)), np.zeros((1, 3)), np.full((1, 3), np.inf)),
        ValueError, "`high` must be finite.*3 numbers",
    ),
    "no number": (
        lambda: (net(layers.Dense(1)), np.full((1, 3), np.nan), np.ones((1, 3))),
        ValueError, "`low` must be finite",
    ),
    "no box": (
        lambda: (net(layers.Dense(1)), np.zeros((0, 3)), np.zeros((0, 3))),
        ValueError, "at least one example",
    ),
    "whole numbers": (whole_numbers, TypeError, "`low` must hold floats.*int"),
    "shapes apart": (
        lambda: (net(layers.Dense(1)), np.zeros((1, 3)), np.ones((2, 3))),
        ValueError, r"same shape.*\(1, 3\).*\(2, 3\)",
    ),
    "another shape": (
        lambda: (net(layers.Dense(1)), np.zeros((1, 2)), np.ones((1, 2))),
        ValueError, "must have shape",
    ),
    "so many examples at a time": (
        lambda: (keras.Sequential([keras.Input((2, 1), batch_size=2),
                                   layers.SimpleRNN(1, stateful=True, unroll=True)]),
                 np.zeros((2, 2, 1)), np.ones((2, 2, 1))),
        ValueError, "Received: a model that takes 2 examples",
    ),
    "an op without a rule": (
        lambda: (net(layers.Lambda(lambda x: keras.ops.sort(keras.ops.tanh(x)), name="sorted"),
                     layers.Dense(1)), np.zeros((1, 3)), np.ones((1, 3))),
        ValueError, "cannot be enclosed: .*'sorted'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_box_is_told_of(case):
    make, error, words = BAD[case]
    with pytest.raises(error, match=words):
        kc.enclose(*make())


def test_names_without_bounds_are_told_of():
    model = net(layers.Dense(1))
    with pytest.raises(ValueError, match="Received: 'biharmonic'"):
        kc.enclose(model, np.zeros((1, 3)), np.ones((1, 3)), "biharmonic")
    with pytest.raises(ValueError, match="Received: 'u'"):
        kc.enclose(model, np.zeros((1, 3)), np.ones((1, 3)), {"u": (0, 0, 0)})
