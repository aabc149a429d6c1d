"""`ShapePenalty`: what it adds, in which units, that it sees kinks, and that the shape is kept."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
import truth
from keras_curvature.engines.arrays import xp
from keras_curvature.layers.shape_penalty import MARGIN
from penalised import losses_in_float64, network, penalty_of  # noqa: F401
from watched import untrained

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(64, 2)).astype("float32")
WORDS = ("increasing", "decreasing", "convex", "concave", "linear")


@keras.saving.register_keras_serializable(package="tests")
class Power(keras.Layer):
    """`w` times a power of the first input, and the second input."""

    def __init__(self, power, w, **kwargs):
        super().__init__(**kwargs)
        self.power, self.first = power, w
        self.w = self.add_weight((), initializer=keras.initializers.Constant(w))

    def call(self, x):
        return self.w * x[:, :1] ** self.power + x[:, 1:2]

    def get_config(self):
        return {**super().get_config(), "power": self.power, "w": self.first}


def seen_by(layer):
    return next(v.numpy() for v in layer.variables if v.path.endswith("seen"))


def told(x, shape, recwarn, epochs=2):
    """The warnings of a training that asks for a shape."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((2,)), layers.Dense(4, "silu"), layers.Dense(1)])
    inputs = keras.Input((2,))
    model = keras.Model(inputs, kc.ShapePenalty(net, shape)(inputs))
    model.compile("sgd", "mse")
    fit = model.fit(x, x[:, :1], epochs=epochs, verbose=0)
    assert not any(name.endswith("data") for name in fit.history)
    return [str(w.message) for w in recwarn if "two values" in str(w.message)]


COIN = np.where(np.arange(64) % 3 == 0, 1.0, 0.0)


@pytest.mark.every(3)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (3.5, 20)])
def test_a_bend_along_a_column_of_two_values_is_told_of_once(low, high, recwarn):
    x = np.stack([X[:, 0], low + (high - low) * COIN], axis=1)
    (said,) = told(x, {"x0": "convex", "x1": ("increasing", "concave")}, recwarn, epochs=4)
    assert f"'concave' along 'x1', which has been {low} or {high} in all data so far" in said
    assert "Ask for 'increasing' or 'decreasing'" in said


@pytest.mark.every(4)
@pytest.mark.parametrize(
    ("column", "word"),
    [
        (COIN, "increasing"),
        (X[:, 1], "convex"),
        (COIN + (np.arange(64) == 5) / 2, "convex"),  # a third value, once
        (0 * COIN, "convex"),
    ],
    ids=["a change is asked for", "many values", "three values", "one value"],
)
def test_of_nothing_else_is_told(column, word, recwarn):
    assert not told(np.stack([X[:, 0], column], axis=1), {"x1": word}, recwarn)


KEPT = {
    (1, 2.0): {"increasing", "convex", "concave", "linear"},
    (1, -2.0): {"decreasing", "convex", "concave", "linear"},
    (2, 2.0): {"convex"},
    (2, -2.0): {"concave"},
}
"""Words by power and factor."""


@pytest.mark.every(24)
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("power", "w"), KEPT)
def test_it_pulls_where_the_shape_is_broken_and_nowhere_else(power, w, word):
    layer = kc.ShapePenalty(Power(power, w), {"x0": word}, seed=0)
    with tf.GradientTape() as tape:
        loss = penalty_of(layer, X)
    pull = tape.gradient(loss, layer.layer.w.value)
    if word in KEPT[power, w]:
        assert float(loss) < 1e-6  # second differences round in float32
        assert abs(float(pull)) < 1e-6
        return
    assert float(loss) > 0.1
    # A parabola decreases somewhere whatever its factor, the less the smaller that is.
    mended_by = {("increasing", 1): 1, ("decreasing", 1): -1, ("convex", 2): 1, ("concave", 2): -1}
    assert float(pull) * mended_by.get((word, power), -np.sign(w)) < 0


def test_its_amount_is_known():
    """Of -3 x, asked to increase: `v` is 3 σ, and so is `s`."""
    x = np.linspace(-1, 1, 4000)[:, None].astype("float32")  # as what is drawn: uniform
    x = np.hstack([x, np.zeros_like(x)])
    sigma = 3 * x[:, 0].std()
    v = sigma * (1 + MARGIN)
    loss = penalty_of(kc.ShapePenalty(Power(1, -3.0), {0: "increasing"}, 0.5, seed=0), x)
    assert float(loss) == pytest.approx(0.5 * (v**2 + sigma * v), rel=0.02)  # a sampling error
    both = kc.ShapePenalty(Power(1, -3.0), {0: "increasing", 1: "decreasing"}, 0.5, seed=0)
    assert float(penalty_of(both, x)) == pytest.approx(float(loss), rel=0.02)  # x1 is constant


@pytest.mark.every(4)
@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize(("per_x", "per_y"), [(1e3, 1.0), (1e-3, 1e4)])
def test_units_of_x_and_y_do_not_matter(activation, per_x, per_y):
    """Beside a squared error, which is in squared units of y."""
    asked = {0: ("concave", "decreasing"), 1: ("convex", "linear")}
    x, net = X * [1, 3], network(activation)
    plain = float(penalty_of(kc.ShapePenalty(net, asked, seed=0), x))
    scaled = keras.Sequential(
        [keras.Input((2,)), layers.Rescaling(1 / per_x), net, layers.Rescaling(per_y)]
    )
    found = float(penalty_of(kc.ShapePenalty(scaled, asked, seed=0), per_x * x))
    assert plain > 0.01
    assert found / per_y**2 == pytest.approx(plain, rel=1e-3)  # rounding in float32


def test_what_is_remembered_is_of_all_data_in_whatever_batches():
    layer = kc.ShapePenalty(Power(2, 1.0), {1: "convex", 0: "convex"}, seed=0)
    for batch in np.split(np.sort(X, axis=0), [1, 3, 30]):
        layer(batch, training=True)
        layer(10 * batch)  # not in training
    count, mean, variance, low, high = seen_by(layer)
    turned = X[:, ::-1]
    np.testing.assert_allclose(count, 64)
    np.testing.assert_allclose(mean, turned.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(variance, turned.var(axis=0), rtol=1e-4)
    np.testing.assert_array_equal([low, high], [turned.min(axis=0), turned.max(axis=0)])


def test_kinks_count():
    """A ReLU network whose kinks all bend down."""
    knots = np.arange(-1, 1, 0.05)
    net = keras.Sequential([keras.Input((1,)), layers.Dense(len(knots), "relu"), layers.Dense(1)])
    down = -0.1 * np.ones((len(knots), 1))
    net.set_weights([np.ones((1, len(knots))), -knots, down, np.zeros(1)])
    layer = kc.ShapePenalty(net, {"x": "convex"}, seed=0)
    with tf.GradientTape() as tape:
        loss = penalty_of(layer, X[:, :1])
    assert float(loss) > 0.1
    gradient = tape.gradient(loss, net.layers[1].kernel.value).numpy()
    assert np.all(gradient[1:] < 0)
    assert abs(gradient[0, 0]) < 1e-4  # whose kink is below all data: rounding alone
    assert float(penalty_of(kc.ShapePenalty(net, {"x": "concave"}, seed=0), X[:, :1])) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_it_looks_nowhere_that_the_data_do_not_reach(seed):
    def on_the_positive_side(x):
        return ops.sqrt(x[:, :1] - 0.1) * x[:, 1:]

    x = np.abs(X) + 0.1
    net = keras.Sequential([keras.Input((2,)), layers.Lambda(on_the_positive_side)])
    for batch in np.split(x, 4):
        loss = penalty_of(kc.ShapePenalty(net, {0: "increasing"}, seed=seed), batch + 1e-3)
        assert np.isfinite(loss)


def test_between_the_data_it_looks_too():
    """At both ends `x⁴ - 2 x²` is convex, between them it is not."""
    net = keras.Sequential([keras.Input((1,)), layers.Lambda(lambda x: x**4 - 2 * x**2)])
    ends = np.array([[-1.5], [1.5]] * 20, "float32")
    layer = kc.ShapePenalty(net, {0: "convex"}, seed=0, scale=0.1)
    assert float(penalty_of(layer, ends)) > 0.1


@pytest.mark.every(2)
@pytest.mark.parametrize("x", [X[:1], np.ones((8, 2), "float32")], ids=["one example", "constant"])
def test_where_there_is_no_spread_nothing_is_added(x):
    assert float(penalty_of(kc.ShapePenalty(network(), {0: WORDS}), x)) == 0


@pytest.mark.usefixtures("losses_in_float64")
def test_gradients_by_the_weights_match_differences_of_the_loss(monkeypatch):
    """With nothing held constant, for what is held would move with the weights."""
    monkeypatch.setattr(xp, "stop_gradient", lambda x: x)
    net = network(dtype="float64")
    asked = {0: ("concave", "decreasing", "linear"), 1: "convex"}
    layer = kc.ShapePenalty(net, asked, seed=1, dtype="float64")
    x = tf.constant(X[:16], tf.float64)
    layer(x)
    seed = next(v for v in layer.variables if "seed" in v.path)
    fixed = seed.numpy()
    kernel, start = net.layers[0].kernel, net.layers[0].kernel.numpy()
    shift = RNG.normal(size=start.shape)
    layer(x, training=True)  # from here on the statistics stay

    def along(t):
        kernel.assign(start + t * shift)
        seed.assign(fixed)
        return float(penalty_of(layer, x))

    wanted = truth.gradient(
        lambda points: np.array([[along(t)] for t in points[:, 0]]), np.zeros((1, 1)), h=1e-4
    )[0, 0, 0]
    kernel.assign(start)
    seed.assign(fixed)
    with tf.GradientTape() as tape:
        loss = penalty_of(layer, x)
    found = np.sum(tape.gradient(loss, kernel.value) * shift)
    # Points that come to be violations in between leave a kink in the loss.
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def noisy_curve(n=64):
    """Of eˣ, so noisy that a network bends down somewhere."""
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, n)[:, None].astype("float32")
    return x, (np.exp(x) + 0.3 * rng.normal(size=x.shape)).astype("float32")


SHAPE = {"x": ("convex", "increasing")}


def fitted(activation, strength, **options):
    x, y = noisy_curve(16)
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(32, activation) for _ in range(2)]
    net = keras.Sequential([keras.Input((1,)), layers.Rescaling(6.0), *hidden, layers.Dense(1)])
    model = keras.Sequential([keras.Input((1,)), kc.ShapePenalty(net, SHAPE, strength, seed=0)])
    rate = keras.optimizers.schedules.CosineDecay(1e-2, 600)
    model.compile(keras.optimizers.Adam(rate), "mse", steps_per_execution=50, **options)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.fit(data, steps_per_epoch=600, shuffle=False, verbose=0)
    line = np.linspace(-1, 1, 401)[:, None]
    (report,) = untrained(net, line, shape=SHAPE).reports.values()
    error = float(np.sqrt(np.mean((net.predict(line, verbose=0) - np.exp(line)) ** 2)))
    return report.headline["shape_fraction"], error


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["silu", pytest.param("relu", marks=pytest.mark.slow)])
def test_a_strength_of_1_keeps_the_shape_and_helps(activation):
    without, error_without = fitted(activation, 0.0, jit_compile=False)
    kept, error = fitted(activation, 1.0, jit_compile=False)
    assert without < 0.7
    assert kept >= {"silu": 0.99, "relu": 0.95}[activation]
    assert error < 0.8 * error_without


@pytest.mark.slow
def test_the_reported_loss_separates_the_penalty():
    x, y = noisy_curve()
    net = network(inputs=1)
    model = keras.Sequential([keras.Input((1,)), kc.ShapePenalty(net, {0: "decreasing"})])
    model.compile("sgd", "mse", metrics=["mse"], jit_compile=False)
    history = model.fit(x, y, validation_data=(x, y), epochs=3, verbose=0).history
    assert min(history["shape_penalty"]) > 0
    total = np.add(history["mse"], history["shape_penalty"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], history["val_mse"], rtol=1e-5)
    assert history["val_shape_penalty"] == [0, 0, 0]
    np.testing.assert_array_equal(model.predict(x, verbose=0), net.predict(x, verbose=0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [{"run_eagerly": True}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)],
    ids=str,
)
def test_every_way_to_train_adds_the_same(way):
    x, y = noisy_curve()
    found = []
    for options in ({"jit_compile": False}, way):
        layer = kc.ShapePenalty(network(inputs=1), {0: ("concave", "decreasing")}, seed=5)
        model = keras.Sequential([keras.Input((1,)), layer])
        model.compile("sgd", "mse", **options)
        found.append(model.fit(x, y, shuffle=False, verbose=0).history)
    for name in ("loss", "shape_penalty"):  # XLA draws other numbers from a seed
        rel = 0.05 if "jit_compile" in way else 1e-4
        assert found[0][name] == pytest.approx(found[1][name], rel=rel)


@pytest.mark.every(2)
@pytest.mark.parametrize("engine", ["nested", "finite_difference"])
def test_every_engine_adds_the_same(engine):
    found = [
        float(penalty_of(kc.ShapePenalty(network(), {0: WORDS}, engine=name, seed=0), X))
        for name in ("auto", engine)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_mixed_precision_adds_what_float32_does():
    found = []
    for policy in ("float32", "mixed_float16"):
        hidden = [layers.Dense(16, "silu", dtype=policy), layers.Dense(1, dtype=policy)]
        net = keras.Sequential([keras.Input((2,)), *hidden])
        net.set_weights(network().get_weights())
        layer = kc.ShapePenalty(net, {0: WORDS}, seed=0, dtype=policy)
        found.append(float(penalty_of(layer, X)))
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_several_inputs_and_a_layer_along_which_to_look():
    ids, z = keras.Input((2,), dtype="int32", name="ids"), keras.Input((1,), name="strike")
    embedded = layers.Flatten()(layers.Embedding(5, 2, name="embedding")(ids))
    hidden = layers.Dense(4, "tanh")(layers.Concatenate()([embedded, z]))
    net = keras.Model({"ids": ids, "strike": z}, {"one": layers.Dense(1)(hidden), "all": hidden})
    x = {"ids": RNG.integers(0, 5, (64, 2)), "strike": X[:, :1]}
    cases = [
        ({"x[0,1]": WORDS}, {"wrt": "embedding"}),
        ({"strike": WORDS}, {"wrt": "strike", "output": "one"}),
        ({"K": WORDS}, {"wrt": ["strike"], "feature_names": ["K"]}),
    ]
    for asked, options in cases:
        layer = kc.ShapePenalty(net, asked, **options)
        assert float(penalty_of(layer, x)) > 0
        np.testing.assert_array_equal(layer(x)["all"], net(x)["all"])


def test_it_is_saved_and_loaded(tmp_path):
    x, y = noisy_curve()
    asked = {0: ["decreasing", "concave"]}
    layer = kc.ShapePenalty(
        network(inputs=1), asked, 0.3, scale=np.array([0.2]), seed=5, feature_names=("K",)
    )
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    # What it has seen goes on where it was.
    seen = [seen_by(m.layers[-1]) for m in (model, loaded)]
    assert seen[0][0] == 64
    np.testing.assert_array_equal(*seen)
    kept = keras.models.clone_model(model).layers[-1]
    assert dict(kept.shape) == {0: ("decreasing", "concave")}
    assert kept.feature_names == ["K"]


WRONG = {
    "negative": ({"strength": -1.0}, ValueError, "at least 0"),
    "scale": ({"scale": -0.1}, ValueError, "positive"),
    "scale in words": ({"scale": "wide"}, ValueError, "`scale`"),
    "output": ({"output": "z"}, ValueError, "'z'"),
    "names": ({"feature_names": ["a"]}, ValueError, "2 different names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_come_before_training(name):
    options, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        kc.ShapePenalty(network(), {0: "convex"}, **options)(keras.Input((2,)))


def test_points_are_looked_at_besides():
    """A function that is convex on the data and wherever these reach, but not at the points."""
    net = keras.Sequential([keras.Input((2,)), Power(3, 1.0)])
    x = np.abs(X) + 0.1
    points = np.tile([[-2.0, 0.0]], (5, 1))
    without, beside = (
        float(penalty_of(kc.ShapePenalty(net, {0: "convex"}, scale=1e-3, points=given), x))
        for given in (None, points)
    )
    assert without == pytest.approx(0, abs=1e-6)
    assert beside > 1
    inputs = keras.Input((2,))
    layer = kc.ShapePenalty(net, {0: "convex"}, points=points)
    model = keras.Model(inputs, layer(inputs))
    again = keras.Model.from_config(model.get_config()).layers[-1]
    np.testing.assert_array_equal(again.points, points)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((3, 4)), "of shapes [('k', 2)]"),
        (np.zeros((0, 2)), "at least one"),
        ([[np.nan, 0.0]], "must be finite"),
        ("abc", "must hold numbers"),
    ],
)
def test_points_that_do_not_fit_are_told(points, words):
    net = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises((ValueError, TypeError)) as error:
        kc.ShapePenalty(net, {0: "convex"}, points=points)(keras.Input((2,)))
    assert words in str(error.value)
