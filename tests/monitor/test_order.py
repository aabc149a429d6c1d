"""Callbacks that read the monitor's numbers come after it, or it is said before training."""

from __future__ import annotations

import warnings

import keras
import pytest

import keras_curvature as kc
from watched import PROBE, X, Y, network, train

CALLBACKS = keras.callbacks

READERS = {
    "early stopping": lambda path: CALLBACKS.EarlyStopping("curvature_rms", mode="min"),
    "checkpoint": lambda path: CALLBACKS.ModelCheckpoint(
        path / "a.keras", "curvature_rms", mode="min"
    ),
    "path of a checkpoint": lambda path: CALLBACKS.ModelCheckpoint(
        path / "{epoch}-{curvature_slope_change:.1f}.keras"
    ),
    "learning rate": lambda path: CALLBACKS.ReduceLROnPlateau("curvature_mean", mode="min"),
    "of an output": lambda path: CALLBACKS.EarlyStopping("curvature_price_rms", mode="min"),
}


class Untouched(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise AssertionError("training has started")


@pytest.mark.parametrize("case", READERS)
@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_reader_before_the_monitor_is_an_error_before_training(case, on_error, tmp_path):
    reader = READERS[case](tmp_path)
    monitor = kc.CurvatureMonitor(PROBE, on_error=on_error)
    with pytest.raises(ValueError, match=r"must come after.*`callbacks=\[monitor, "):
        train(reader, monitor, Untouched())


@pytest.mark.every(10)
@pytest.mark.parametrize("on_error", ["raise", "warn"])
@pytest.mark.parametrize("logs", ["headline", None, ["mean", "slope_change"]], ids=str)
@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("curvature_p95", r"Ask for it: `logs=\['p95', ...\]`"),
        ("curvature_feature/x1", r"Ask for it: `logs=\['feature/x1', ...\]`"),
        ("curvature_r2", r"is not measured here. It needs known values.*as \(x, y\)"),
    ],
)
def test_a_number_that_is_not_written_cannot_be_watched(key, advice, logs, on_error):
    monitor = kc.CurvatureMonitor(PROBE, logs=logs, on_error=on_error)
    with pytest.raises(ValueError, match=f"`EarlyStopping` reads {key!r}, .*{advice}"):
        train(monitor, CALLBACKS.EarlyStopping(key, mode="min"), Untouched())


@pytest.mark.every(4)
@pytest.mark.parametrize(
    ("key", "logs"),
    [("curvature_p95", "all"), ("curvature_p95", ["p95"]), ("curvature_step", ["step"]),
     ("loss", None)],
)  # fmt: skip
def test_what_is_written_can_be_watched(key, logs):
    train(kc.CurvatureMonitor(PROBE, logs=logs), CALLBACKS.EarlyStopping(key, mode="min"), epochs=1)


class Writer(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["curvature_penalty"] = 1.0


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data) | {"curvature_penalty": 1.0}


def compiled(model, **options):
    model.compile("sgd", "mse", **options)
    return model


def penalty(y, prediction):
    return y


penalty.__name__ = "curvature_penalty"


OTHERS = {
    "a callback": lambda: ([Writer()], network()),
    "a lambda": lambda: (
        [CALLBACKS.LambdaCallback(on_epoch_end=lambda e, logs: Writer().on_epoch_end(e, logs))],
        network(),
    ),
    "a training step": lambda: ([], compiled(OwnStep([keras.Input((2,)), *network().layers]))),
    "a metric": lambda: ([], compiled(network(), metrics=[penalty])),
    "a metric of an output": lambda: (
        [],
        compiled(
            keras.Model(
                i := keras.Input((2,)),
                [keras.layers.Dense(1, name=name)(i) for name in ("curvature", "b")],
            ),
            metrics=[[keras.metrics.MeanSquaredError(name="penalty")], []],
        ),
    ),
}


@pytest.mark.every(5)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.tensorflow if case == "a training step" else ())
        for case in OTHERS
    ],
)
def test_what_somebody_else_may_write_can_be_watched(case):
    others, model = OTHERS[case]()
    reader = CALLBACKS.EarlyStopping("curvature_penalty", mode="min")
    y = dict.fromkeys(model.output_names, Y) if len(model.outputs) > 1 else Y
    fit = model.fit(X, y, verbose=0, callbacks=[kc.CurvatureMonitor(PROBE), *others, reader])
    assert "curvature_penalty" in fit.history


MISSPELT = {
    "letters in another order": ("curvature_rsm", "Did you mean 'curvature_rms'"),
    "one letter too many": ("curvature_rmss", "Did you mean 'curvature_rms'"),
    "nothing like it": ("curvature_penalty", "which is not measured here"),
    "an output that there is not": ("curvature_price_rms", "Write it without `price_`: 'rms'"),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("case", MISSPELT)
@pytest.mark.parametrize("kind", ["EarlyStopping", "ModelCheckpoint"])
def test_what_nobody_writes_cannot_be_watched(case, kind, tmp_path):
    key, said = MISSPELT[case]
    options = {"filepath": tmp_path / "a.keras", "save_best_only": True}
    options = options if kind == "ModelCheckpoint" else {}
    reader = getattr(CALLBACKS, kind)(monitor=key, mode="min", **options)
    with pytest.raises(ValueError, match=f"`{kind}` reads {key!r}, .*{said}"):
        train(kc.CurvatureMonitor(PROBE), reader, Untouched())


@pytest.mark.parametrize("kind", ["EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"])
def test_whether_small_is_better_must_be_said(kind, tmp_path):
    options = {"filepath": tmp_path / "a.keras"} if kind == "ModelCheckpoint" else {}
    reader = getattr(CALLBACKS, kind)(monitor="curvature_rms", **options)
    if getattr(reader, "monitor_op", None) is not None:
        pytest.skip("this Keras guesses")
    with pytest.raises(ValueError, match=r"Received: mode='auto'. Write.*mode='min'"):
        train(kc.CurvatureMonitor(PROBE), reader, Untouched())


PREFIXES = {
    "none": ("rms", "curvature"),
    "of a metric": ("val_curvature_rms", "curvature"),
    "of the tab": ("curvature/p95", "curvature"),
    "the usual one": ("curvature_rms", "far"),
}


@pytest.mark.parametrize("case", PREFIXES)
def test_a_number_by_another_prefix_is_told_of_before_training(case):
    key, name = PREFIXES[case]
    number = key.split("_")[-1].split("/")[-1]
    monitor = kc.CurvatureMonitor(PROBE, name=name)
    with (
        pytest.warns(UserWarning, match=f"reads {key!r}.*is called '{name}_{number}'"),
        pytest.raises(AssertionError, match="training has started"),
    ):
        train(monitor, CALLBACKS.EarlyStopping(key, mode="min"), Untouched())


def test_a_file_of_all_numbers_lacks_those_that_come_later(tmp_path):
    with pytest.warns(UserWarning, match="no column of its numbers"):
        train(CALLBACKS.CSVLogger(tmp_path / "log.csv"), kc.CurvatureMonitor(PROBE), epochs=1)


IN_ORDER = {
    "after it": lambda path, m: [m, *(make(path) for make in list(READERS.values())[:4])],
    "file after it": lambda path, m: [m, CALLBACKS.CSVLogger(path / "log.csv")],
    "of another number": lambda path, m: [CALLBACKS.EarlyStopping("loss"), m],
    "of two monitors": lambda path, m: [
        m, kc.CurvatureMonitor(PROBE, name="far"),
        CALLBACKS.EarlyStopping("curvature_rms", mode="min"),
        CALLBACKS.EarlyStopping("far_rms", mode="min"),
    ],
    "of another monitor": lambda path, m: [
        kc.CurvatureMonitor(PROBE, name="far"), CALLBACKS.EarlyStopping("far_rms", mode="min"), m,
    ],
}  # fmt: skip


@pytest.mark.every(2)
@pytest.mark.parametrize("case", IN_ORDER)
def test_nothing_is_said_of_what_is_in_order(case, tmp_path):
    callbacks = IN_ORDER[case](tmp_path, kc.CurvatureMonitor(PROBE))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(*callbacks, epochs=1)
    assert [one for one in told if "monitor" in str(one.message).split("metric")[0]] == []
