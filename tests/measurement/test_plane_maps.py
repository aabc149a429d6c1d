"""Functions of the user's over the plane of two inputs."""

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.measurement.plane_maps import SIDE
from watched import untrained

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(30, 3)).astype("float32")


def network(columns):
    x = keras.Input((columns,))
    return keras.Model(x, keras.layers.Lambda(lambda x: keras.ops.sum(x**3, axis=1))(x))


def maps_of(model, probe, **options):
    """What the functions of a monitor give at its first step."""
    return untrained(model, probe, **options)._training.maps.evaluate()


def test_a_function_is_evaluated_on_a_grid_over_the_range_of_the_probe():
    (one,) = maps_of(
        network(3), X, feature_names=["t", "x", "y"],
        maps={"wave": (lambda z: 10 * z[:, 0] + z[:, 2], ("t", "y"))},
    )  # fmt: skip
    t, y = one.axes
    np.testing.assert_allclose(t, np.linspace(X[:, 0].min(), X[:, 0].max(), SIDE), atol=1e-6)
    np.testing.assert_allclose(y, np.linspace(X[:, 2].min(), X[:, 2].max(), SIDE), atol=1e-6)
    np.testing.assert_allclose(one.values, 10 * t[None] + y[:, None], rtol=1e-5)
    assert (one.name, one.inputs) == ("wave", ("t", "y"))


def test_the_others_are_held_at_the_probe_point_nearest_the_medians():
    (one,) = maps_of(network(3), X, maps={"third": (lambda z: z[:, 2], (1, 0))})
    (held,) = np.unique(one.values)
    distance = np.linalg.norm((X - np.median(X, axis=0)) / X.std(axis=0), axis=1)
    assert held == pytest.approx(X[distance.argmin(), 2])
    assert one.held == f"x2 = {held:.4g}"
    assert one.inputs == ("x1", "x0")


def test_it_may_call_the_model_and_the_library():
    model = network(2)
    (residual,) = maps_of(
        model, X[:, :2], maps={"Laplacian": lambda z: kc.laplacian(model, z)}, dtype="float64"
    )
    expected = 6 * (residual.axes[0][None] + residual.axes[1][:, None])
    np.testing.assert_allclose(residual.values, expected, atol=1e-5)


def test_it_is_given_what_the_model_takes():
    t, x = keras.Input((1,), name="t"), keras.Input((1,), name="x")
    model = keras.Model({"t": t, "x": x}, t * x)
    seen = {}

    def product(z):
        seen.update(z)
        return np.asarray(model(z))

    (one,) = maps_of(model, {"t": X[:, :1], "x": X[:, 1:2]}, maps={"product": product})
    assert list(seen) == ["t", "x"]
    assert all(part.shape == (SIDE**2, 1) and part.dtype == np.float32 for part in seen.values())
    assert one.inputs == ("t", "x")
    np.testing.assert_allclose(one.values, one.axes[0][None] * one.axes[1][:, None], atol=1e-6)


@pytest.mark.slow
def test_it_is_of_the_weights_of_each_step(tmp_path):
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    monitor = kc.CurvatureMonitor(X[:, :2], tmp_path, maps={"y": lambda z: model(z)})
    model.fit(X[:, :2], X[:, :1], epochs=1, verbose=0, callbacks=[monitor])
    (one,) = monitor._measured.mapped
    weights = np.asarray(layer.kernel)[:, 0]
    assert np.abs(weights).max() > 0.01
    expected = weights[0] * one.axes[0][None] + weights[1] * one.axes[1][:, None]
    np.testing.assert_allclose(one.values, expected, atol=1e-6)
    assert monitor.plot(picture="maps").axes[0].get_title(loc="left") == "y"


def first(z):
    return z[:, 0]


WRONG = {
    "no dict": (first, TypeError, "dict of functions"),
    "nothing like it": (0, TypeError, "dict of functions"),
    "an array": (X, TypeError, "dict of functions"),
    "no function": ({"a": 3}, TypeError, "Received: 'a': 3"),
    "no inputs of three": ({"a": first}, ValueError, r"maps=\{'a': \(function, \('"),
    "an unknown input": ({"a": (first, ("x0", "time"))}, ValueError, "Received: .'x0', 'time'"),
    "one input twice": ({"a": (first, (1, "x1"))}, ValueError, "two different inputs"),
    "one input": ({"a": (first, ("x1",))}, ValueError, "two different inputs"),
    "an index beyond": ({"a": (first, (0, 3))}, ValueError, "two different inputs"),
    "too many": ({str(i): (first, (0, 1)) for i in range(9)}, ValueError, "at most 8"),
}


@pytest.mark.parametrize(("maps", "error", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_training(maps, error, said):
    with pytest.raises(error, match=said):
        untrained(network(3), X, maps=maps)


def test_one_input_has_no_plane():
    with pytest.raises(ValueError, match="two inputs or more"):
        untrained(network(1), X[:, :1], maps={"a": first})


def of_t_and_y(z):
    return 10 * z[:, 0] + z[:, 2]


@pytest.mark.every(2)
@pytest.mark.parametrize("columns", [["y"], ["x", "t"], ["y", "x", "t"]])
def test_functions_are_of_the_whole_input_whichever_columns_are_differentiated_by(columns):
    options = {"feature_names": ["t", "x", "y"], "maps": {"wave": (of_t_and_y, ("t", "y"))}}
    (whole,) = maps_of(network(3), X, **options)
    (one,) = maps_of(network(3), X, columns=columns, **options)
    assert (one.inputs, one.held) == (("t", "y"), whole.held)
    np.testing.assert_array_equal(one.values, whole.values)
    np.testing.assert_array_equal(one.axes, whole.axes)


@pytest.mark.parametrize("wrt", ["x", ["x", "t"]])
def test_functions_are_of_all_inputs_whichever_are_differentiated_by(wrt):
    t, x = keras.Input((1,), name="t"), keras.Input((2,), name="x")
    model = keras.Model({"t": t, "x": x}, keras.ops.concatenate([t**2, t * x], axis=1))
    maps = {"a": (lambda z: z["t"][:, 0] + 10 * z["x"][:, 1], ("t", "second"))}
    names = {"x": ["first", "second"]}
    (one,) = maps_of(model, {"t": X[:, :1], "x": X[:, 1:]}, wrt=wrt, maps=maps, feature_names=names)
    expected = one.axes[0][None] + 10 * one.axes[1][:, None]
    np.testing.assert_allclose(one.values, expected, rtol=1e-5, atol=1e-6)
    assert one.held.startswith("first = ")


def test_functions_are_of_the_input_where_a_layer_is_differentiated_by():
    x = keras.Input((2,), name="x")
    hidden = keras.layers.Dense(3, "tanh", name="hidden")(x)
    model = keras.Model(x, keras.layers.Dense(1)(hidden))
    (one,) = maps_of(model, X[:, :2], wrt="hidden", maps={"first": first})
    np.testing.assert_allclose(one.values, np.tile(one.axes[0], (SIDE, 1)), rtol=1e-5)


def test_functions_are_of_the_input_where_the_loss_is_watched():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    maps = {"first": first}
    (one,) = maps_of(model, (X[:, :2], X[:, 2:]), output=keras.losses.MeanSquaredError(), maps=maps)
    np.testing.assert_allclose(one.values, np.tile(one.axes[0], (SIDE, 1)), rtol=1e-5)


def test_there_is_no_plane_of_token_ids():
    layers = [keras.layers.Embedding(5, 2, name="embedding"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((2,), dtype="int32"), *layers, keras.layers.Dense(1)])
    ids = RNG.integers(5, size=(12, 2)).astype("int32")
    with pytest.raises(ValueError, match=r"over real numbers\. Received: a model of int32"):
        untrained(model, ids, wrt="embedding", maps={"first": first})


SHAPES = {
    "two each": lambda z: z[:, :2],
    "one for all": lambda z: 3.0,
    "a part": lambda z: z[:5, 0],
}


@pytest.mark.parametrize("function", SHAPES.values(), ids=SHAPES)
def test_a_function_gives_one_number_for_each_example(function, tmp_path):
    with pytest.raises(ValueError, match="one number for each of its examples"):
        untrained(network(2), X[:, :2], log_dir=tmp_path, maps={"a": function})


def test_a_function_that_fails_takes_nothing_else_with_it(tmp_path):
    def broken(points):
        raise RuntimeError("no such luck")

    with pytest.warns(UserWarning, match="'a' in `maps` failed: RuntimeError: no such luck"):
        monitor = untrained(
            network(2), X[:, :2], log_dir=tmp_path, maps={"a": broken}, on_error="warn"
        )
    assert np.isfinite(monitor.history["mean"]).all()
    assert "no such luck" in str(monitor.faults[0])


def test_without_maps_there_is_nothing_to_plot():
    with pytest.raises(ValueError, match="`maps=`"):
        untrained(network(2), X[:, :2]).plot(picture="maps")
