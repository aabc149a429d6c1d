"""An answer does not depend on what was asked before, of the same model or of another.

One model is asked for anything public with random options, and changed in between. Each answer is
compared with that of a copy made afresh, of which nothing else was asked.
"""

import itertools
import os
import time
import warnings
from collections import OrderedDict

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import keras_curvature as kc
from keras_curvature.engines.dispatch import Engine
from keras_curvature.engines.tensorflow import shared_functions

MINUTES = float(os.environ.get("STATEFUL_MINUTES", "5"))
"""For how long the slow test asks."""

# Rounding differs between a function compiled for one batch size and for another.
CLOSE = {"float16": 2e-2, "float32": 2e-4, "float64": 1e-9}

ACTIVATIONS = ("tanh", "relu", "softplus", "silu", "linear", "elu")
DERIVATIVES = (
    "value", "jacobian", "hessian", "hessian_diagonal", "laplacian",
    "directional_curvature", "hessian_vector_product",
)  # fmt: skip
ESTIMATES = ("trace", "diagonal", "frobenius_squared", "xtrace", "eigenvalues")


def _dense(activations):
    layers = [keras.layers.Dense(6, a, name=f"dense_{i}") for i, a in enumerate(activations)]
    return [*layers, keras.layers.Dense(2, name="last")]


def _perceptron(activations):
    return keras.Sequential([keras.Input((3,), name="x"), *_dense(activations)], name="net")


def _normalised(activations):
    first, second, last = _dense(activations)
    norm = keras.layers.LayerNormalization(name="norm")
    return keras.Sequential([keras.Input((3,), name="x"), first, norm, second, last], name="net")


def _of_two_inputs(activations):
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    h = keras.layers.Concatenate(name="joined")([a, b])
    first, second, last = _dense(activations)
    return keras.Model({"a": a, "b": b}, last(second(first(h))), name="net")


def _recurrent(activations):
    first, second, last = _dense(activations)
    layers = [keras.Input((3, 1), name="x"), keras.layers.LSTM(4, name="lstm"), first, second, last]
    return keras.Sequential(layers, name="net")


ARCHITECTURES = {
    "perceptron": _perceptron,
    "normalised": _normalised,
    "two inputs": _of_two_inputs,
    "recurrent": _recurrent,
}


def _points(architecture, count, spread, draw):
    z = spread * np.random.default_rng(draw).normal(size=(count, 3)).astype("float32")
    if architecture == "two inputs":
        return {"a": z[:, :2], "b": z[:, 2:]}
    return z[:, :, None] if architecture == "recurrent" else z


def _change(model, what, value):
    """What changes a model's structure or settings, other than its weights."""
    if what == "activation":
        index, name = value
        model.get_layer(f"dense_{index}").activation = keras.activations.get(name)
    elif what == "policy":
        for layer in model.layers:
            if layer.variables and not getattr(layer, "quantization_mode", None):
                layer.dtype_policy = keras.DTypePolicy(value)
    elif what == "quantise":
        model.get_layer(f"dense_{value}").quantize("int8")
    elif what == "trainable":
        model.get_layer("last").trainable = value


def _arrays(found):
    """Every number of an answer, by its path."""
    if isinstance(found, dict):
        return {f"{k}/{p}": v for k, part in found.items() for p, v in _arrays(part).items()}
    if isinstance(found, (list, tuple)):
        return _arrays(dict(enumerate(found)))
    if isinstance(found, (str, bool, type(None))):
        return {"": found}
    return {"": np.asarray(found)}


def _same(found, expected, question):
    found, expected = _arrays(found), _arrays(expected)
    assert found.keys() == expected.keys(), question
    for path, array in found.items():
        other = expected[path]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fc":
            assert np.array_equal(array, other), (question, path, array, other)
            continue
        assert array.dtype == other.dtype, (question, path, array.dtype, other.dtype)
        finite = other[np.isfinite(other)]
        size = np.abs(finite).max(initial=0.0)
        close = CLOSE.get(question.get("rounding") or array.dtype.name, 1e-9)
        np.testing.assert_allclose(
            array, other, rtol=close, atol=close * max(size, 1e-3), err_msg=f"{question} {path}"
        )


def _answer(model, question):
    """What a model says, or the error that it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return QUESTIONS[question["of"]](model, question)
    except (ValueError, TypeError, NotImplementedError) as error:
        return {"raised": type(error).__name__, "saying": str(error)}


def _answer_alone(model, question):
    """The same, of a model for which everything is compiled anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_functions, "_kept", OrderedDict())
        return _answer(model, question)


def _x(q):
    return _points(q["architecture"], q["count"], q["spread"], q["draw"])


def _function(model, q):
    taken = ("engine", "dtype", "output", "wrt", "columns", "batch_size")
    x, options = _x(q), {k: q[k] for k in taken}
    whole = q["wrt"] is None and q["columns"] is None
    v = keras.tree.map_structure(lambda leaf: leaf[0], x) if whole else None
    names = [name for name in q["names"] if v is not None or "direction" not in name]
    names = [name for name in names if v is not None or "vector" not in name] or ["value"]
    if not q["in_graph"]:
        return kc.derivatives(model, x, names, v=v, **options)
    return tf.function(lambda x: kc.derivatives(model, x, names, v=v, **options))(x)


def _laplacian(model, q):
    options = {k: q[k] for k in ("engine", "dtype", "output")}
    return kc.laplacian(model, _x(q), directions=q["directions"], seed=q["seed"], **options)


def _scale(model, q):
    options = {k: q[k] for k in ("dtype", "output", "kernel")}
    return kc.scale_curvature(model, _x(q), q["scale"], of=q["quantity"], **options)


def _hidden(model, q):
    return kc.hidden_fraction(model, _x(q), q["scale"], engine=q["engine"], along=q["along"])


def _estimate(model, q):
    options = {k: q[k] for k in ("engine", "dtype", "output", "seed")}
    found = kc.estimate(model, _x(q), q["estimates"], directions=4 + q["directions"], **options)
    # The sign of an eigenvector and, where eigenvalues are equal, the vector are free.
    return {name: {"value": part.value} for name, part in found.items()}


def _choice(model, q):
    return str(kc.engine_choice(model, _x(q), q["names"], engine=q["engine"]))


def _diagnose(model, q):
    found = kc.diagnose(model, _x(q), scale=q["scale"], output=q["output"], dtype=q["dtype"])
    return {f.kind: [f.where, *f.layers] for f in found.findings}


def _verify(model, q):
    found = kc.verify(model, _x(q), engine=q["engine"], dtype=q["dtype"], seed=q["seed"])
    return {check.name: [check.engine, check.wrong == 0] for check in found.checks}


def _monitor(model, q):
    options = {k: q[k] for k in ("engine", "dtype", "output", "units", "scale")}
    directions = q["directions"] if q["estimated"] else None
    monitor = kc.CurvatureMonitor(_x(q), directions=directions, **options)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_epoch_begin(0)
    monitor.on_train_end()
    assert len(monitor.history) > 5, "something was measured"
    numbers = {name: values for name, values in monitor.history.items() if name != "seconds"}
    return numbers | {"verdicts": {name: r.verdict.kind for name, r in monitor.reports.items()}}


def _layer(model, q):
    x = _x(q)
    names = [name for name in q["names"] if name in DERIVATIVES[:5]] or ["value"]
    layer = kc.DerivativeOutput(model, names, engine=q["engine"], output=q["output"])
    return layer(keras.tree.map_structure(tf.constant, x))


def _penalty(model, q):
    layer = kc.CurvaturePenalty(model, 0.5, scale=q["scale_or_none"], seed=q["seed"])
    value = layer(keras.tree.map_structure(tf.constant, _x(q)), training=True)
    return {"value": value, "losses": list(layer.losses)}


def _gradient(model, q):
    """Of a loss with a derivative in it, by the weights."""
    weights = [v for v in model.trainable_variables if v.dtype == "float32"]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(kc.laplacian(model, _x(q), engine=q["engine"]) ** 2)
    found = tape.gradient(loss, [v.value for v in weights], unconnected_gradients="zero")
    return {str(i): tf.convert_to_tensor(g) for i, g in enumerate(found)}


def _smooth(model, q):
    return kc.laplacian(kc.smooth(model, 5.0), _x(q))


QUESTIONS = {
    "function": _function,
    "laplacian": _laplacian,
    "scale": _scale,
    "hidden": _hidden,
    "estimate": _estimate,
    "choice": _choice,
    "diagnose": _diagnose,
    "verify": _verify,
    "monitor": _monitor,
    "layer": _layer,
    "penalty": _penalty,
    "gradient": _gradient,
    "smooth": _smooth,
}

OFTEN = [*QUESTIONS, "function", "function", "scale", "monitor", "monitor", "estimate", "layer"]
SCALES = ["auto", 0.1, 0.5, np.array([0.1, 0.2, 0.3])]

ASKED = st.fixed_dictionaries(
    {
        "of": st.sampled_from(OFTEN),
        "count": st.sampled_from([1, 2, 5, 8]),
        "spread": st.sampled_from([1.0, 3.0]),
        "draw": st.integers(0, 3),
        "engine": st.sampled_from(["auto", "taylor", "nested", "finite_difference"]),
        "dtype": st.sampled_from([None, None, "float64"]),
        "output": st.sampled_from([None, None, 0, 1, "predicted", "margin"]),
        "wrt": st.sampled_from([None, None, None, "dense_0", 0, ["b", "a"]]),
        "columns": st.sampled_from([None, None, None, [0], [1, 0]]),
        "batch_size": st.sampled_from([None, None, 2]),
        "names": st.lists(st.sampled_from(DERIVATIVES), min_size=1, max_size=4, unique=True),
        "estimates": st.lists(st.sampled_from(ESTIMATES), min_size=1, max_size=3, unique=True),
        "in_graph": st.booleans(),
        "directions": st.sampled_from([1, 2, 4]),
        "seed": st.integers(0, 1),
        "scale": st.sampled_from([0, 1, 2]),
        "scale_or_none": st.sampled_from([None, 0.2]),
        "kernel": st.sampled_from(["triangle", "box"]),
        "quantity": st.sampled_from(["hessian_diagonal", "laplacian"]),
        "along": st.sampled_from(["random", "axes"]),
        "units": st.sampled_from(["raw", "std"]),
        "estimated": st.booleans(),
    }
)


class AskedInAnyOrder(RuleBasedStateMachine):
    """One model that lives through everything, and its copies that are asked once."""

    @initialize(
        architecture=st.sampled_from(sorted(ARCHITECTURES)),
        activations=st.tuples(st.sampled_from(ACTIVATIONS), st.sampled_from(ACTIVATIONS)),
        draw=st.integers(0, 9),
    )
    def build(self, architecture, activations, draw):
        keras.utils.clear_session()
        self.architecture, self.activations, self.changes = architecture, activations, []
        self.model = ARCHITECTURES[architecture](activations)
        self.weights(draw, 1.0)

    def fresh(self):
        model = ARCHITECTURES[self.architecture](self.activations)
        for what, value in self.changes:
            _change(model, what, value)
        for mine, theirs in zip(model.variables, self.model.variables, strict=True):
            mine.assign(theirs.value)
        return model

    @rule(asked=ASKED)
    def ask(self, asked):
        question = asked | {"architecture": self.architecture, "scale": SCALES[asked["scale"]]}
        # A half-precision layer rounds what float32 says of it.
        policies = {layer.compute_dtype for layer in self.model.layers}
        question["rounding"] = "float16" if policies - {"float32"} else "float32"
        _same(_answer(self.model, question), _answer_alone(self.fresh(), question), question)

    @rule(draw=st.integers(0, 9), spread=st.sampled_from([0.5, 1.0]))
    def weights(self, draw, spread):
        rng = np.random.default_rng(draw)
        for variable in self.model.variables:
            if keras.backend.is_float_dtype(variable.dtype):
                drawn = spread * rng.normal(size=variable.shape)
                variable.assign(abs(drawn) if "scale" in variable.name else drawn)

    @rule(index=st.integers(0, 1), name=st.sampled_from(ACTIVATIONS))
    def activation(self, index, name):
        self.change("activation", (index, name))

    @rule(name=st.sampled_from(["float32", "mixed_bfloat16", "mixed_float16"]))
    def policy(self, name):
        self.change("policy", name)

    @rule(index=st.integers(0, 1))
    def quantise(self, index):
        # Once, and not of a layer in float16, for which Keras has none.
        once = not any(what == "quantise" for what, _ in self.changes)
        if once and self.model.get_layer(f"dense_{index}").compute_dtype != "float16":
            self.change("quantise", index)

    @rule(value=st.booleans())
    def trainable(self, value):
        self.change("trainable", value)

    def change(self, what, value):
        _change(self.model, what, value)
        self.changes.append((what, value))


def asked(number, examples, steps):
    """Some models, each lived through `steps` rules."""
    limits = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(number)(AskedInAnyOrder), settings=limits)


BASE = {
    "architecture": "perceptron", "count": 8, "spread": 1.0, "draw": 0, "engine": "auto",
    "dtype": None, "output": None, "units": "std", "scale": "auto", "directions": 2,
    "estimated": False, "kernel": "triangle", "quantity": "hessian_diagonal",
}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ({"of": "monitor"}, {"of": "monitor", "spread": 3.0}),
        pytest.param(
            {"of": "monitor", "estimated": True},
            {"of": "monitor", "estimated": True, "spread": 3.0},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"of": "monitor", "engine": "taylor"},
            {"of": "monitor", "engine": "nested"},
            marks=pytest.mark.slow,
        ),
        ({"of": "scale"}, {"of": "scale", "dtype": "float64"}),
        pytest.param({"of": "diagnose"}, {"of": "verify", "seed": 0}, marks=pytest.mark.slow),
    ],
    ids=["a wider probe", "a wider probe estimated", "another engine", "dtype", "verify"],
)
def test_an_answer_after_another_is_that_of_a_fresh_model(before, then, monkeypatch):
    keras.utils.set_random_seed(3)
    model, alone = _perceptron(("tanh", "tanh")), _perceptron(("tanh", "tanh"))
    alone.set_weights(model.get_weights())
    _answer(model, BASE | before)
    question, computed_by = BASE | then, []
    compute = Engine.compute
    monkeypatch.setattr(
        Engine, "compute", lambda self, *a: computed_by.append(self.name) or compute(self, *a)
    )
    found, by = _answer(model, question), set(computed_by)
    computed_by.clear()
    _same(found, _answer_alone(alone, question), question)
    if "engine" in then:  # the numbers are the same by any engine
        assert by == set(computed_by) == {then["engine"]}


def test_answers_do_not_depend_on_who_asked_before():
    asked(0, examples=1, steps=8)


@pytest.mark.slow
def test_answers_do_not_depend_on_who_asked_before_for_minutes():
    end = time.monotonic() + 60 * MINUTES
    for number in itertools.count(1):
        asked(number, examples=2, steps=15)
        if time.monotonic() > end:
            break
