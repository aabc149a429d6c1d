"""That a right derivative passes, a wrong one is found and blamed on what is wrong."""

from __future__ import annotations

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from ailing import X, stack
from keras_curvature.engines.taylor import registry
from keras_curvature.report.text import WIDTH

NAMES = (
    "value",
    "jacobian",
    "hessian",
    "hessian_diagonal",
    "laplacian",
    "directional_curvature",
    "hessian_vector_product",
)


@pytest.fixture(autouse=True)
def the_same_weights():
    keras.utils.set_random_seed(0)


def bent(activation="tanh", units=1, **kwargs):
    return stack(keras.layers.Dense(8, activation, name="bend"), units=units, **kwargs)


def named(report, name):
    (check,) = [check for check in report.checks if check.name == name]
    return check


@pytest.fixture
def registered(rules_as_before):
    """Registers a rule in place of another for one test."""

    def register(op_type, rule):
        if kc.taylor.is_registered(op_type):
            kc.taylor.deregister(op_type)
        kc.taylor.register(op_type, rule)

    return register


@pytest.mark.every(2)
@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize("engine", ["auto", "nested", "finite_difference"])
def test_what_is_right_passes(engine, dtype):
    report = kc.verify(bent(units=2), X, engine=engine, dtype=dtype)
    assert report.ok, str(report)
    assert report.complete
    assert tuple(check.name for check in report.checks) == NAMES
    assert report.tolerance == (1e-6 if dtype else 1e-3)
    for check in report.checks:
        assert check.judged == check.places
        assert check.error <= check.allowed
        if dtype and check.name != "value":
            assert check.allowed < 2e-6
    assert report.causes == ()


WRONG_RULES = {
    "wrong sign": kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: 2 * y * (1 - y * y)),
    "linear": kc.taylor.linear(),
    "a hundredth off": kc.taylor.elementwise(
        lambda x, y: 1 - y * y, lambda x, y: -2.02 * y * (1 - y * y)
    ),
}


@pytest.mark.every(6)
@pytest.mark.parametrize("rule", WRONG_RULES.values(), ids=WRONG_RULES)
def test_a_wrong_rule_is_found_and_named(rule, registered):
    registered("Tanh", rule)
    report = kc.verify(bent(), X)
    assert not report.ok
    wrong = [check.name for check in report.checks if not check.ok]
    assert "laplacian" in wrong
    assert "directional_curvature" in wrong
    assert "value" not in wrong
    assert "jacobian" not in wrong  # by reverse mode, which has no rule of ours
    blame = " ".join(report.causes)
    assert "rule for 'Tanh'" in blame
    assert "'bend'" in blame
    assert "engine='nested'" in blame


def test_a_right_rule_of_the_users_own_passes(registered):
    registered(
        "Tanh",
        kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: -2 * y * (1 - y * y)),
    )
    assert kc.verify(bent(), X, dtype="float64").ok


@pytest.mark.slow
def test_the_rules_are_what_they_were_after_looking_for_the_wrong_one(registered):
    registered("Tanh", WRONG_RULES["wrong sign"])
    before = dict(registry._rules)
    kc.verify(bent(), X)
    assert registry._rules == before


def test_a_gradient_of_another_function_is_told_apart():
    stopped = keras.layers.Lambda(lambda t: t * tf.stop_gradient(t), name="half")
    report = kc.verify(stack(keras.layers.Dense(4, "tanh"), stopped), X)
    assert not report.ok
    assert not named(report, "jacobian").ok
    assert "'half'" in report.causes[0]
    assert "on purpose" in report.causes[0]


@pytest.mark.slow
def test_rounding_in_float32_is_told_apart():
    # Of the 7 digits of float32, the sum leaves 1 or 2 behind the point.
    coarse = keras.layers.Lambda(lambda t: tf.sqrt(tf.square(t + 3e5)) - 3e5)
    model = stack(coarse, keras.layers.Dense(4, "tanh"))
    report = kc.verify(model, X)
    assert not report.ok
    assert report.causes == (
        'In float64 it is right: what is off is rounding. Pass dtype="float64".',
    )
    assert kc.verify(model, X, dtype="float64").ok


def test_a_model_that_is_another_function_each_time_is_found():
    class Moody(keras.layers.Layer):
        """Does something else whenever it is traced."""

        factors = itertools.count(1)

        def call(self, t):
            return (1 + 0.01 * next(self.factors)) * t

    report = kc.verify(stack(Moody(), keras.layers.Dense(4, "tanh")), X)
    assert [check.name for check in report.checks if not check.ok] == ["value"]
    assert "other values than another trace" in report.causes[0]


def test_points_on_a_kink_are_not_judged():
    x = np.array([[0.0], [0.0], [0.5], [1.0], [2.0], [3.0]])

    def corner(x):
        return tf.nn.relu(x) * tf.cast([3.0], x.dtype) + x**2

    report = kc.verify(corner, x, dtype="float64")
    assert report.ok, str(report)
    for name in NAMES[1:]:
        check = named(report, name)
        assert (check.judged, check.at_kinks, check.drowned) == (4, 2, 0), name
    assert "a kink" in str(report)


def corner(x):
    return tf.nn.relu(x[:, :1]) + x[:, 1:]


NOT_JUDGED = {
    "kinks at all examples": (corner, np.zeros((6, 2)), NAMES[1:], "within their reach"),
    "kinks along one of two": (
        corner, np.stack([np.zeros(6), np.arange(6.0)], axis=1), NAMES[1:], "within their reach",
    ),
    "bends too short": (lambda x: tf.sin(1e9 * x), X[:, :1], NAMES[1:], "less than a millionth"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_JUDGED)
def test_what_cannot_be_judged_is_not_called_right(case):
    function, x, names, why = NOT_JUDGED[case]
    report = kc.verify(function, x, dtype="float64")
    assert not report.ok
    assert not report.complete
    assert report.wrong == ()
    unjudged = [check.name for check in report.checks if not check.judged]
    assert set(unjudged) <= set(names)
    assert "jacobian" in unjudged
    assert "not judged" in report.headline
    assert "right for this model" not in str(report)
    assert why in " ".join(report.unjudged)


def test_the_monitor_warns_of_what_cannot_be_judged():
    model = keras.Sequential([keras.Input((1,)), keras.layers.ReLU()])
    model.compile("sgd", "mse")
    x = np.zeros((6, 1))
    with pytest.warns(UserWarning, match=r"not judged.*within their reach"):
        model.fit(x, x, verbose=0, callbacks=[kc.CurvatureMonitor(x, verify=True)])


def scaled_up(still):
    """A constant column behind a normalisation that has seen it, beside one that varies."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=50), np.full(50, still)], axis=1)
    normalise = keras.layers.Normalization(dtype="float64")
    normalise.adapt(x)
    double = {"dtype": "float64"}
    hidden = keras.layers.Dense(8, "tanh", **double)
    last = keras.layers.Dense(1, **double)
    return keras.Sequential([keras.Input((2,), **double), normalise, hidden, last]), x


@pytest.mark.parametrize("still", [0.0, 3.0])
def test_a_constant_column_that_the_model_scales_up_is_judged(still):
    model, x = scaled_up(still)
    report = kc.verify(model, x)
    assert report.ok, str(report)
    assert report.complete
    assert named(report, "hessian_diagonal").judged == 16


@pytest.mark.slow
def test_a_wrong_rule_is_found_behind_a_constant_column(registered):
    registered("Tanh", WRONG_RULES["a hundredth off"])
    model, x = scaled_up(3.0)
    assert "laplacian" in [check.name for check in kc.verify(model, x).wrong]


def test_a_network_of_relu_is_right_between_its_kinks():
    report = kc.verify(bent("relu"), X, dtype="float64")
    assert report.ok
    assert named(report, "laplacian").judged >= 6


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (lambda x: x * 0.0, X),
        (lambda x: x, X),
        (lambda x: 1e-12 * x**2 + 1.0, X),
        (lambda x: x**2, X[:1]),
    ],
    ids=["zero", "linear", "flat", "one example"],
)
def test_degenerate_functions_raise_no_alarm(model, x):
    report = kc.verify(model, x)
    assert report.wrong == ()
    assert report.ok == ("not judged" not in report.headline)


def test_many_inputs_are_checked_along_a_few():
    model = stack(keras.layers.Dense(8, "tanh"), inputs=(100,))
    report = kc.verify(model, np.random.default_rng(0).normal(size=(9, 100)), dtype="float64")
    assert report.ok
    assert named(report, "hessian_diagonal").places == 8 * 8
    assert [name for name in NAMES if name not in {c.name for c in report.checks}] == ["laplacian"]
    assert "laplacian was not checked" in report.left_out[0]
    assert not report.complete


@pytest.mark.slow
def test_many_outputs_are_checked_in_a_mixture(registered):
    assert kc.verify(bent(units=30), X, dtype="float64").ok
    registered("Tanh", WRONG_RULES["a hundredth off"])
    report = kc.verify(bent(units=30), X)
    assert "a mixture of the outputs" in named(report, "laplacian").where
    assert not report.ok


@pytest.mark.slow
def test_structures_outputs_and_layers():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    hidden = keras.layers.Dense(4, "silu", name="hidden")(keras.layers.Concatenate()([a, b]))
    model = keras.Model({"a": a, "b": b}, [hidden, keras.layers.Dense(1)(hidden)])
    x = {"a": X[:, :2], "b": X[:, 2:]}
    for options in ({}, {"output": 1}, {"wrt": "a"}, {"wrt": "hidden", "output": 1}):
        report = kc.verify(model, x, dtype="float64", **options)
        assert report.ok, f"{options}: {report}"


def test_seeds_choose_the_places():
    model = bent()
    first, again, other = (kc.verify(model, X, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    for seed in (-1, 1.5, True, None):
        with pytest.raises(TypeError, match="`seed` must be an int"):
            kc.verify(bent(), X, seed=seed)


def test_examples_that_influence_each_other_are_not_judged():
    with pytest.warns(UserWarning, match="gives an example another output"):
        report = kc.verify(lambda x: x - tf.reduce_mean(x**2, axis=0), X)
    assert report.checks == ()
    assert "not judged" in report.headline
    assert not report.ok
    assert not report.complete


@pytest.mark.slow
def test_the_report_is_data_and_text(registered):
    registered("Tanh", WRONG_RULES["wrong sign"])
    report = kc.verify(bent(), X)
    text = str(report)
    assert text.startswith("Verification of ")
    assert "WRONG in " in text.splitlines()[0]
    assert max(map(len, text.splitlines())) <= WIDTH
    assert dataclasses.asdict(report)["checks"][0]["name"] == "value"
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.model = ""


def fit(model, **options):
    monitor = kc.CurvatureMonitor(X[:16], verify=True, **options)
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], epochs=1, verbose=0, callbacks=[monitor])
    return monitor


@pytest.mark.slow
def test_the_monitor_verifies_once_before_training():
    model = bent()
    monitor = fit(model)
    first = monitor.verification
    assert first.ok
    model.fit(X, X[:, :1], epochs=1, verbose=0, callbacks=[monitor])
    assert monitor.verification is first


@pytest.mark.slow
def test_the_monitor_raises_before_training(registered):
    registered("Tanh", WRONG_RULES["wrong sign"])
    model = bent()
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(kc.WrongDerivativeError, match=r"example \d+.*rule for 'Tanh'") as caught:
        fit(model)
    assert not caught.value.verification.ok
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow
def test_the_monitor_warns_and_goes_on(registered):
    registered("Tanh", WRONG_RULES["wrong sign"])
    with pytest.warns(UserWarning, match="WRONG in .*'bend'"):
        monitor = fit(bent(), on_error="warn")
    assert monitor.history["step"] == [0, 1]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_what_rounds_to_half_precision_inside_is_not_called_another_function(policy):
    """Its output is float32: the dtype of that says nothing of how exact it is."""
    hidden = keras.layers.Dense(16, "silu", dtype=policy)
    model = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1, dtype="float32")])
    report = kc.verify(model, X[:, :2])
    assert report.ok
    assert "The value was not checked: the model itself rounds to" in str(report)
