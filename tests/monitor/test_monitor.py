"""The callback inside real `model.fit` calls."""

from __future__ import annotations

import copy
import csv
import pickle
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_curvature as kc
from keras_curvature.monitor import schedule
from keras_curvature.monitor.history import History, record

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype("float32")
Y = (np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:]).astype("float32")
PROBE = X[:16]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(8, "tanh")
        self.last = keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.hidden(x))


def sequential(dropout=0.0):
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(1),
        ]
    )


def functional():
    x = keras.Input((3,))
    y = keras.layers.Dense(1)(keras.layers.Dense(8, "silu")(x))
    return keras.Model(x, y)


def compiled(model, **kwargs):
    model.compile("adam", "mse", metrics=["mae"], **kwargs)
    return model


def fit(monitor, *callbacks, model=None, epochs=3, **kwargs):
    keras.utils.set_random_seed(0)
    # Eagerly: tracing Keras's step takes longer than all else in a test.
    model = compiled(sequential(), run_eagerly=True) if model is None else model
    kwargs = {"epochs": epochs, "verbose": 0, "batch_size": 16} | kwargs
    return model, model.fit(X, Y, callbacks=[monitor, *callbacks], **kwargs)


def test_one_step_before_training_and_one_per_epoch():
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, epochs=3)
    assert monitor.history["step"] == [0, 1, 2, 3]
    assert {len(values) for values in monitor.history.values()} == {4}


FIRST = {
    "mean", "rms", "scale_mean", "scale_rms", "slope_change", "hidden_fraction", "r2",
    "reference_rmse", "scale_reference_rmse",
}  # fmt: skip
CHOSEN = {
    "headline": (FIRST, {}),
    "all": (None, {"logs": "all"}),
    "nothing": (set(), {"logs": None}),
    "names": ({"p95", "feature/x1", "step"}, {"logs": ["p95", "step", "feature/x1"]}),
    "epochs left out": ({"rms", "step"}, {"logs": ("rms",), "freq": 3}),
    "nothing of some epochs": (set(), {"logs": None, "freq": 3}),
}


@pytest.mark.every(4)
@pytest.mark.parametrize("case", CHOSEN)
def test_logs_hold_the_numbers_asked_for_under_the_names_of_the_history(case):
    expected, options = CHOSEN[case]
    monitor = kc.CurvatureMonitor((PROBE, Y[:16]), reference=lambda x: 0 * x, **options)
    _, trained = fit(monitor, epochs=2)
    logged = {k.removeprefix("curvature_") for k in trained.history if k.startswith("curvature_")}
    assert logged == (set(monitor.history) - {"step"} if expected is None else expected)
    for name in logged:
        told = [float(value) for value in monitor.history[name]]
        assert trained.history[f"curvature_{name}"][0] == told[1], name
        assert type(trained.history[f"curvature_{name}"][0]) is float
    assert len(monitor.history) > len(FIRST) + 10


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("logs", "logged"),
    [("headline", {"price_rms", "risk_rms", "risk_slope_change"}),
     (["rms"], {"price_rms", "risk_rms"}),
     (["risk_rms", "max"], {"risk_rms", "price_max", "risk_max"})],
    ids=["headline", "of each", "of one and of each"],
)  # fmt: skip
def test_a_name_in_logs_is_of_one_output_or_of_each(logs, logged):
    monitor = kc.CurvatureMonitor(PROBE, logs=logs)
    trained = two_outputs().fit(X, {"price": Y, "risk": np.hstack([Y, Y])}, callbacks=[monitor])
    found = {k.removeprefix("curvature_") for k in trained.history if k.startswith("curvature_")}
    assert found >= logged if logs == "headline" else found == logged


@pytest.mark.parametrize(
    ("logs", "advice"),
    [
        (["rms", "rmse"], r"Did you mean 'rms'\?"),
        (["mean", "feature/x9"], "Did you mean 'feature/x"),
        (["r2"], "It needs"),
        (["rsm"], r"Did you mean 'rms'\?"),
        (["curvature_rms"], "Write it without `curvature_`: 'rms'"),
    ],
    ids=str,
)
def test_a_name_in_logs_that_no_number_has_is_an_error_before_training(logs, advice):
    said = rf"`logs` has '{logs[-1]}' in it.*{advice}.*names among \['mean', .*'step'\]. Received"
    with pytest.raises(ValueError, match=said):
        fit(kc.CurvatureMonitor(PROBE, logs=logs), Bomb())


ADVICE = {
    "curvature_rms": "Write it without `curvature_`: 'rms'.",
    "curvature_scale_rms": "Write it without `curvature_`: 'scale_rms'.",
    "rsm": "Did you mean 'rms'",
    "rmss": "Did you mean 'rms'",
    "feature/b0": "has two values only, and so a change: 'change/b0'",
    "other": "",
    "r2": "known values",
    "scale_reference_rmse": "`reference=`",
    "shape_fraction": "`shape=`",
}


@pytest.mark.parametrize("name", ADVICE)
def test_a_name_that_no_number_has_is_understood(name):
    history = History()
    record(history, 0, {"mean": 1.0, "rms": 2.0, "scale_rms": 3.0, "change/b0": 1.0})
    with pytest.raises(
        KeyError, match=rf"no number {name!r}\..*{ADVICE[name]}.*\['step', 'mean', "
    ):
        history[name]


def test_the_history_of_several_outputs_has_a_number_for_each():
    monitor = kc.CurvatureMonitor(PROBE)
    with pytest.raises(KeyError, match=r"nothing has been measured.*'rms'"):
        monitor.history["rms"]
    two_outputs().fit(X, {"price": Y, "risk": np.hstack([Y, Y])}, verbose=0, callbacks=[monitor])
    with pytest.raises(KeyError, match=r"has its own: \['price_rms', 'risk_rms'\]"):
        monitor.history["rms"]
    assert "rms" not in monitor.history
    assert copy.deepcopy(monitor.history) == monitor.history


@pytest.mark.slow
@pytest.mark.parametrize(("freq", "steps"), [("epoch", [*range(7)]), (3, [0, 1, 3, 4, 6])])
def test_a_monitor_can_be_pickled_and_goes_on(freq, steps, tmp_path):
    """As what trains in another process does: all that was measured, and how it was asked for."""
    monitor = kc.CurvatureMonitor(PROBE, tmp_path / "log", freq=freq)
    model, _ = fit(monitor, epochs=3)
    again = pickle.loads(pickle.dumps(monitor))
    assert again.history == monitor.history
    assert again.reports[""].headline == monitor.reports[""].headline
    model.fit(X, Y, initial_epoch=3, epochs=6, verbose=0, callbacks=[again])
    assert again.history["step"] == steps


def test_the_numbers_are_those_of_the_model_as_it_is():
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    model, _ = fit(monitor)
    laplacian = ops.convert_to_numpy(kc.laplacian(model, PROBE))
    hessian = ops.convert_to_numpy(kc.hessian(model, PROBE))
    last = {name: values[-1] for name, values in monitor.history.items()}
    # The same float32 numbers, summed in another order.
    assert last["mean"] == pytest.approx(laplacian.mean(), rel=1e-4)
    assert last["rms"] == pytest.approx(np.sqrt((hessian**2).sum() / 16), rel=1e-4)
    spread = X[:16].std(axis=0) ** 2 / ops.convert_to_numpy(model(PROBE)).std()
    diagonal = ops.convert_to_numpy(kc.hessian_diagonal(model, PROBE))
    features = np.abs(diagonal).mean(axis=(0, 1)) * spread
    assert [last[f"feature/x{i}"] for i in range(3)] == pytest.approx(features, rel=1e-4)


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("freq", "steps"),
    [(2, [0, 1, 2, 4]), (lambda epoch: epoch == 2, [0, 1, 3]), (9, [0, 1])],
    ids=["every second", "a function", "never"],
)
def test_freq(freq, steps):
    monitor = kc.CurvatureMonitor(PROBE, freq=freq)
    _, trained = fit(monitor, epochs=5)
    assert monitor.history["step"] == steps
    by_step = dict(zip(steps, monitor.history["mean"], strict=True))
    told = [max(step for step in steps if step <= epoch) for epoch in range(1, 6)]
    assert trained.history["curvature_step"] == told
    assert trained.history["curvature_mean"] == [by_step[step] for step in told]


def test_initial_epoch_is_where_the_steps_begin():
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, epochs=7, initial_epoch=5)
    assert monitor.history["step"] == [5, 6, 7]


@pytest.mark.slow
def test_a_second_fit_goes_on_with_one_curve():
    monitor = kc.CurvatureMonitor(PROBE)
    model, _ = fit(monitor, epochs=2)
    fit(monitor, model=model, epochs=4, initial_epoch=2)
    fit(monitor, model=model, epochs=2)
    assert monitor.history["step"] == [0, 1, 2, 3, 4, 5, 6]


def state_after(model, *callbacks, **kwargs):
    """Everything that training leaves behind, random numbers included."""
    keras.utils.set_random_seed(1)
    model = model()
    history = model.fit(X, Y, epochs=3, verbose=0, batch_size=16, callbacks=[*callbacks], **kwargs)
    states = [np.asarray(v) for v in [*model.variables, *model.optimizer.variables]]
    states += [np.asarray(v) for metric in model.metrics for v in metric.variables]
    # The legacy generator is the one that Keras seeds.
    drawn = [random.random(), np.random.rand()]  # noqa: NPY002
    drawn += [float(tf.random.uniform([])), float(keras.random.uniform([]))]
    losses = {k: v for k, v in history.history.items() if not k.startswith("curvature")}
    return [*states, *drawn, losses]


@pytest.mark.every(4)
@pytest.mark.parametrize(
    "build",
    [
        lambda: compiled(sequential(dropout=0.5)),
        pytest.param(
            lambda: compiled(sequential(dropout=0.5), jit_compile=True),
            marks=[pytest.mark.slow] * (keras.config.backend() == "torch"),  # a minute
        ),
        pytest.param(
            lambda: compiled(sequential(dropout=0.5), run_eagerly=True), marks=pytest.mark.slow
        ),
        lambda: compiled(Subclassed()),
        lambda: compiled(
            keras.Sequential(
                [keras.Input((3,)), keras.layers.Dense(4, "relu", activity_regularizer="l2")]
            )
        ),
    ],
    ids=["graph", "xla", "eager", "not built yet", "activity loss"],
)
def test_watching_changes_nothing_to_the_last_bit(build, tmp_path):
    monitor = kc.CurvatureMonitor(PROBE, tmp_path)
    validation = {"validation_data": (X, Y)}
    watched = state_after(build, monitor, **validation)
    alone = state_after(build, **validation)
    assert monitor.history["step"] == [0, 1, 2, 3]
    for a, b in zip(watched, alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.every(3)
@pytest.mark.parametrize("data", ["arrays", "dataset"])
@pytest.mark.parametrize(
    "way",
    [
        {},
        pytest.param({"run_eagerly": True}, marks=pytest.mark.slow),
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("build", [sequential, functional, Subclassed])
def test_models_and_data(build, way, data):
    keras.utils.set_random_seed(0)
    model = compiled(build(), **way)
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    given = (X, Y) if data == "arrays" else (tf.data.Dataset.from_tensor_slices((X, Y)).batch(16),)
    model.fit(*given, epochs=2, verbose=0, callbacks=[monitor])
    assert np.isfinite(monitor.history["rms"]).all()
    assert monitor.history["mean"][-1] == pytest.approx(
        ops.convert_to_numpy(kc.laplacian(model, PROBE)).mean(), rel=1e-3
    )


def test_everything_is_traced_once():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, x, training=None):
            if not training:
                calls.append(x)
            return ops.sin(x)

    model = keras.Sequential([keras.Input((3,)), Counting(), keras.layers.Dense(1)])
    monitor = kc.CurvatureMonitor(PROBE)
    keras.utils.set_random_seed(0)
    compiled(model).fit(X, Y, epochs=1, verbose=0, callbacks=[monitor])
    first = len(calls)
    compiled_first = dict(monitor._training.measurer._bound.evaluator.compiled)
    model.fit(X, Y, epochs=6, initial_epoch=1, verbose=0, callbacks=[monitor])
    # To compare with, in each training: once, or on PyTorch for each of some numbers.
    assert len(calls) == first + (7 if keras.config.backend() == "torch" else 1)
    assert monitor._training.measurer._bound.evaluator.compiled == compiled_first


def test_early_stopping_can_watch_it():
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    stop = keras.callbacks.EarlyStopping("curvature_rms", mode="max", min_delta=1e9)
    _, trained = fit(monitor, stop, epochs=5)
    assert len(trained.epoch) == 2  # patience is counted from the second epoch on


def test_model_checkpoint_can_watch_it(tmp_path):
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(
        path, monitor="curvature_rms", mode="min", save_best_only=True
    )
    fit(monitor, keep, epochs=4)
    best = ops.convert_to_numpy(kc.hessian(keras.models.load_model(path), PROBE))
    assert np.sqrt((best**2).sum() / 16) == pytest.approx(min(monitor.history["rms"][1:]), rel=1e-4)


def test_csv_logger_writes_it(tmp_path):
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, keras.callbacks.CSVLogger(tmp_path / "log.csv"), epochs=2)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["curvature_rms"]) for row in rows] == monitor.history["rms"][1:]


@pytest.mark.parametrize("verbose", [1, 2])
def test_the_progress_bar_shows_it(verbose, capsys):
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, epochs=1, verbose=verbose)
    shown = capsys.readouterr().out
    assert f"curvature_rms: {monitor.history['rms'][-1]:.4f}" in shown


def test_callbacks_before_it_in_the_list_do_not_see_it_and_those_after_do():
    seen = {}
    before, after = (
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, key=key: seen.update({key: "curvature_rms" in logs})
        )
        for key in ("before", "after")
    )
    model = compiled(functional())
    model.fit(X, Y, verbose=0, callbacks=[before, kc.CurvatureMonitor(PROBE), after])
    assert seen == {"before": False, "after": True}


@pytest.mark.slow
def test_units_std_do_not_change_with_the_units_of_x():
    histories = []
    for stretch in (1.0, 1000.0):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Rescaling(1 / stretch),
                keras.layers.Dense(8, "tanh"),
                keras.layers.Dense(1),
            ]
        )
        monitor = kc.CurvatureMonitor(PROBE * stretch, units="std")
        compiled(model, run_eagerly=True).fit(
            X * stretch, Y, epochs=1, verbose=0, shuffle=False, callbacks=[monitor]
        )
        histories.append(monitor.history)
    for name in ("rms", "scale_rms", "slope_change", "normalized", "feature/x1"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-3), name


def test_a_reference_and_a_target():
    x = np.linspace(-1, 1, 50)[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x**2)])
    model.compile("sgd", "mse")
    for reference in (np.full((50, 1, 1), 3.0), lambda x: np.full(len(x), 3.0)):
        monitor = kc.CurvatureMonitor((x, x**2), reference=reference)
        model.fit(x, x**2, epochs=1, verbose=0, callbacks=[monitor])
        last = {name: values[-1] for name, values in monitor.history.items()}
        assert last["r2"] == pytest.approx(1)
        assert last["mean"] == pytest.approx(2)
        assert last["reference_rmse"] == pytest.approx(1)
        # float32 values and a window of h = 0.15
        assert last["scale_reference_rmse"] == pytest.approx(1, rel=1e-3)


def two_outputs():
    x = keras.Input((3,))
    hidden = keras.layers.Dense(8, "tanh")(x)
    outputs = {
        "price": keras.layers.Dense(1, name="price")(hidden),
        "risk": keras.layers.Dense(2, name="risk")(hidden),
    }
    model = keras.Model(x, outputs)
    model.compile("adam", {"price": "mse", "risk": "mse"})
    return model


@pytest.mark.slow
def test_several_outputs_have_their_names_in_between(tmp_path):
    model, target = two_outputs(), {"price": Y, "risk": np.hstack([Y, Y])}
    monitor = kc.CurvatureMonitor(PROBE, tmp_path, units="raw")
    trained = model.fit(X, target, epochs=1, verbose=0, callbacks=[monitor])
    assert {"curvature_price_mean", "curvature_risk_mean"} <= set(trained.history)
    found = kc.laplacian(model, PROBE)
    for output in ("price", "risk"):
        assert monitor.history[f"{output}_mean"][-1] == pytest.approx(
            ops.convert_to_numpy(found[output]).mean(), rel=1e-3, abs=1e-6
        )
    one = kc.CurvatureMonitor(PROBE, output="risk", units="raw")
    model.fit(X, target, epochs=2, initial_epoch=1, verbose=0, callbacks=[one])
    assert "mean" in one.history


@pytest.mark.slow
@pytest.mark.parametrize("way", ["array", "dataset"])
def test_some_inputs_of_several_in_the_order_of_the_list(way):
    """And of a dict what the model takes, as with Keras."""
    inputs = {name: keras.Input((1,), name=name) for name in ("rate", "spot", "time")}
    product = keras.layers.Multiply()([inputs["spot"], inputs["time"], inputs["time"]])
    model = keras.Model(inputs, keras.layers.Add()([product, inputs["rate"]]))
    x = {name: X[:, i : i + 1] for i, name in enumerate(inputs)}
    model.compile("sgd", "mse")
    probe = ({**x, "id": np.arange(64)}, Y)
    if way == "dataset":
        probe = tf.data.Dataset.from_tensor_slices(probe).batch(16)
    chosen = {"wrt": ["time", "spot"], "feature_names": ["T", "S"]}
    monitor = kc.CurvatureMonitor(probe, units="raw", **chosen)
    squared = keras.losses.MeanSquaredError()
    loss = kc.CurvatureMonitor(probe, output=squared, name="loss", units="raw", **chosen)
    model.fit(x, Y, verbose=0, epochs=1, callbacks=[monitor, loss])
    # spot time²: its Laplacian is 2 spot
    assert monitor.history["mean"][-1] == pytest.approx(2 * X[:, 1].mean(), rel=1e-5)
    assert monitor.history["feature/T"][-1] > 0
    assert monitor.history["feature/S"][-1] == 0
    off = X[:, 1] * X[:, 2] ** 2 + X[:, 0] - Y[:, 0]
    second = 2 * X[:, 2] ** 4 + 8 * (X[:, 1] * X[:, 2]) ** 2 + 4 * off * X[:, 1]
    assert loss.history["mean"][-1] == pytest.approx(second.mean(), rel=1e-4)


def test_a_layer_to_differentiate_by():
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(10, 3, name="embedding"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(1),
        ]
    )
    tokens = np.random.default_rng(0).integers(0, 10, size=(32, 4))
    monitor = kc.CurvatureMonitor(tokens, wrt="embedding")
    compiled(model, run_eagerly=True).fit(tokens, Y[:32], epochs=1, verbose=0, callbacks=[monitor])
    assert monitor.history["rms"][-1] > 0
    assert "feature/x[3,2]" in monitor.history


def test_layer_normalization_is_measured_right():
    """TensorFlow's own second derivative is wrong here; the monitor's is mended and says so."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(1),
        ]
    )
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    fit(monitor, model=compiled(model, run_eagerly=True), epochs=1)
    truth = ops.convert_to_numpy(kc.hessian(model, PROBE, engine="finite_difference"))
    assert monitor.history["rms"][-1] == pytest.approx(np.sqrt((truth**2).sum() / 16), rel=1e-4)
    mended = "mended: StopGradient in layer 'layer_normalization"  # which TensorFlow gets wrong
    told = mended in monitor.reports[""].method[-1]
    assert told == (keras.config.backend() == "tensorflow")


class Bomb(keras.callbacks.Callback):
    """Fails the test if a batch is trained on."""

    def on_train_batch_begin(self, batch, logs=None):
        raise AssertionError("training has started")


def tokens_model():
    return keras.Sequential(
        [keras.Input((3,), dtype="int32"), keras.layers.Embedding(4, 2, name="embedding")]
    )


ERRORS = {
    "shape": (lambda: kc.CurvatureMonitor(X[:, :2]), ValueError, r"must have shape \(n, 3\)"),
    "no such output": (lambda: kc.CurvatureMonitor(PROBE, output=1), ValueError, "`output` must"),
    "no such layer": (lambda: kc.CurvatureMonitor(PROBE, wrt="nope"), ValueError, "'nope'"),
    "nan": (lambda: kc.CurvatureMonitor(PROBE * np.nan), ValueError, "NaN"),
    "empty": (lambda: kc.CurvatureMonitor(PROBE[:0]), ValueError, "at least one example"),
    "known values for a log": (
        lambda: kc.CurvatureMonitor(PROBE, Y[:16]), TypeError, r"ndarray. Known .*as \(x, y\)",
    ),
    "freq": (lambda: kc.CurvatureMonitor(PROBE, freq=0), ValueError, "`freq` must be"),
    "units": (lambda: kc.CurvatureMonitor(PROBE, units="feet"), ValueError, "`units` must be"),
    "logs": (lambda: kc.CurvatureMonitor(PROBE, logs="rms"), ValueError, r"\['rms', 'p95'\]"),
    "logs of no names": (lambda: kc.CurvatureMonitor(PROBE, logs=[1]), ValueError, "a list of nam"),
    "on_error": (lambda: kc.CurvatureMonitor(PROBE, on_error="ignore"), ValueError, "`on_error`"),
    "name": (lambda: kc.CurvatureMonitor(PROBE, name="../x"), ValueError, "`name` must be"),
    "engine": (lambda: kc.CurvatureMonitor(PROBE, engine="magic"), ValueError, "`engine` must be"),
    "scale": (lambda: kc.CurvatureMonitor(PROBE, scale=-1), ValueError, "`scale` must be"),
    "scale's shape": (lambda: kc.CurvatureMonitor(PROBE, scale=[1, 2]), ValueError, "`scale` must"),
    "names": (lambda: kc.CurvatureMonitor(PROBE, feature_names=["a"]), ValueError, "3 different"),
    "reference": (
        lambda: kc.CurvatureMonitor(PROBE, reference=np.zeros(5)),
        ValueError,
        "`reference` must have shape",
    ),
    "single examples": (
        lambda: kc.CurvatureMonitor(tf.data.Dataset.from_tensor_slices(X)),
        ValueError,
        r"batches of shape \('n', 3\).*Batch it first: `dataset.batch\(n\)`",
    ),
    "generator": (lambda: kc.CurvatureMonitor(x for x in [X]), TypeError, "used? up"),
    "wrt": (lambda: kc.CurvatureMonitor(PROBE, wrt=[]), ValueError, "`wrt` as a list must"),
    "wrt twice": (lambda: kc.CurvatureMonitor(PROBE, wrt=[0, 0]), ValueError, "each input once"),
    "y": (lambda: kc.CurvatureMonitor((PROBE, X[:16])), ValueError, "`y` must have shape"),
    "no network": (lambda: kc.CurvatureMonitor(PROBE, model=np.tanh), TypeError, "`model` must be"),
    "no such network": (
        lambda: kc.CurvatureMonitor(PROBE, model="nope"),
        ValueError,
        r"one of \['.*Received: 'nope', the name of 0",
    ),
    "another network": (
        lambda: kc.CurvatureMonitor(PROBE, model=sequential()),
        ValueError,
        "has none of them and would stay as it is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors_come_before_training(case):
    make, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        fit(make(), Bomb())


def test_a_log_dir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((ValueError, OSError), match="log_dir"):
        fit(kc.CurvatureMonitor(PROBE, tmp_path / "file"), Bomb())


def test_a_relative_log_dir_stays_where_training_began(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    leave = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epoch or monkeypatch.chdir(tmp_path / "elsewhere")
    )
    monitor = kc.CurvatureMonitor(PROBE, "log")
    fit(leave, monitor, keras.callbacks.TensorBoard("log"), epochs=2)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert {path.name for path in (tmp_path / "log").iterdir()} == {"curvature", "train"}
    events = EventAccumulator(str(tmp_path / "log" / "curvature"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("curvature/mean")] == [0, 1, 2]


def test_integer_inputs_need_a_layer():
    model = tokens_model()
    model.compile("adam", "mse")
    with pytest.raises(TypeError, match=r'wrt="embedding"'):
        model.fit(
            np.zeros((8, 3)),
            np.zeros((8, 3, 2)),
            verbose=0,
            callbacks=[kc.CurvatureMonitor(np.zeros((4, 3))), Bomb()],
        )


@pytest.mark.tensorflow
def test_a_model_that_the_probe_cannot_build():
    class Square(keras.layers.Layer):
        def build(self, shape):
            raise RuntimeError("needs a square")

    model = compiled(keras.Sequential([Square()]))
    with pytest.raises(ValueError, match=r"no build shape yet.*needs a square"):
        fit(kc.CurvatureMonitor(PROBE), Bomb(), model=model)


class WithoutCall(keras.Model):
    """Trains a network by a `train_step` of its own."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.net(x, training=True) - y))
        weights = self.net.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self._loss_tracker.update_state(loss)
        return {"loss": self._loss_tracker.result()}


NETWORKS = {
    "itself": lambda net: kc.CurvatureMonitor(PROBE, model=net, units="raw"),
    "a part of it": lambda net: kc.CurvatureMonitor(
        PROBE, model=keras.Model(net.inputs, net.layers[-1].output), units="raw"
    ),
    # As tuners copy it; by its name, for a copy of the network would not be trained.
    "a copied monitor": lambda net: copy.deepcopy(
        kc.CurvatureMonitor(PROBE, model=net, units="raw")
    ),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("way", NETWORKS)
def test_a_network_is_watched_inside_a_model_without_a_call(way):
    keras.utils.set_random_seed(0)
    net = functional()
    model = WithoutCall(net)
    model.compile("adam", run_eagerly=True)
    monitor = NETWORKS[way](net)
    before = float(np.mean(kc.laplacian(net, PROBE)))
    trained = model.fit(X, Y, verbose=0, callbacks=[monitor])
    after = float(np.mean(kc.laplacian(net, PROBE)))
    assert monitor.history["mean"] == pytest.approx([before, after], rel=1e-4)
    assert before != after
    assert trained.history["curvature_mean"] == monitor.history["mean"][1:]


@pytest.mark.tensorflow
def test_a_model_without_a_call_needs_to_be_told_of_its_network():
    model = WithoutCall(functional())
    model.compile("adam")
    with pytest.raises(ValueError, match=r"has no `call`.*`model=`.*\['functional"):
        model.fit(X, Y, verbose=0, callbacks=[kc.CurvatureMonitor(PROBE), Bomb()])


def test_models_of_another_keras_are_told_of():
    with pytest.raises(TypeError, match=r"model of Keras 3.*Received: a Foreign of"):
        kc.CurvatureMonitor(PROBE).set_model(type("Foreign", (), {})())


def break_at(monitor, step):
    """Makes the measurement fail at one step."""
    measure = monitor._measure

    def breaking(at, begin):
        if at == step:
            raise RuntimeError("out of paper")
        measure(at, begin)

    monitor._measure = breaking


def test_on_error_raise_is_the_default():
    monitor = kc.CurvatureMonitor(PROBE)
    break_at(monitor, 2)
    with pytest.raises(RuntimeError, match="out of paper"):
        fit(monitor)


def test_on_error_warn_lets_the_training_go_on():
    monitor = kc.CurvatureMonitor(PROBE, on_error="warn")
    break_at(monitor, 2)
    with pytest.warns(UserWarning, match="step 2.*RuntimeError: out of paper"):
        _, trained = fit(monitor, epochs=3)
    assert len(trained.epoch) == 3
    assert monitor.history["step"] == [0, 1, 2, 3]
    assert np.isnan(monitor.history["rms"][2])
    assert np.isfinite(monitor.history["rms"][3])


def test_diverged_weights_are_data_and_not_an_error():
    model = compiled(functional())
    monitor = kc.CurvatureMonitor(PROBE)
    model.layers[1].kernel.assign(np.full((3, 8), np.nan))
    fit(monitor, model=model, epochs=1)
    assert monitor.history["nonfinite_fraction"] == [1.0, 1.0]
    assert monitor.reports[""].verdict.kind == "not finite"


def test_it_reports_its_own_seconds():
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, epochs=2)
    assert all(0 < seconds < 60 for seconds in monitor.history["seconds"])


def test_plot_and_summary(capsys):
    monitor = kc.CurvatureMonitor(PROBE)
    with pytest.raises(ValueError, match="Nothing has been measured"):
        monitor.summary()
    with pytest.raises(KeyError, match="nothing has been measured"):
        _ = monitor.reports[""]
    fit(monitor)
    monitor.summary()
    first = capsys.readouterr().out
    assert monitor.reports[""].verdict.sentence.split()[0] in first
    lines = [line.split() for line in first.splitlines()[3:] if "  " in line and line[0] != " "]
    rows = {line[0]: line[2] for line in lines}
    assert rows == dict.fromkeys(("mean", "rms", "scale_mean", "scale_rms", "slope_change"),
                                 "σy/σx²") | {"hidden_fraction": "0"}  # fmt: skip
    assert "σ: standard deviation" in first
    monitor.summary("all")
    rest = capsys.readouterr().out
    assert set(first.splitlines()[:9]) < set(rest.splitlines())
    assert all(name in rest for name in ("p95", "x1 ", "x0 × x1", "Units: standard deviations"))
    with pytest.raises(ValueError, match=r"\['headline', 'all'\]. Received: 'everything'"):
        monitor.summary("everything")
    assert monitor.plot().axes
    with pytest.raises(ValueError, match="left out: the model has one output"):
        monitor.plot("a.png")


def test_of_several_outputs_each_is_summed_up_or_one_by_its_name(capsys):
    monitor = kc.CurvatureMonitor(PROBE)
    for reports in (monitor.measure(two_outputs()), monitor.reports):
        assert set(reports) == {"price", "risk"}
        with pytest.raises(KeyError, match=r"one of \['price', 'risk'\]. Received: ''"):
            _ = reports[""]
    said: list[str] = []
    monitor.summary(print_fn=said.append)
    monitor.summary(output="risk", print_fn=said.append)
    assert [text.splitlines()[0] for text in said] == [
        f"Curvature of {name!r}, now" for name in ("price", "risk", "risk")
    ]
    with pytest.raises(ValueError, match=r"one of \['price', 'risk'\]"):
        monitor.summary(output="cost")


@pytest.mark.parametrize(
    ("columns", "units", "shown"),
    [([1], "auto", "raw"), ([0, 1, 2], "auto", "std"), ([1], "std", "std"), ([0, 1], "raw", "raw")],
    ids=str,
)
def test_units_are_those_of_the_data_with_one_input_and_deviations_with_more(columns, units, shown):
    """Of Σ xᵢ², whose Laplacian is 2 d, and in deviations 2 Σ sᵢ² over that of y."""
    x = PROBE[:, columns] * [1, 10, 100][: len(columns)]
    y = (x**2).sum(axis=1, keepdims=True)
    model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Lambda(
        lambda x: keras.ops.sum(x**2, axis=1, keepdims=True))])  # fmt: skip
    monitor = kc.CurvatureMonitor((x, y), units=units, reference=np.full((16, 1, x.shape[1]), 2.0))
    report = monitor.measure(model)[""]
    assert report.units == shown
    known = 2 * (x.var(axis=0).sum() / y.std() if shown == "std" else x.shape[1])
    assert report.headline["mean"] == pytest.approx(known, rel=1e-5)
    # What is known is given in the units of the data, whatever is shown.
    assert report.reference["reference_rmse"] == pytest.approx(0, abs=1e-4 * known)


@pytest.mark.parametrize("directions", [None, 64], ids=["exact", "estimates"])
def test_an_input_that_does_not_vary_has_no_weight_in_deviations(directions):
    """As the dark edge of images: with a deviation of 1 in place of 0 it would outweigh others."""
    rng = np.random.default_rng(0)
    x = np.column_stack([0.1 * rng.normal(size=(200, 2)), np.full(200, 0.3)])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(
        lambda x: ops.matmul(x**2, np.float32([[1], [2], [3]])))])  # fmt: skip
    y = (x**2 @ [1.0, 2.0, 3.0])[:, None]
    monitor = kc.CurvatureMonitor((x, y), directions=directions)
    report = monitor.measure(model)[""]
    known = (x.var(axis=0) @ [2.0, 4.0, 0.0]) / y.std()
    # 64 directions at 200 points: their error is below 1 %.
    assert report.headline["mean"] == pytest.approx(known, rel=0.03 if directions else 1e-4)
    assert report.features.get("x2", 0.0) == 0


@pytest.mark.slow
def test_the_picture_of_all_distances_has_a_line_for_each_of_some_steps():
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, epochs=2)
    (axes,) = monitor.plot(picture="distances").axes
    labels = [str(line.get_label()) for line in axes.lines]
    assert {"before training", "epoch 1", "epoch 2"} <= set(labels)
    with pytest.raises(ValueError, match="'shape', 'distances'"):
        monitor.plot(picture="map")


def relu():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(16, "relu", name="bend"), keras.layers.Dense(1)]
    )


def linear():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("build", "verdict", "kinds"),
    [(relu, "piecewise linear", ("piecewise linear",)), (linear, "straight", ("linear",)),
     (functional, "smooth", ())],
    ids=["relu", "linear", "silu"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("first_after", "steps"),
    [
        pytest.param(0.0, [1, 2], id="long", marks=pytest.mark.slow),
        pytest.param(1e9, [2], id="short"),
    ],
)
def test_a_diagnosis_beside_the_second_and_the_last_pictures_goes_with_the_verdict(
    build, verdict, kinds, first_after, steps, tmp_path, monkeypatch
):
    monkeypatch.setattr(schedule, "FIRST_AFTER", first_after)
    monkeypatch.setattr(schedule, "PICTURE_SHARE", np.inf)
    monitor = kc.CurvatureMonitor(PROBE, tmp_path)
    fit(monitor, model=compiled(build()), epochs=2)
    assert monitor.reports[""].verdict.kind == verdict
    assert monitor.diagnosis.kinds == kinds
    events = EventAccumulator(str(tmp_path / "curvature"), size_guidance={"tensors": 0})
    events.Reload()
    shown = events.Tensors("curvature-summary/diagnosis")
    assert [event.step for event in shown] == steps
    for event in shown:
        text = tf.make_ndarray(event.tensor_proto).item().decode()
        assert all(kind in text.lower() for kind in kinds)
        assert ("no findings" in text) == (not kinds)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_text_beside_numbers_is_watched(tmp_path):
    city, x = keras.Input((1,), dtype="string", name="city"), keras.Input((3,), name="x")
    known = keras.layers.StringLookup(vocabulary=["Bern", "Rome"], output_mode="one_hot")(city)
    bent = keras.layers.Dense(2, "tanh")(keras.layers.Concatenate()([known, x]))
    model = compiled(keras.Model({"city": city, "x": x}, keras.layers.Dense(1)(bent)))
    given = {"city": np.array([["Bern"], ["Oslo"]] * 8), "x": PROBE}
    monitor = kc.CurvatureMonitor(given, tmp_path, wrt="x", units="raw")
    data = tf.data.Dataset.from_tensor_slices((given, Y[:16])).batch(8)
    model.fit(data, verbose=0, callbacks=[monitor])
    laplacian = ops.convert_to_numpy(kc.laplacian(model, given, wrt="x"))
    assert monitor.history["mean"][-1] == pytest.approx(laplacian.mean(), rel=1e-5)


def test_without_a_log_dir_no_time_goes_into_a_diagnosis():
    monitor = kc.CurvatureMonitor(PROBE)
    fit(monitor, epochs=1)
    assert monitor.diagnosis is None


def test_tensorboard_shows_what_the_history_holds(tmp_path):
    monitor = kc.CurvatureMonitor((PROBE, Y[:16]), tmp_path, reference=lambda x: 0 * x)
    board = keras.callbacks.TensorBoard(tmp_path)
    fit(monitor, board, epochs=2)
    assert {path.name for path in tmp_path.iterdir()} == {"curvature", "train"}
    events = EventAccumulator(str(tmp_path / "curvature"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    cards = [tag for tag in tags if tag.startswith("curvature/")]
    assert 1 <= len(cards) <= 8
    for tag in cards:
        shown = [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        own = monitor.history[tag.removeprefix("curvature/")]
        assert shown == [
            (step, pytest.approx(value)) for step, value in zip([0, 1, 2], own, strict=True)
        ]
    plugins = {events.summary_metadata[tag].plugin_data.plugin_name for tag in tags}
    assert {"scalars", "histograms", "images", "text"} <= plugins
