"""Bounds of values that are carried from the results back to the inputs."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from keras_curvature.enclosures import backward_bounds, elementary, encloser
from keras_curvature.enclosures.backward_bounds import value_bounds
from keras_curvature.enclosures.interval import Interval
from keras_curvature.enclosures.lines import lines
from keras_curvature.engines.api import Options

RNG = np.random.default_rng(0)


def net(*hidden, shape=(3,), size=1.0):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), *hidden])
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, size / np.sqrt(max(1, weight.shape[0])), weight.shape))
    return model


def dense(activation, depth=3, width=16, **more):
    inside = [layers.Dense(width, activation) for _ in range(depth)]
    return net(*inside, layers.Dense(2), **more)


def numbers(x):
    return np.asarray(keras.ops.convert_to_numpy(x))


def backward(model, low, high):
    """By themselves."""
    ours = encloser.encloser(model, low[:1], Options(dtype="float64"))
    flat = (x.reshape(len(x), -1) for x in (low, high))
    return value_bounds(ours.program, ours.inputs, *flat, encloser.FEW, ours.widest)


def residual():
    x = keras.Input((3,))
    y = layers.Dense(8, "relu")(x)
    z = layers.Dense(8, "tanh")(y)
    z = layers.Concatenate()([layers.Add()([y, z]), layers.Subtract()([z, y]), x])
    return keras.Model(x, layers.Dense(2)(z + z))


def attention():
    x = keras.Input((3, 4))
    y = layers.MultiHeadAttention(2, 2)(x, x)
    y = layers.LayerNormalization(epsilon=0.1)(y + x)
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.Dense(4, "gelu")(y))))


def product(x):
    return keras.ops.tanh(x[:, :1]) * x[:, 1:2] - keras.ops.sin(4 * x[:, 2:])


MODELS = {
    **{
        name: lambda name=name: dense(name)
        for name in ("elu", "exponential", "gelu", "hard_sigmoid", "hard_tanh", "leaky_relu",
                     "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
                     "mish")
    },
    "attention": attention,
    "batch norm": lambda: net(layers.Dense(6, "relu"), layers.BatchNormalization(),
                              layers.Dense(4, "tanh"), layers.Dense(1)),
    "convolution": lambda: net(layers.Conv1D(3, 2, activation="relu"), layers.MaxPooling1D(2),
                               layers.Flatten(), layers.Dense(4, "tanh"), layers.Dense(1),
                               shape=(6, 2)),
    "product": lambda: product,
    "residual": residual,
    "rows": lambda: net(layers.Dense(4, "relu"), layers.Permute((2, 1)), layers.Dense(3, "tanh"),
                        layers.Flatten(), layers.Dense(1), shape=(5, 2)),
    "softmax": lambda: net(layers.Dense(4, "softmax"), layers.Dense(4, "relu"), layers.Dense(1)),
}  # fmt: skip


def outside(model, low, high, bounds, rng):
    """How many values at corners of boxes, and inside, are not within bounds."""
    bad = 0
    lower, upper = (end.reshape(len(low), -1) for end in bounds)
    for k in range(8):
        share = rng.uniform(size=low.shape) if k % 2 else rng.integers(0, 2, low.shape)
        x = np.clip(low + share * (high - low), low, high)
        y = numbers(kc.derivatives(model, x, "value", dtype="float64")["value"])
        y = y.reshape(lower.shape)
        bad += int(((y < lower) | (y > upper)).sum())
    return bad


@pytest.mark.every(4)
@pytest.mark.parametrize("name", MODELS)
def test_values_are_within(name):
    """Of points, tiny boxes and large ones."""
    model = MODELS[name]()
    shape = model.input_shape[1:] if isinstance(model, keras.Model) else (3,)
    rng = np.random.default_rng(3)
    low = rng.uniform(-1, 1, (24, *shape))
    width = rng.choice([0.0, 1e-12, 1e-6, 0.01, 0.3, 2.0, 30.0], (24, *(1,) * len(shape)))
    high = low + width * rng.uniform(size=low.shape)
    assert outside(model, low, high, backward(model, low, high), rng) == 0


def test_linear_layers_have_their_exact_range_but_for_rounding():
    """Two in a row, by rational arithmetic: an interval would forget what cancels between them."""
    model = net(layers.Dense(6), layers.Dense(3), shape=(4,))
    low, high = np.full((1, 4), -1.0), np.array([[1.0, 0.5, 2.0, -0.5]])
    lower, upper = kc.enclose(model, low, high)["value"]
    first, shift, second, more = (numbers(w).astype(float) for w in model.get_weights())
    whole = [[sum(Fraction(a) * Fraction(b) for a, b in zip(row, column, strict=True))
              for column in second.T.tolist()] for row in first.tolist()]  # fmt: skip
    for j in range(3):
        shifts = (Fraction(a) * Fraction(b) for a, b in zip(shift, second[:, j], strict=True))
        constant = sum(shifts, Fraction(float(more[j])))
        ends = [constant, constant]
        for i, (x, y) in enumerate(zip(low[0], high[0], strict=True)):
            products = sorted(whole[i][j] * Fraction(float(end)) for end in (x, y))
            ends = [end + product for end, product in zip(ends, products, strict=True)]
        assert Fraction(lower[0, j]) <= ends[0]
        assert ends[1] <= Fraction(upper[0, j])
        assert upper[0, j] - lower[0, j] <= float(ends[1] - ends[0]) + 1e-12


def by_hand(weights, low, high):
    """CROWN of a network of ReLU in float64, written down as in Zhang et al. 2018, of one box."""
    known = []
    for k in range(len(weights)):
        ends = []
        for sign in (1, -1):
            a, constant = sign * weights[k][0].T, sign * weights[k][1]
            for (w, b), (lo, hi) in zip(weights[:k][::-1], known[::-1], strict=True):
                slope = np.where(lo >= 0, 1.0, np.where(hi <= 0, 0.0, hi / (hi - lo)))
                offset = np.where((lo < 0) & (hi > 0), -slope * lo, 0.0)
                least = np.where((lo < 0) & (hi > 0), (hi > -lo).astype(float), slope)
                up, down = np.maximum(a, 0), np.minimum(a, 0)
                constant = constant + down @ offset
                a = up * least + down * slope
                constant, a = constant + a @ b, a @ w.T
            ends.append(np.maximum(a, 0) @ low + np.minimum(a, 0) @ high + constant)
        known.append((ends[0], -ends[1]))
    return known[-1]


@pytest.mark.parametrize("radius", [0.01, 0.1, 1.0])
def test_the_same_as_crown_written_out(radius, monkeypatch):
    """Without affine forms, which would narrow what is inside."""
    monkeypatch.setattr(encloser, "FEW", 0)
    model = dense("relu")
    given = model.get_weights()
    weights = [(numbers(w).astype(float), numbers(b).astype(float))
               for w, b in zip(given[::2], given[1::2], strict=True)]  # fmt: skip
    middle = RNG.uniform(-1, 1, (5, 3))
    found = backward(model, middle - radius, middle + radius)
    for k in range(5):
        true = by_hand(weights, middle[k] - radius, middle[k] + radius)
        for ours, theirs, sign in zip((found[0][k], found[1][k]), true, (1, -1), strict=True):
            # Never wider; narrower where the interval of a layer says more.
            assert np.all(sign * (ours - theirs) > -1e-3 * np.ptp(true, axis=0))
        width = found[1][k] - found[0][k]
        assert np.all(width <= (true[1] - true[0]) * 1.001)


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
def test_they_are_narrower_than_what_is_carried_forwards(activation):
    model = dense(activation, depth=4)
    low = np.random.default_rng(2).uniform(-1, 1, (20, 3))
    lower, upper = kc.enclose(model, low, low + 0.6)["value"]
    ours = encloser.encloser(model, low[:1], Options(dtype="float64"))
    a, b = ours._bounds(low, low + 0.6, ["value"], None, forms=True)["value"]
    assert (lower >= a - 1e-12).mean() > 0.9
    assert 2 * np.median(upper - lower) < np.median(b - a)


def test_they_are_met_with_those_that_go_along_with_derivatives():
    model = dense("tanh")
    low = RNG.uniform(-1, 1, (10, 3))
    alone = kc.enclose(model, low, low + 0.5)["value"]
    both = kc.enclose(model, low, low + 0.5, ["value", "jacobian"])["value"]
    assert (both[0] >= alone[0]).all()
    assert (both[1] <= alone[1]).all()


def test_nothing_is_paid_where_no_value_is_asked_for(monkeypatch):
    monkeypatch.setattr(encloser, "value_bounds", None)
    assert kc.enclose(dense("tanh"), np.zeros((1, 3)), np.ones((1, 3)), "jacobian")


def test_the_same_in_parts_and_in_threads(monkeypatch):
    model = dense("relu")
    low = RNG.uniform(-1, 1, (40, 3))
    ours = encloser.encloser(model, low[:1], Options(dtype="float64"))
    whole = ours(low, low + 0.4, ["value"])["value"]
    for name in ("AT_ONCE", "FORWARDS", "MOST"):
        # So few that rows and boxes go one by one, and then none inside of the model.
        monkeypatch.setattr(backward_bounds, name, 600)
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(lambda _: ours(low, low + 0.4, ["value"])["value"], range(3)):
                if name == "MOST":
                    assert (found[0] <= whole[0] + 1e-12).all()
                else:
                    np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-13)


FUNCTIONS = {
    **{name: elementary.SMOOTH[name] for name in sorted(elementary.SMOOTH)},
    "abs": elementary.ABS, "clip": elementary.clip(-1.0, 0.5), "cube": elementary.power(3.0),
    "elu": elementary.elu(2.0), "gelu by tanh": elementary.GELU_BY_TANH,
    "hard silu": elementary.HARD_SILU, "leaky": elementary.bent(0.1, 1.0),
    "concave": elementary.bent(2.0, 1.0), "reciprocal": elementary.RECIPROCAL,
    "relu": elementary.RELU, "relu6": elementary.RELU6, "selu": elementary.SELU,
    "thresholded": elementary.thresholded(2.0, 20.0),
}  # fmt: skip

ENDS = [-1e30, -800.0, -40.0, -5.0, -2.0, -1.0, -1e-3, -1e-200, -5e-324, 0.0]
ENDS = [*ENDS, 5e-324, 1e-300, 1e-9, 0.5, 1.0, 3.0, 6.0, 20.0, 50.0, 700.0, 1e30]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_are_below_and_above(name):
    """Over intervals between special places, tiny ones, ends on kinks and turns, and none."""
    f = FUNCTIONS[name]
    pairs = [*itertools.combinations_with_replacement(ENDS, 2), (-np.inf, 1.0), (0.0, np.inf),
             (-np.inf, np.inf)]  # fmt: skip
    rng = np.random.default_rng(5)
    middle = rng.uniform(-6, 6, 3000)
    radius = 10.0 ** rng.uniform(-18, 1, 3000)
    low = np.array([a for a, _ in pairs] + list(middle - radius))
    high = np.array([b for _, b in pairs] + list(middle + radius))
    found = lines(f, Interval(low, high))
    for share in np.linspace(0, 1, 41):
        with np.errstate(all="ignore"):
            x = np.clip(
                np.where(np.isfinite(high - low), low + share * (high - low), 0.3), low, high
            )
            y = f.ranges(Interval(x, x), 0)[0]
            # The lines as they are, in more digits than the function has.
            wide = x.astype(np.longdouble)
            below = found.lower_slope * wide + found.lower_offset
            above = found.upper_slope * wide + found.upper_offset
        assert not (below > y.upper).any(), low[below > y.upper]
        assert not (above < y.lower).any(), low[above < y.lower]


@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "tanh", "relu", "hard silu"])
def test_lines_are_near(name):
    """No more than an eighth of the width squared times the second derivative, but for kinks."""
    f = FUNCTIONS[name]
    low, high = np.array([-3.0, -0.2, 0.3, -0.1]), np.array([-2.8, -0.1, 0.5, 0.1])
    found = lines(f, Interval(low, high))
    bends = f.ranges(Interval(low, high), 2)[2]
    most = np.minimum(np.maximum(np.abs(bends.lower), np.abs(bends.upper)) * (high - low) ** 2, 0.2)
    for x in (low, high, low / 2 + high / 2):
        gap = (found.upper_slope - found.lower_slope) * x + found.upper_offset - found.lower_offset
        assert (gap <= most + 1e-12).all()


HARD = {
    "a kink at 0": (lambda: dense("relu"), 0.0, 0.0),
    "huge": (lambda: dense("tanh"), -1e300, 1e300),
    "overflows": (lambda: dense("exponential"), -1e3, 1e3),
    "underflows": (lambda: dense("relu", size=1e-120), -1e-40, 1e-40),
    "tiny": (lambda: dense("softplus"), 1.0, 1.0 + 2.0**-52),
}


@pytest.mark.parametrize("name", HARD)
def test_at_the_ends_of_float64(name):
    make, low, high = HARD[name]
    model = make()
    for weight in model.trainable_weights:
        if len(weight.shape) == 1 and name in ("a kink at 0", "underflows"):
            weight.assign(np.zeros(weight.shape))
    low, high = np.full((4, 3), low), np.full((4, 3), high)
    bounds = backward(model, low, high)
    assert not np.isnan(bounds).any()
    assert (bounds[0] <= bounds[1]).all()
    if name not in ("huge", "overflows"):
        assert outside(model, low, high, bounds, np.random.default_rng(0)) == 0
