"""Arguments that nobody should give, and names and files that mean harm."""

from __future__ import annotations

import ast
import inspect
import operator
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_curvature as kc

GOOD = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")


class Known(keras.layers.Layer):
    """`sin(a) + sin(b) + a b`."""

    def call(self, x):
        return tf.reduce_sum(tf.sin(x), -1, keepdims=True) + x[:, :1] * x[:, 1:]


def model_of(layer, width):
    inputs = keras.Input((width,))
    return keras.Model(inputs, layer(inputs))


MODEL = model_of(Known(), 2)
RELU = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])


def exactly(name, x, v):
    """In float64, in closed form."""
    x = np.asarray(x, "float64")
    curl = np.array([[0.0, 1], [1, 0]])
    hessian = -np.sin(x)[:, :, None] * np.eye(2) + curl
    v = np.broadcast_to(np.asarray(v, "float64"), x.shape)
    return {
        "value": lambda: np.sin(x).sum(-1, keepdims=True) + x[:, :1] * x[:, 1:],
        "jacobian": lambda: (np.cos(x) + x @ curl)[:, None],
        "hessian": lambda: hessian[:, None],
        "hessian_diagonal": lambda: -np.sin(x)[:, None],
        "laplacian": lambda: -np.sin(x).sum(-1, keepdims=True),
        "hessian_vector_product": lambda: np.einsum("nij,nj->ni", hessian, v)[:, None],
        "directional_curvature": lambda: np.einsum("ni,nij,nj->n", v, hessian, v)[:, None],
    }[name]()


def symbolic():
    return keras.Input((2,))


ARRAYS = [
    GOOD, GOOD.tolist(), GOOD.astype("float64"), GOOD.astype("float16"), GOOD[:1], GOOD > 0,
    GOOD.astype("int8"), np.ma.array(GOOD), tf.constant(GOOD), tf.cast(GOOD, tf.bfloat16),
    [GOOD], (GOOD,), {"a": GOOD}, (GOOD, GOOD), GOOD[:, :1], GOOD[0], GOOD[None], GOOD[:0],
    np.zeros((2, 2, 0)), np.nan * GOOD, np.inf * GOOD, 1e30 * GOOD, 1e-45 * GOOD,
    GOOD.astype(complex), tf.constant(GOOD.astype(complex)), GOOD.astype(object),
    np.array(["a", "b"]), tf.constant([["a", "b"]]), [[1, 2], [3]],
    tf.ragged.constant([[1.0, 2.0], [3.0]]), tf.sparse.from_dense(GOOD), symbolic(),
    tf.data.Dataset.from_tensors(GOOD), np.array(["2020"], "datetime64"), np.full((2, 2), 2**62),
    None, "abc", b"x", 3, 3.5, True, float("nan"), [], {}, iter([1]), range(4), object(),
]  # fmt: skip
MODELS = [
    None, "m", 1, object(), Known, np.sin, tf.sin, lambda x: x, lambda x: None, lambda x, y: x,
    tf.function(lambda x: x * x), keras.Sequential([keras.layers.Dense(1)]), keras.layers.Dense(1),
]  # fmt: skip
ODD = [
    None, True, 0, 1, -1, -2, 1.5, 2**70, float("nan"), float("inf"), 1e-300, 1e300, 1j, "", "x",
    "auto", "float64", "nested", "a/b", "..", b"auto", "x" * 300, "a\0", np.int64(0), np.str_("x"),
    np.float64, tf.float64, [], {}, (0,), [0], ["x"], [0.1, 0.2], [0.1] * 3, GOOD, object(),
    lambda y: y, lambda y: None, lambda y: "s", lambda y: {"a": y}, lambda: 0,
    lambda y: tf.cast(y, tf.complex64), lambda y: tf.reduce_sum(y), lambda y: np.sin(y),
]  # fmt: skip
FUNCTIONS = {
    "jacobian": "x", "hessian": "x", "hessian_diagonal": "x", "laplacian": "x",
    "directional_curvature": "xv", "hessian_vector_product": "xv", "derivatives": "xn",
    "engine_choice": "xn", "scale_curvature": "xs", "hidden_fraction": "xs", "diagnose": "x",
    "DerivativeOutput": "n", "CurvaturePenalty": "s", "ShapePenalty": "p",
    "CurvatureMonitor": "x", "enclose": "xxn", "kinks": "ss", "smooth": "s",
    "verify": "x", "estimate": "xe", "hparams_metrics": "", "taylor.register": "r",
    "taylor.deregister": "", "taylor.is_registered": "", "taylor.elementwise": "f",
    "taylor.linear": "", "taylor.through": "", "partial_derivative": "xb", "MoreDirections": "",
    "StopOnVerdict": "",
    "prove": "lhc",
    "to_html": "o",
}  # fmt: skip
COMMON = ["output", "wrt", "columns", "engine", "dtype", "batch_size"]
KEYWORDS = dict.fromkeys(FUNCTIONS, COMMON) | {
    "laplacian": [*COMMON, "directions", "seed", "weights"],
    "directional_curvature": [*COMMON, "directions"],
    "hessian_vector_product": [*COMMON, "directions"],
    "derivatives": [*COMMON, "v", "directions"],
    "engine_choice": COMMON[:5],
    "scale_curvature": ["output", "wrt", "columns", "dtype", "batch_size", "of", "v", "kernel"],
    "hidden_fraction": ["output", "wrt", "columns", "engine", "batch_size", "along"],
    "diagnose": [
        "output", "wrt", "columns", "dtype", "batch_size", "scale", "compare_tapes", "compare_ways",
    ],
    "verify": [*COMMON, "seed", "claims"],
    "estimate": [*COMMON, "directions", "seed", "tolerance", "most_products"],
    "DerivativeOutput": ["output", "wrt", "columns", "engine", "directions", "seed", "halves"],
    "CurvaturePenalty": [
        "scale", "directions", "seed", "output", "wrt", "columns", "engine", "metric_name",
    ],
    "prove": ["tolerance", "seconds", "output", "feature_names", "verbose"],
    "ShapePenalty": [
        "strength", "scale", "feature_names", "points", "seed", "output", "wrt", "columns",
        "engine", "metric_name",
    ],
    "CurvatureMonitor": [
        *COMMON, "reference", "scale", "units", "logs", "freq", "feature_names", "name", "on_error",
        "verify", "directions", "vocabulary", "model", "shape", "maps", "prove",
    ],
    "enclose": ["output", "v"],
    "kinks": ["output"],
    "smooth": [],
    "hparams_metrics": ["shape"], "taylor.register": [], "taylor.deregister": [],
    "taylor.is_registered": [], "taylor.elementwise": [], "taylor.linear": [], "taylor.through": [],
    "MoreDirections": [], "StopOnVerdict": ["action", "notify", "monitor", "output", "verbose"],
    "to_html": ["force"],
}  # fmt: skip
RULE = kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: -2 * y * (1 - y * y))
USUAL = {
    "x": GOOD, "v": GOOD[0], "n": ["laplacian", "value"], "s": 0.1, "e": ["trace"], "r": RULE,
    "f": lambda x, y: y, "p": {0: "convex"}, "b": (0, 1),
    "l": [-2.0, -2.0], "h": [2.0, 1.0], "c": {0: 9.0},
    "o": "report.html",
}  # fmt: skip
LAYERS = ("DerivativeOutput", "CurvaturePenalty", "ShapePenalty")
OTHERWISE = {
    "kinks": (RELU, MODELS), "smooth": (RELU, MODELS), "hparams_metrics": ("name", ODD),
    "taylor.register": ("NoOp", ODD), "taylor.deregister": ("NoOp", ODD),
    "taylor.is_registered": ("NoOp", ODD), "taylor.elementwise": (np.cos, ODD),
    "taylor.linear": (0, ODD), "taylor.through": (np.cos, ODD),
    "MoreDirections": (kc.DerivativeOutput(MODEL, ["laplacian"], directions=2), ODD),
    "StopOnVerdict": ("linear", ODD),
    # There is no log in it, so that nothing is written.
    "to_html": (str(Path(__file__).parent), [None, 3, b"x", "a\0", "", [], GOOD, object(), "none"]),
}  # fmt: skip
"""What comes first where that is no model like the others', as it should be and odd ones."""


@st.composite
def calls(draw):
    """A public name, positional arguments and keywords; most as they should be, few odd."""
    name = draw(st.sampled_from(sorted(FUNCTIONS)))
    # One call in ten has no fault in its positions.
    odd = draw(st.sets(st.integers(0, 3), max_size=1))
    first, others = OTHERWISE.get(name, (MODEL, MODELS))
    arguments = [draw(st.sampled_from(others)) if 0 in odd else first]
    for i, kind in enumerate(FUNCTIONS[name], 1):
        pool = ARRAYS if kind in "xv" else ODD
        arguments.append(draw(st.sampled_from(pool)) if i in odd else USUAL[kind])
    keywords = KEYWORDS[name] and draw(
        st.dictionaries(st.sampled_from(KEYWORDS[name]), st.sampled_from(ODD), max_size=2)
    )
    return name, arguments, dict(keywords)


def watched(model, probe, **keywords):
    monitor = kc.CurvatureMonitor(probe, **keywords)
    if not isinstance(model, keras.Model):
        raise TypeError("Keras itself asks for a model here")
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_epoch_begin(0)
    monitor.on_epoch_end(0, {})
    monitor.on_train_end()
    return monitor


def called(name, arguments, keywords):
    if name == "CurvatureMonitor":
        return watched(*arguments, **keywords)
    found = operator.attrgetter(name)(kc)(*arguments, **keywords)
    if name == "taylor.register":
        kc.taylor.deregister(arguments[0])
    return found(GOOD) if name in LAYERS else found


def assert_right(name, arguments, keywords, found):
    """Compares with the closed form, where the call asked for just that."""
    if arguments[0] is not MODEL or name in LAYERS:
        return
    if any(
        keywords.get(key) is not None
        for key in ("output", "wrt", "columns", "directions", "weights")
    ):
        return
    x = arguments[1]
    x = x[0] if isinstance(x, (list, tuple)) and len(x) == 1 else x
    x = tf.cast(x["a"] if isinstance(x, dict) else x, tf.float64).numpy()
    v = GOOD[0]
    if name in ("directional_curvature", "hessian_vector_product"):
        v = arguments[2]
        v = v[0] if isinstance(v, (list, tuple)) and isinstance(v[0], np.ndarray) else v
        v = tf.cast(v["a"] if isinstance(v, dict) else v, tf.float64).numpy()
        v = v.reshape(-1, 2)
    results = found if name == "derivatives" else {name: found}
    for key in results:
        if key in ("value", *list(FUNCTIONS)[:6]):
            with np.errstate(all="ignore"):
                expected = exactly(key, x, v)
            (got,) = keras.tree.flatten(results[key])  # `x` in a list gives lists back
            got = np.asarray(got, "float64")
            assert got.shape == expected.shape
            finite = np.isfinite(expected) & (np.abs(x) < 1e3).all() & (np.abs(v) < 1e3).all()
            # float32, and differences in float64 for `engine="finite_difference"`.
            np.testing.assert_allclose(got[finite], expected[finite], rtol=1e-3, atol=1e-3)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(calls())
def test_a_call_is_answered_rightly_or_refused_with_a_reason(call):
    name, arguments, keywords = call
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = called(*call)
        except (ValueError, TypeError) as error:
            found = error
    if isinstance(found, Exception):
        assert len(str(found)) > 20  # says why
    else:
        assert_right(name, arguments, keywords, found)


def test_every_public_entry_is_called_above():
    results = {"Check", "Diagnosis", "Finding", "Kinks", "Verification", "WrongDerivativeError"}
    results |= {"Eigenvalues", "EngineChoice", "Estimate", "Report", "Verdict"}
    results |= {"ClaimProof", "Counterexample", "Proof"}
    entries = {name for name in kc.__all__ if callable(getattr(kc, name))} - results
    entries |= {f"taylor.{name}" for name in kc.taylor.__all__} - {"taylor.Rule"}
    assert entries == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_keyword_is_given_above(name):
    given = inspect.signature(operator.attrgetter(name)(kc)).parameters.values()
    names = {one.name for one in given if one.kind is one.KEYWORD_ONLY}
    assert names <= set(KEYWORDS[name])


@pytest.mark.parametrize("log_dir", [0, 1.5, True, [], b"x", Ellipsis, "", "a\0b"], ids=repr)
def test_a_log_dir_that_is_no_path_is_refused_at_the_start(log_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match="log_dir"):
        watched(MODEL, GOOD, log_dir=log_dir)
    assert list(tmp_path.iterdir()) == []


HARM = ["../../up", "/etc/passwd", "<img src=x onerror=alert(1)>", "$(touch gone)", "a\nb", "C:\\x"]


@pytest.mark.slow
def test_names_from_data_reach_no_path(tmp_path):
    inputs = keras.Input((len(HARM),))
    outputs = {name: keras.layers.Dense(1, "tanh")(inputs) for name in HARM[:2]}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, len(HARM))).astype("float32")
    log = tmp_path / "a" / "b" / "log"
    monitor = kc.CurvatureMonitor(x, log, feature_names=HARM)
    model.fit(x, dict.fromkeys(outputs, x[:, :1]), verbose=0, callbacks=[monitor])
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert len(made) == 1
    (path,) = made
    assert path.parent == Path("a/b/log/curvature")
    # Texts become HTML on TensorBoard; the Curvature tab sets its own as text, see
    # tests/summaries/browser.
    texts = [
        value.tensor.SerializeToString()
        for event in tf.compat.v1.train.summary_iterator(str(tmp_path / path))
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
        or value.tag.startswith("curvature-summ")
    ]
    assert len(texts) >= 4
    assert not any(b"<img" in text for text in texts)


def test_a_file_with_code_in_it_is_not_loaded_unless_asked(tmp_path):
    net = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x**2)])
    inputs = keras.Input((1,))
    model = keras.Model(inputs, kc.DerivativeOutput(net, ["laplacian"])(inputs))
    path = tmp_path / "model.keras"
    model.save(path)
    with pytest.raises(ValueError, match=r"(?i)lambda"):
        keras.models.load_model(path)
    loaded = keras.models.load_model(path, safe_mode=False)
    np.testing.assert_allclose(loaded.predict(np.ones((2, 1)), verbose=0)["laplacian"], 2)


FORBIDDEN = {"pickle", "marshal", "shelve", "subprocess", "ctypes", "dill", "joblib", "yaml"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "system",
    "popen",
    "enable_unsafe_deserialization",
}
SAFE = {"allow_pickle": False, "safe_mode": True, "shell": False}


SOURCES = Path(kc.__file__).parents[1]
FILES = sorted(path for path in SOURCES.glob("keras_curvature*/**/*.py"))


def test_all_packages_are_looked_into():
    names = {path.relative_to(SOURCES).parts[0] for path in FILES}
    beside = {f"keras_curvature_{name}" for name in ("cli", "page", "tensorboard")}
    assert names == {"keras_curvature", *beside}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_the_package_unpickles_nothing_and_starts_nothing(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {name.split(".")[0] for name in names} & FORBIDDEN
        if isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "id", getattr(function, "attr", ""))
            assert called not in CALLS
        if isinstance(node, ast.keyword) and node.arg in SAFE:
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is SAFE[node.arg]
