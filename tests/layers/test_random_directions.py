"""`DerivativeOutput(directions=k)`: what is estimated, when directions are drawn, what is kept.

The same on every backend: `make test` runs it on each.
"""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from watched import untrained

to_numpy = ops.convert_to_numpy

FEW, MANY = 3, 70
"""Inputs with directions for each example, and with those that a batch shares."""

RNG = np.random.default_rng(0)
X = {d: RNG.uniform(-1, 1, (8, d)).astype("float32") for d in (FEW, MANY)}
SEED = 11


def network(d, outputs=1):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((d,)), layers.Dense(6, "tanh"), layers.Dense(5, "tanh"), layers.Dense(outputs)]
    )


def model_of(d=MANY, k=4, halves=False, seed=None, names=("laplacian",), outputs=1, **compiling):
    layer = kc.DerivativeOutput(
        network(d, outputs), list(names), directions=k, halves=halves, seed=seed, name="pde"
    )
    inputs = keras.Input((d,))
    model = keras.Model(inputs, layer(inputs))
    loss = kc.losses.UnbiasedSquare() if halves else "mse"
    model.compile(keras.optimizers.SGD(0.0), {names[0]: loss}, **compiling)
    return model, layer


def draws(layer, x, count):
    found = [layer(x, training=True) for _ in range(count)]
    return np.stack([to_numpy(keras.tree.flatten(one)[0]) for one in found])


CASES = [
    pytest.param(
        name,
        d,
        engine,
        id=f"{name}, {d} inputs, {engine}",
        marks=[pytest.mark.slow] * (engine == "nested" or (name, d) == ("biharmonic", MANY)),
    )
    for name in ("laplacian", "divergence", "biharmonic")
    for d, engine in ((FEW, "auto"), (MANY, "auto"), (FEW, "nested"))
]


@pytest.mark.every(5)
@pytest.mark.parametrize(("name", "d", "engine"), CASES)
def test_estimates_have_the_exact_mean(name, d, engine):
    net = network(d, d if name == "divergence" else 1)
    # Of the polynomial formulas for Δ² there are 2 d² directions: those of a few inputs only.
    x, count = X[d][:4], 60 if engine == "auto" else 12
    layer = kc.DerivativeOutput(net, name, directions=8, seed=SEED, engine=engine)
    found = draws(layer, x, count)
    exact = to_numpy(kc.DerivativeOutput(net, name)(x))
    assert found.shape[1:] == exact.shape
    error = found.std(axis=0, ddof=1) / np.sqrt(count)
    # Four standard errors, and of 12 draws, whose own error is not known well, six.
    assert (np.abs(found.mean(axis=0) - exact) < (4 if count > 20 else 6) * error + 1e-5).all()
    assert error.max() < 0.5 * np.abs(exact).max() + 0.5


def test_one_input_has_one_line_of_directions():
    """There signs and directions of a fixed length are all of them: nothing is left to chance."""
    net, x = network(1), X[FEW][:, :1]
    names = ["laplacian", "biharmonic"]
    found = kc.DerivativeOutput(net, names, directions=1)(x, training=True)
    for name, exact in kc.DerivativeOutput(net, names)(x).items():
        np.testing.assert_allclose(to_numpy(found[name]), to_numpy(exact), rtol=1e-4, atol=1e-5)


def test_what_is_not_estimated_is_exact():
    asked = {"u": "value", "u_t": (0,), "u_xx": (1, 1), "lap": "laplacian"}
    net, x = network(FEW), X[FEW]
    found = kc.DerivativeOutput(net, asked, directions=2)(x)
    exact = kc.DerivativeOutput(net, asked)(x)
    for name in ("u", "u_t", "u_xx"):
        np.testing.assert_allclose(to_numpy(found[name]), to_numpy(exact[name]), atol=1e-6)
    assert np.abs(to_numpy(found["lap"]) - to_numpy(exact["lap"])).max() > 1e-3


@pytest.mark.parametrize("d", [pytest.param(FEW, marks=pytest.mark.slow), MANY])
def test_evaluation_repeats_its_directions_and_training_does_not(d):
    model, _ = model_of(d)
    labels = {"laplacian": np.zeros((8, 1))}
    first = model.predict(X[d], verbose=0)["laplacian"]
    evaluated = model.evaluate(X[d], labels, verbose=0)
    losses = [model.train_on_batch(X[d], labels)[0] for _ in range(3)]  # nothing is learned
    assert len(set(map(float, losses))) == 3
    np.testing.assert_array_equal(model.predict(X[d], verbose=0)["laplacian"], first)
    assert model.evaluate(X[d], labels, verbose=0) == evaluated
    assert evaluated[0] == pytest.approx(float(np.mean(first**2)), rel=1e-4)


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_every_step_of_a_compiled_loop_has_new_directions(steps):
    """Four times the same batch: an epoch's loss is the mean of four draws, and none of one."""
    if keras.backend.backend() == "torch":
        steps = 1  # Keras takes no others

    def epochs(copies):
        model, _ = model_of(seed=SEED, steps_per_execution=steps)
        x = np.tile(X[MANY], [copies, 1])
        fit = model.fit(
            x, {"laplacian": np.zeros((len(x), 1))}, batch_size=8, epochs=4 // copies,
            verbose=0, shuffle=False,
        )  # fmt: skip
        return fit.history["loss"]

    (whole,) = epochs(4)
    first, second = epochs(2)
    assert whole == pytest.approx((first + second) / 2, rel=1e-4)
    assert abs(first - second) > 1e-3 * whole


def trained(epochs, model):
    labels = {"laplacian": np.ones((8, 1))}
    return model.fit(X[MANY], labels, batch_size=4, epochs=epochs, verbose=0).history


def test_runs_of_one_seed_train_alike():
    first, second = (trained(2, model_of(halves=True)[0]) for _ in range(2))
    assert first == second


def test_a_saved_model_goes_on_where_it_was(tmp_path):
    model, layer = model_of(halves=True)
    trained(1, model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    labels = {"laplacian": np.ones((8, 1))}
    np.testing.assert_array_equal(
        again.predict(X[MANY], verbose=0)["laplacian"],
        model.predict(X[MANY], verbose=0)["laplacian"],
    )
    ahead, resumed = (float(m.train_on_batch(X[MANY], labels)[0]) for m in (model, again))
    assert ahead == pytest.approx(resumed, rel=1e-5)
    config = layer.get_config()
    assert (config["directions"], config["halves"], config["seed"]) == (4, True, None)


@pytest.mark.slow
def test_halves_are_independent_and_their_product_has_no_bias():
    net, x, count = network(MANY), X[MANY], 150
    exact = to_numpy(kc.laplacian(net, x))
    labels = exact - 0.3
    two = draws(kc.DerivativeOutput(net, "laplacian", directions=4, halves=True, seed=1), x, count)
    one = two.mean(axis=-1)
    unbiased = kc.losses.UnbiasedSquare()
    products = np.array([float(to_numpy(unbiased(labels, found))) for found in two])
    squares = np.mean((one - labels) ** 2, axis=(1, 2))
    true, variance = 0.09, np.mean(one.var(axis=0, ddof=1))
    assert abs(products.mean() - true) < 4 * products.std() / np.sqrt(count)
    assert abs(squares.mean() - true - variance) < 4 * squares.std() / np.sqrt(count)
    assert squares.mean() - true > 4 * squares.std() / np.sqrt(count)


def test_every_output_has_an_axis_for_the_halves():
    model, _ = model_of(FEW, 2, halves=True, names=("laplacian", "value", "biharmonic"))
    last = {"laplacian": 2, "value": 1, "biharmonic": 2}
    assert {name: y.shape for name, y in model.output.items()} == {
        name: (None, 1, size) for name, size in last.items()
    }
    found = model.predict(X[FEW], verbose=0)
    assert {name: y.shape for name, y in found.items()} == {
        name: (8, 1, size) for name, size in last.items()
    }
    assert (found["laplacian"] - found["value"]).shape == (8, 1, 2)


@pytest.mark.parametrize("k", [4, pytest.param(5, marks=pytest.mark.slow)])
def test_the_log_has_the_standard_error(k):
    model, layer = model_of(FEW, k=k, seed=SEED)
    (key,) = layer.standard_errors
    assert key == "pde_laplacian_standard_error"
    x = np.tile(X[FEW], [100, 1])
    fit = model.fit(x, {"laplacian": np.zeros((800, 1))}, batch_size=8, verbose=0)
    true = draws(layer, X[FEW], 100).std(axis=0, ddof=1)
    # Of 800 pairs of halves and of 800 draws: 3 % each.
    assert fit.history[key][0] == pytest.approx(np.sqrt(np.mean(true**2)), rel=0.12)
    assert key in model.evaluate(
        x[:8], {"laplacian": np.zeros((8, 1))}, verbose=0, return_dict=True
    )


@pytest.mark.slow
def test_more_directions_where_chance_hides_the_residual(capsys):
    model, layer = model_of(k=2, halves=True, seed=SEED)
    labels = {"laplacian": to_numpy(kc.laplacian(layer.layer, X[MANY]))}
    fit = model.fit(
        np.tile(X[MANY], [8, 1]), {"laplacian": np.tile(labels["laplacian"], [8, 1])},
        epochs=4, batch_size=8, verbose=0, callbacks=[kc.MoreDirections(layer, most=8)],
    )  # fmt: skip
    assert layer.directions == 8
    errors = fit.history["pde_laplacian_standard_error"]
    assert errors[-1] < 0.7 * errors[0]  # half: what is compiled has the new number
    assert "from 4 random directions from now on, 2 before" in capsys.readouterr().out
    far = {"laplacian": labels["laplacian"] + 100}
    model.fit(X[MANY], far, verbose=0, callbacks=[kc.MoreDirections(layer)])
    assert layer.directions == 8


@pytest.mark.slow
def test_of_one_direction_no_error_is_known_and_there_are_more():
    model, layer = model_of(k=1, seed=SEED)
    labels = {"laplacian": np.zeros((len(X[MANY]), 1))}
    more = kc.MoreDirections(layer, most=2, verbose=0)
    fit = model.fit(X[MANY], labels, epochs=2, verbose=0, callbacks=[more])
    one, two = fit.history["pde_laplacian_standard_error"]
    assert np.isnan(one)
    assert two > 0
    assert layer.directions == 2


def test_more_directions_are_of_the_model_that_is_trained():
    model, layer = model_of(k=2, seed=SEED)
    again = keras.models.clone_model(model)
    again.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be in the model that is trained"):
        again.fit(X[MANY], np.zeros((len(X[MANY]), 1)), callbacks=[kc.MoreDirections(layer)])


WRONG = {
    "a hessian": ({"names": ["laplacian", "hessian"]}, "hessian"),
    "a jacobian": ({"names": {"grad": "jacobian", "lap": "laplacian"}}, "grad"),
    "nothing": ({"names": ["value"]}, "nothing to estimate"),
    "none": ({"directions": 0}, "at least 1"),
    "a float": ({"directions": 2.0}, "must be an int"),
    "a bool": ({"directions": True}, "must be an int"),
    "odd halves": ({"directions": 3, "halves": True}, "even"),
    "halves alone": ({"directions": None, "halves": True}, "needs `directions`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_when_the_layer_is_made(case):
    given, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        kc.DerivativeOutput(network(FEW), **{"names": ["laplacian"], "directions": 4} | given)


def test_labels_must_fit():
    square = kc.losses.UnbiasedSquare()
    two = np.ones((4, 3, 2), "float32")
    for fitting in (np.zeros((4, 3)), np.zeros((4, 3, 1)), np.zeros((4, 3, 2))):
        assert float(to_numpy(square(fitting.astype("float32"), two))) == 1
    for labels in (np.zeros((4, 1)), np.zeros((3, 2)), np.zeros((4, 4, 1))):
        with pytest.raises(ValueError, match="`y_true` must have shape"):
            square(labels.astype("float32"), two)
    with pytest.raises(ValueError, match="two estimates"):
        square(np.zeros((4, 3), "float32"), np.ones((4, 3), "float32"))
    again = keras.losses.deserialize(keras.losses.serialize(square))
    assert isinstance(again, kc.losses.UnbiasedSquare)


def test_another_number_needs_one_before():
    layer = kc.DerivativeOutput(network(FEW), "laplacian")
    with pytest.raises(ValueError, match="made with `directions`"):
        layer.directions = 4
    with pytest.raises(TypeError, match="`layer` must be"):
        kc.MoreDirections(layer)


def cubic():
    x = keras.Input((3,))
    return keras.Model(x, ops.sum(x**3, axis=1, keepdims=True))


AT = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")

ASKED = {
    "function": lambda k: kc.laplacian(cubic(), AT, directions=k),
    "layer": lambda k: kc.DerivativeOutput(cubic(), "laplacian", directions=k)(AT),
    "monitor": lambda k: untrained(cubic(), AT, directions=k),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_more_directions_than_exact_derivatives_take_are_warned_of(asked):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        asked(3)
    assert not [one for one in found if "directions" in str(one.message)]
    with pytest.warns(UserWarning, match="`directions=4` are more than the 3 that exact"):
        asked(4)


def test_a_biharmonic_operator_takes_the_square_of_the_inputs():
    def asked(k):
        kc.DerivativeOutput(cubic(), ["biharmonic", "laplacian"], directions=k)(AT)

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        asked(9)
    assert not [one for one in found if "directions" in str(one.message)]
    with pytest.warns(UserWarning, match="`directions=10` are more than the 9 that exact"):
        asked(10)
