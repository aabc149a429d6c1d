"""Rests by adjoints hold what polynomials are off by, and are narrower than those carried on."""

from __future__ import annotations

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_curvature.enclosures import adjoint_rests, elementary
from keras_curvature.enclosures.differentials import differentials
from keras_curvature.enclosures.encloser import encloser
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.plan import planned
from keras_curvature.enclosures.taylor_model import terms_over
from keras_curvature.enclosures.transposed import (
    Linear,
    Multiplied,
    Picked,
    Product,
    elementwise,
)
from keras_curvature.engines.api import Options
from keras_curvature.engines.quantities import HESSIAN, JACOBIAN, VALUE

RNG = np.random.default_rng(0)
NAMES = [VALUE, JACOBIAN, HESSIAN]
PAIRS = Pairs(np.array([0, 0, 1]), np.array([0, 1, 1]))
PLACES = {(0, 0): 0, (0, 1): 1, (1, 1): 2}


def jets(n, shift=0.0):
    """A value, slopes along two directions and the three second derivatives, as numbers."""
    return [RNG.normal(size=shape) + shift for shape in ((1, n), (1, 2, n), (1, 3, n))]


def of_function(f, first, second):
    def on(u):
        value, slope, bend = u
        crossed = slope[:, PAIRS.first] * slope[:, PAIRS.second]
        return [
            f(value),
            first(value)[:, None] * slope,
            second(value)[:, None] * crossed + first(value)[:, None] * bend,
        ]

    return on


def of_product(a, b):
    i, j = PAIRS.first, PAIRS.second
    return [
        a[0] * b[0],
        a[1] * b[0][:, None] + a[0][:, None] * b[1],
        a[2] * b[0][:, None]
        + a[1][:, i] * b[1][:, j]
        + a[1][:, j] * b[1][:, i]
        + a[0][:, None] * b[2],
    ]


WEIGHTS, ORDER, BACK = RNG.normal(size=(3, 4)), RNG.permutation(6), RNG.permutation(8)
SPREAD, FACTORS = np.array([2, 0, 0, -1, 3]), RNG.normal(size=5)


def by_rows(x):
    rows = x[..., ORDER].reshape(*x.shape[:-1], 2, 3) @ WEIGHTS
    return rows.reshape(*x.shape[:-1], 8)[..., BACK]


def spread(x):
    return np.where(SPREAD < 0, 0.0, x[..., SPREAD]) * FACTORS


def unused(given, pairs):
    raise AssertionError("is not run")


def linear(map_, on):
    return Linear(unused, (map_,), np.zeros(1), (1,)), lambda u: [on(part) for part in u]


OPS = {
    "matrix": (6, *linear(Product(WEIGHTS, ORDER, BACK), by_rows)),
    "moves": (4, *linear(Picked(SPREAD, 4, FACTORS), spread)),
    "softplus": (
        5,
        elementwise(elementary.SMOOTH["softplus"]),
        of_function(
            lambda x: np.log1p(np.exp(x)),
            lambda x: 1 / (1 + np.exp(-x)),
            lambda x: 1 / (2 + np.exp(x) + np.exp(-x)),
        ),
    ),
    "tanh": (
        5,
        elementwise(elementary.SMOOTH["tanh"]),
        of_function(
            np.tanh,
            lambda x: 1 - np.tanh(x) ** 2,
            lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
        ),
    ),
    "square": (
        5,
        elementwise(elementary.SMOOTH["square"]),
        of_function(lambda x: x * x, lambda x: 2 * x, lambda x: 2 + 0 * x),
    ),
}


def bounds(u):
    return JetBounds(*(point(part) for part in u))


def component(u, key):
    return u[0] if not key else u[1][:, key[0]] if len(key) == 1 else u[2][:, PLACES[key]]


def difference(on, u, change):
    """How fast the results change, by differences."""
    h = 1e-5
    ends = [on([x + s * h * dx for x, dx in zip(u, change, strict=True)]) for s in (1, -1)]
    return [(a - b) / (2 * h) for a, b in zip(*ends, strict=True)]


def assert_dual(one, change, changed):
    """What adjoints say of a change is what it makes of the results."""
    for key in [(), (0,), (1,), *PLACES]:
        adjoint = RNG.normal(size=component(changed, key).shape)
        back = one.back({key: point(adjoint)}, PLACES)
        wanted = (adjoint * component(changed, key)).sum()
        ends = [
            sum((getattr(x, end) * component(change, by)).sum() for by, x in back.items())
            for end in ("lower", "upper")
        ]
        assert np.allclose(ends, wanted, rtol=1e-7, atol=1e-7), key


def assert_members(one, like):
    """Adjoints within bounds come from such within the bounds that these have before the op."""
    for key in [(), (0,), (1,), *PLACES]:
        middle = RNG.normal(size=component(like, key).shape)
        radius = 10.0 ** RNG.uniform(-3, 1, middle.shape)
        wide = one.back({key: Interval(middle - radius, middle + radius)}, PLACES)
        for _ in range(5):
            inside = one.back(
                {key: point(middle + RNG.choice([-1, 1], middle.shape) * radius)}, PLACES
            )
            for by, x in inside.items():
                assert (wide[by].lower <= x.lower + 1e-12).all()
                assert (wide[by].upper >= x.upper - 1e-12).all()


def assert_carried(one, change, changed):
    """Sizes of changes behind an op are enough, and where they are of one entry no larger."""
    found = one.forward(adjoint_rests.Sizes(*(np.abs(part) for part in change)), PAIRS)
    for size, part in zip((found.value, found.slope, found.bend), changed, strict=True):
        assert (size >= np.abs(part) - 1e-7).all()


@pytest.mark.parametrize("name", OPS)
def test_differentials_are_those_of_jets(name):
    n, apply, on = OPS[name]
    for _ in range(5):
        u, change = jets(n), jets(n)
        (one,) = differentials(apply, [bounds(u)], PAIRS)
        changed = difference(on, u, change)
        assert_dual(one, change, changed)
        assert_carried(one, change, changed)
        assert_members(one, changed)


def test_differentials_of_a_product_are_those_of_jets():
    maps = (Picked(np.array([0, 1, 2, 0, 1, 2]), 3), Picked(np.array([1, 1, 1, 0, 0, 0]), 2))
    a, b = jets(3), jets(2)
    both = differentials(Multiplied(unused, maps), [bounds(a), bounds(b)], PAIRS)

    def on(a, b):
        wide = [[x[..., map_.source] for x in u] for map_, u in zip(maps, (a, b), strict=True)]
        return of_product(*wide)

    for one, of, u in ((both[0], lambda x: on(x, b), a), (both[1], lambda x: on(a, x), b)):
        change = [RNG.normal(size=part.shape) for part in u]
        changed = difference(of, u, change)
        assert_dual(one, change, changed)
        assert_carried(one, change, changed)
        assert_members(one, changed)


def test_a_function_without_a_third_derivative_is_taken_as_an_input():
    assert not adjoint_rests.has_differential(elementwise(elementary.RELU))


def dense(widths, activation, d=3, outputs=1):
    hidden = [layers.Dense(width, activation) for width in widths]
    return keras.Sequential([keras.Input((d,)), *hidden, layers.Dense(outputs)])


def functional(body, d=3):
    x = keras.Input((d,))
    return keras.Model(x, body(x))


def residual(x):
    y = layers.Dense(6, "tanh")(x)
    z = layers.Add()([y, layers.Dense(6, "softplus")(y)])
    return layers.Dense(2)(z)


def gated(x):
    y = layers.Dense(5, "tanh")(x)
    gate = layers.Dense(1, "sigmoid")(layers.Dense(5, "tanh")(y))
    return layers.Dense(1)(ops.multiply(ops.multiply(y, gate), layers.Dense(5, "silu")(x)))


def with_softmax(x):
    y = layers.Dense(6, "tanh")(x)
    shares = layers.Dense(6, "softmax")(y)
    return layers.Dense(1)(layers.Add()([layers.Dense(6, "silu")(y), shares]))


def with_normalization(x):
    y = layers.Dense(6, "tanh")(x)
    z = layers.LayerNormalization(epsilon=0.1)(y)
    return layers.Dense(1)(layers.Add()([layers.Dense(6, "gelu")(y), layers.Dense(6, "tanh")(z)]))


def with_attention(x):
    y = layers.Reshape((3, 1))(layers.Dense(3, "tanh")(x))
    z = ops.matmul(ops.softmax(ops.matmul(y, ops.transpose(y, (0, 2, 1)))), y)
    return layers.Dense(1)(layers.Flatten()(layers.Add()([layers.Dense(1, "tanh")(y), z])))


def side_by_side(x):
    y = layers.Dense(4, "tanh")(x)
    both = layers.Concatenate()([y, layers.Dense(3, "silu")(y)])
    return layers.Add()([layers.Dense(2)(both), layers.Dense(2)(y)])


def of_several_inputs(x):
    parts = [x[:, :1], x[:, 1:]]
    both = layers.Concatenate()([layers.Dense(2, "tanh")(parts[0]), parts[1]])
    return layers.Dense(1)(layers.Dense(5, "silu")(both))


def cut(x):
    y = layers.Dense(6, "tanh")(x)
    first, second = ops.split(y, 2, axis=-1)
    return layers.Dense(1)(ops.square(first) - layers.Dense(3, "silu")(ops.flip(second, axis=1)))


def bilinear(x):
    """Along one input alone it is straight."""
    return ops.concatenate([x[:, :1] * x[:, 1:2], x[:, 2:] + x[:, :1] * x[:, 2:]], axis=-1)


def stopped(x):
    y = layers.Dense(5, "tanh")(x)
    return layers.Dense(1)(ops.multiply(ops.stop_gradient(y), layers.Dense(5, "sigmoid")(y)))


def convolved(x):
    y = layers.Conv1D(3, 2, activation="tanh", padding="same")(layers.Reshape((3, 1))(x))
    return layers.Dense(1)(layers.Flatten()(layers.Conv1D(2, 2, activation="silu")(y)))


def rescaled(x):
    y = layers.BatchNormalization()(layers.Dense(5, "tanh")(x))
    return layers.Dense(3)(ops.square(layers.Rescaling(0.5, 0.1)(y)))


MODELS = {
    "softplus": lambda: dense((8, 8, 8), "softplus"),
    "tanh": lambda: dense((7, 5), "tanh", outputs=2),
    "gelu": lambda: dense((6, 6), "gelu"),
    "one input": lambda: dense((6, 6), "silu", d=1),
    **{
        body.__name__: (lambda body=body: functional(body))
        for body in (
            *(residual, gated, with_softmax, with_normalization, with_attention, side_by_side),
            *(of_several_inputs, cut, bilinear, stopped, convolved, rescaled),
        )
    },
}


def smooth(name):
    if "softplus" in name and keras.config.backend() == "torch":
        pytest.skip("PyTorch's has a kink: from 20 on it is the number itself")
    keras.utils.set_random_seed(3)
    model = MODELS[name]()
    for weight in model.weights:
        spread_ = RNG.normal(size=weight.shape) * (1.5 / np.sqrt(max(1, weight.shape[0])))
        weight.assign(np.abs(spread_) if "variance" in weight.path else spread_)
    d = model.input_shape[1]
    return encloser(model, np.zeros((1, d)), Options(dtype="float64")), d


def models_over(one, low, high, names=NAMES):
    """The Taylor models of the result over boxes: value, slopes, second derivatives."""
    plan = planned(names, low.shape[1])
    (found,) = one._chunk(low, high, plan, None, terms_over(low, high), False)
    return found.value, found.slope, found.bend


def evaluated(x, t):
    """Polynomials at places `(boxes, d)`."""
    i, j = x.coordinates.pairs
    factors = np.concatenate([np.ones((len(t), 1)), t, t[:, i] * t[:, j]], axis=1).T
    return (x.terms * factors.reshape(*factors.shape, *(1,) * (x.terms.ndim - 2))).sum(axis=0)


@pytest.mark.every(9)
@pytest.mark.parametrize("name", MODELS)
def test_rests_hold_what_polynomials_are_off_by(name):
    one, d = smooth(name)
    assert one.is_smooth
    at_points = dataclasses.replace(one, is_smooth=False)
    pairs = list(itertools.combinations_with_replacement(range(d), 2))
    for radius in (0.5, 0.1, 0.01, 1e-5):
        middle = RNG.uniform(-1, 1, (12, d))
        low, high = middle - radius, middle + radius
        found = models_over(one, low, high)
        t = RNG.uniform(-1, 1, (30, *low.shape))
        t[::3] = RNG.choice([-1.0, 1.0, 0.0], t[::3].shape)
        x = np.clip((low + high) / 2 + t * (high - low) / 2, low, high)
        at = at_points(x.reshape(-1, d), x.reshape(-1, d), NAMES)
        truths = (
            at[VALUE],
            [np.moveaxis(end, -1, 1) for end in at[JACOBIAN]],
            [np.stack([end[..., i, j] for i, j in pairs], axis=1) for end in at[HESSIAN]],
        )
        for model, ends in zip(found, truths, strict=True):
            lower, upper = (end.reshape(30, 12, *end.shape[1:]) for end in ends)
            for place, below, above in zip(t, lower, upper, strict=True):
                p = evaluated(model, place)
                below, above = below.reshape(p.shape), above.reshape(p.shape)
                slack = 1e-13 * (1 + np.abs(p))  # of the evaluation here
                assert (p + model.rest.lower - slack <= above).all()
                assert (p + model.rest.upper + slack >= below).all()


def chain(weights, activation="tanh"):
    """A network without biases of these matrices."""
    hidden = [layers.Dense(w.shape[1], activation, use_bias=False) for w in weights[:-1]]
    last = layers.Dense(weights[-1].shape[1], use_bias=False)
    net = keras.Sequential([keras.Input((len(weights[0]),)), *hidden, last])
    for layer, w in zip(net.layers, weights, strict=True):
        layer.set_weights([w])
    return encloser(net, np.zeros((1, len(weights[0]))), Options(dtype="float64"))


def test_models_of_several_inputs_have_taylor_models():
    inputs = [keras.Input((1,), name=name) for name in ("strike", "volatility")]
    y = layers.Dense(4, "tanh")(layers.Concatenate()(inputs))
    net = keras.Model(inputs, layers.Dense(1)(y))
    one = encloser(net, [np.zeros((1, 1)), np.zeros((1, 1))], Options(dtype="float64"))
    assert one.is_smooth
    found = models_over(one, np.zeros((1, 2)), np.full((1, 2), 0.01))
    assert all(np.ptp(part.rest.upper - part.rest.lower) < 1e-4 for part in found)


def test_where_all_comes_through_one_path_it_is_that_path_that_counts():
    """A transposed or a lost weight would count a path on which nothing is."""
    turned = np.roll(np.eye(4), 1, axis=1)
    sizes = np.diag([2.0, 0.01, 0.5, 0.01])
    one = chain([np.array([[1.5, 0, 0, 0]]), turned @ sizes, turned, np.ones((4, 1))])
    low, high = np.array([[0.2]]), np.array([[0.6]])
    _, _, bend = models_over(one, low, high)
    x = np.linspace(low[0], high[0], 201)
    at = dataclasses.replace(one, is_smooth=False)(x, x, ["partial 0 0"])["partial 0 0"]
    off = np.abs(at[0].ravel() - [evaluated(bend, t[None]).item() for t in (x - 0.4) / 0.2])
    assert off.max() <= bend.rest.upper.item() <= 40 * off.max()


CARRIED = [(["partial 0 0"], 2), (["partial 1"], 1), (NAMES, 2)]
"""Names, and the order whose rests are looked at."""


@pytest.mark.parametrize(("names", "order"), CARRIED)
def test_they_are_narrower_than_those_carried_on(names, order, monkeypatch):
    keras.utils.set_random_seed(0)
    one = encloser(dense((32, 32, 32), "tanh"), np.zeros((1, 3)), Options(dtype="float64"))
    low = RNG.uniform(-1, 1, (8, 3))
    widths = []
    for most in (adjoint_rests.MOST, 0):
        monkeypatch.setattr(adjoint_rests, "MOST", most)
        found = models_over(one, low, low + 0.02, names)[order]
        widths.append(np.median(found.rest.upper - found.rest.lower))
    assert 3 * widths[0] < widths[1]


def test_what_is_linear_is_the_same_in_all_boxes():
    one = encloser(dense((), None, outputs=2), np.zeros((1, 3)), Options(dtype="float64"))
    low = RNG.uniform(-1, 1, (4, 3))
    for names in (NAMES, ["jacobian"], ["partial 1"]):
        for lower, upper in one(low, low + 1, names).values():
            assert len(lower) == len(upper) == 4
    assert (upper - lower < 1e-14).all()


def test_of_many_outputs_they_are_those_carried_on():
    keras.utils.set_random_seed(0)
    net = dense((8, 8), "tanh", outputs=3 * adjoint_rests.MOST + 1)
    low = RNG.uniform(-1, 1, (4, 3))
    with_one = keras.Sequential([keras.Input((3,)), net, layers.Lambda(lambda y: y[:, :1])])
    wide, narrow = (
        encloser(one, low[:1], Options(dtype="float64"))(low, low + 0.1, ["partial 0 0"])
        for one in (net, with_one)
    )
    lower, upper = wide["partial 0 0"]
    below, above = narrow["partial 0 0"]
    assert (above - below < (upper - lower)[:, :1]).all()
