"""What a number is called, and what is set against it, goes by name wherever there are names.

Keras sorts the keys of a dict, but not those of an `OrderedDict`: the order of the arrays is never
that in which a user writes them down, so that nothing may be laid over them by its position.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import combinations

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.report.text import formatted
from keras_curvature.summaries.markdown import of_report
from watched import untrained

RNG = np.random.default_rng(0)
N = 16
STRIKE, SPOT = RNG.uniform(1, 2, size=(2, N, 1))
PAIR = RNG.uniform(1, 2, size=(N, 2))
SECOND = {"strike": 6 * STRIKE, "spot": np.full((N, 1), 2.0), "pair": 12 * PAIR**2 * [1, 0]}
"""Of strike³ + spot² + pair[0]⁴, along each input; by the alphabet pair comes first."""


def formula(x):
    return x["strike"] ** 3 + x["spot"] ** 2 + x["pair"][:, :1] ** 4


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.built = True

    def call(self, x):
        return formula(x)


def tensors(names=("strike", "spot", "pair")):
    widths = {"strike": 1, "spot": 1, "pair": 2}
    return {name: keras.Input((widths[name],), name=name) for name in names}


def of_a_dict(kind=dict):
    inputs = kind(tensors())
    return keras.Model(inputs, formula(inputs))


def of_a_list():
    inputs = tensors()
    return keras.Model(list(inputs.values()), formula(inputs))


def nested():
    inputs = tensors()
    deep = {"option": {"strike": inputs["strike"], "spot": inputs["spot"]}, "pair": inputs["pair"]}
    return keras.Model(deep, formula(inputs))


X = {"strike": STRIKE, "spot": SPOT, "pair": PAIR}
ORDERED = OrderedDict(X)
DEEP = {"option": {"strike": STRIKE, "spot": SPOT}, "pair": PAIR}

MODELS = {
    "dict": (of_a_dict, X),
    "dict and an OrderedDict": (of_a_dict, ORDERED),
    "OrderedDict": (lambda: of_a_dict(OrderedDict), ORDERED),
    "OrderedDict and a dict": (lambda: of_a_dict(OrderedDict), X),
    "list": (of_a_list, [STRIKE, SPOT, PAIR]),
    "list and a dict": (of_a_list, X),
    "nested": (nested, DEEP),
    "subclassed": (Subclassed, X),
    "subclassed and an OrderedDict": (Subclassed, ORDERED),
    "function": (lambda: formula, ORDERED),
}


@pytest.mark.every(12)
@pytest.mark.parametrize("case", MODELS)
def test_a_derivative_is_that_by_the_input_of_its_name(case):
    make, x = MODELS[case]
    model = make()
    for name, second in SECOND.items():
        found = kc.hessian_diagonal(model, x, wrt=name, dtype="float64")
        np.testing.assert_allclose(found[:, 0], second, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        ("dict", False),
        ("subclassed and an OrderedDict", True),
        pytest.param("OrderedDict and a dict", False, marks=pytest.mark.slow),
        pytest.param("list", False, marks=pytest.mark.slow),
        pytest.param("nested", True, marks=pytest.mark.slow),
    ],
)
def test_the_monitor_names_its_numbers_by_input(case, loss):
    make, x = MODELS[case]
    probe, output = ((x, np.zeros((N, 1))), lambda y, z: z - y) if loss else (x, None)
    names = {"strike": "K", "pair": ["first", "second"]}
    monitor = untrained(make(), probe, output=output, feature_names=names, dtype="float64")
    features = monitor.reports[""].features
    assert set(features) == {"K", "spot", "first", "second"}
    known = np.hstack(list(SECOND.values())) * np.hstack(list(X.values())).std(axis=0) ** 2
    sizes = np.abs(known).mean(axis=0) / formula(X).std()
    found = [features[name] for name in ("K", "spot", "first", "second")]
    np.testing.assert_allclose(found, sizes, rtol=1e-6)


def test_interactions_have_names(capsys):
    """Of strike spot, and of nothing else."""
    inputs = {name: keras.Input((1,), name=name) for name in ("strike", "spot", "vol")}
    model = keras.Model(inputs, inputs["strike"] * inputs["spot"] + inputs["vol"] ** 2)
    x = {"strike": STRIKE, "spot": SPOT, "vol": PAIR[:, :1]}
    monitor = untrained(model, x, dtype="float64")
    size = STRIKE.std() * SPOT.std() / (STRIKE * SPOT + PAIR[:, :1] ** 2).std()
    found = monitor.reports[""].pairs
    assert set(map(frozenset, found)) == set(map(frozenset, combinations(inputs, 2)))
    assert {key: value for key, value in found.items() if value} == {
        ("spot", "strike"): pytest.approx(size, rel=1e-6)
    }
    monitor.summary("all")
    assert f"spot × strike  {formatted(size)}" in capsys.readouterr().out
    assert f"Interact most: spot × strike {formatted(size)}" in of_report(monitor.reports[""])


def against(names):
    """Known second derivatives in the structure of `hessian_diagonal`, in this order."""
    return {name: SECOND[name][:, None] for name in names}


GIVEN = {
    "names": {"feature_names": ["strike", "spot", "pair[0]", "pair[1]"]},
    "reference": {"reference": against(["strike", "spot", "pair"])},
    "reference, a function": {"reference": lambda x: against(list(x))},
    "scale": {"scale": {"strike": 0.01, "spot": 0.02, "pair": [0.3, 0.04]}},
}


def curve_of(name):
    """A function of the probe that gives the second derivatives along one of its inputs."""
    return lambda x: 6 * x[name][:, None] if name == "strike" else SECOND[name][:, None]


FUNCTIONS = {
    "by input": {name: curve_of(name) for name in SECOND},
    "by output": {"value": lambda x: against(list(x))},
    "by output and input": {"value": {name: curve_of(name) for name in SECOND}},
    "one among arrays": {**against(list(SECOND)), "strike": curve_of("strike")},
}


@pytest.mark.parametrize("reference", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_reference_may_have_functions_in_the_place_of_arrays(reference):
    monitor = untrained(of_a_dict(), X, dtype="float64", reference=reference)
    found = monitor.reports[""].reference["reference_rmse"]
    assert found == pytest.approx(0, abs=1e-9)


def test_a_function_of_one_input_may_go_by_the_name_of_the_output():
    x = keras.Input((1,), name="x")
    model = keras.Model(x, {"u": x**3})
    reference = {"u": lambda x: 6 * x[:, :, None]}
    monitor = untrained(model, STRIKE, dtype="float64", reference=reference)
    assert monitor.reports[""].reference["reference_rmse"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("reference", ["u_xx", {"spot": "u_xx"}], ids=repr)
def test_a_reference_that_is_no_number_is_named(reference):
    with pytest.raises(ValueError, match=r"`reference` must be numbers of shape .* or a function"):
        untrained(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]), SPOT,
                  reference=reference)  # fmt: skip


def test_a_reference_may_be_nested_as_the_inputs_are():
    deep = {"option": against(["strike", "spot"]), "pair": against(["pair"])["pair"]}
    for reference in (deep, {"value": deep}):
        monitor = untrained(nested(), DEEP, dtype="float64", reference=reference)
        found = monitor.reports[""].reference["reference_rmse"]
        assert found == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("case", GIVEN)
def test_what_is_given_by_name_is_taken_by_name(case):
    monitor = untrained(of_a_dict(), X, dtype="float64", **GIVEN[case])
    report = monitor.reports[""]
    assert list(report.features) == ["pair[0]", "pair[1]", "spot", "strike"]
    if "reference" in case:
        assert report.reference["reference_rmse"] == pytest.approx(0, abs=1e-9)
    if case == "scale":  # a second difference of x⁴ is 12 x² + 2 h²
        found = kc.scale_curvature(of_a_dict(), X, dtype="float64", wrt=None, **GIVEN[case])
        expected = SECOND["pair"][:, :1] + 2 * 0.3**2
        np.testing.assert_allclose(found["pair"][:, 0, :1], expected, rtol=1e-6)
        assert "h = 0.01 to 0.3" in " ".join(report.method)


ONES = {name: np.ones_like(array) for name, array in X.items()}
BY_POSITION = {
    "feature_names": lambda m: untrained(m, X, feature_names=["K", "S", "P", "Q"]),
    "feature_names, estimates": lambda m: untrained(m, X, feature_names=["K"] * 4, directions=2),
    "reference": lambda m: untrained(m, X, reference=np.ones((N, 1, 4))),
    "reference, a list": lambda m: untrained(m, X, reference=list(SECOND.values())),
    "scale": lambda m: untrained(m, X, scale=[0.1, 0.2, 0.3, 0.4]),
    "scale of a function": lambda m: kc.scale_curvature(m, X, np.array([0.1, 0.2, 0.3, 0.4])),
    "v": lambda m: kc.directional_curvature(m, X, list(ONES.values())),
}


@pytest.mark.parametrize("case", BY_POSITION)
def test_what_is_given_by_position_for_a_dict_is_refused(case):
    what = case.split(",")[0].split(" ")[0]
    with pytest.raises(ValueError, match=f"`{what}` must be a dict by.*Write {{'pair': "):
        BY_POSITION[case](of_a_dict())


@pytest.mark.slow
def test_a_list_in_wrt_has_an_order():
    chosen = {"wrt": ["strike", "spot"], "dtype": "float64"}
    model = of_a_dict()
    found = kc.directional_curvature(model, X, [0 * STRIKE, 3 * np.ones_like(SPOT)], **chosen)
    np.testing.assert_allclose(found, 9 * SECOND["spot"], rtol=1e-9)
    reference = {name: SECOND[name][:, None] for name in ("spot", "strike")}
    monitor = untrained(model, X, feature_names=["K", "S"], reference=reference, **chosen)
    assert list(monitor.reports[""].features) == ["K", "S"]
    assert monitor.reports[""].reference["reference_rmse"] == pytest.approx(0, abs=1e-9)


class Frame:
    """Stands in for a data frame."""

    columns = ("age", "bmi", "bp")

    def __array__(self, dtype=None, copy=None):
        return np.ones((4, 3)) * np.arange(4.0)[:, None]


def test_the_columns_of_a_frame_do_not_name_the_outputs_of_a_layer():
    layers = [keras.layers.Dense(3, "tanh", name="hidden"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    assert list(untrained(model, Frame()).reports[""].features) == list(Frame.columns)
    found = untrained(model, Frame(), wrt="hidden").reports[""].features
    assert list(found) == ["x0", "x1", "x2"]


def two(outputs=dict, names=("risk", "price")):
    x = keras.Input((1,))
    made = {"risk": x**3, "price": 5 * x**2}
    layers = {name: keras.layers.Identity(name=name)(made[name]) for name in names}
    return keras.Model(x, list(layers.values()) if outputs is list else outputs(layers))


class WithOutputs(keras.Model):
    def __init__(self, kind):
        super().__init__()
        self.built, self.kind = True, kind

    def call(self, x):
        return self.kind([("risk", x**3), ("price", 5 * x**2)])


OUTPUTS = {
    "dict": two,
    "OrderedDict": lambda: two(OrderedDict),
    "list": lambda: two(list),
    "subclassed": lambda: WithOutputs(dict),
    "subclassed OrderedDict": lambda: WithOutputs(OrderedDict),
}
Y = {"risk": STRIKE**3, "price": 5 * STRIKE**2}


@pytest.mark.slow
@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_is_the_one_of_its_name(case):
    model = OUTPUTS[case]()
    known = {"risk": 6 * STRIKE, "price": 10 + 0 * STRIKE}
    for name, second in known.items():
        found = kc.laplacian(model, STRIKE, output=name, dtype="float64")
        np.testing.assert_allclose(found, second, rtol=1e-9, err_msg=name)
    if case == "subclassed":
        return
    reference = {name: second[..., None] for name, second in known.items()}
    monitor = untrained(model, (STRIKE, Y), reference=reference, dtype="float64")
    for name, second in known.items():
        report = monitor.reports[name]
        assert report.headline["mean"] == pytest.approx(second.mean(), rel=1e-9)
        assert report.headline["r2"] == pytest.approx(1)
        assert report.reference["reference_rmse"] == pytest.approx(0, abs=1e-9)
        one = untrained(model, (STRIKE, Y), output=name)
        assert one.reports[""].headline["r2"] == pytest.approx(1)


def test_what_a_function_makes_of_the_outputs_is_not_called_like_them():
    turned = lambda y: [y["risk"], y["price"]]  # noqa: E731
    found = untrained(two(), STRIKE, output=turned, dtype="float64").reports
    assert set(found) == {"output_0", "output_1"}
    assert found["output_1"].headline["mean"] == pytest.approx(10)


class Deep(keras.Model):
    def __init__(self):
        super().__init__()
        self.built = True

    def call(self, x):
        return {"greeks": {"delta": x**2, "gamma": x}, "price": x**3}


def test_a_name_is_no_index_into_outputs_that_are_nested():
    with pytest.raises(ValueError, match="the index of one of the outputs, which have no"):
        kc.laplacian(Deep(), STRIKE, output="price")


def test_two_outputs_of_one_layer_are_both_there():
    x = keras.Input((1,))
    layer = keras.layers.Identity(name="shared")
    model = keras.Model(x, [layer(x**3), layer(5 * x**2)])
    found = untrained(model, STRIKE, dtype="float64").reports
    assert [r.headline["mean"] for r in found.values()] == pytest.approx([6 * STRIKE.mean(), 10])
    with pytest.raises(ValueError, match="the index of one of the outputs, which have no"):
        kc.laplacian(model, STRIKE, output="shared")


VALUES = {
    "list for a dict": (two, {}, list(Y.values()), "`y` must be a dict by name"),
    "other names": (two, {}, {"a": Y["risk"], "b": Y["price"]}, r"without \['price', 'risk'\]"),
    "other names of a list": (OUTPUTS["list"], {}, {"a": 0 * STRIKE, "b": STRIKE}, "without"),
    "a list for one of them": (
        two,
        {"output": "risk"},
        list(Y.values()),
        "Of several outputs give",
    ),
    "of another output": (two, {"output": "risk"}, {"price": Y["price"]}, "the output 'risk'"),
}


@pytest.mark.parametrize("case", VALUES)
def test_known_values_of_no_output_are_refused(case):
    make, options, y, message = VALUES[case]
    with pytest.raises(ValueError, match=message):
        untrained(make(), (STRIKE, y), **options)
