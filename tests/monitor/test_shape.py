"""A shape in a real training: in `logs`, on TensorBoard, and as what decides on an epoch."""

from __future__ import annotations

import copy
import sys

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_curvature as kc

X = np.linspace(-1, 1, 33)[:, None].astype("float32")
FACTORS = [3.0, -1.0, 1.0, 2.0, -2.0]
"""Of the parabola in each epoch, all asked to be -1: convex ones are the worse the larger."""


class Parabola(keras.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.w = self.add_weight((), initializer="ones", name="w")

    def call(self, x):
        return self.w * x**2


def trained(*callbacks, log_dir=None, **options):
    """Nothing is learned: each epoch has the factor of its place."""
    model = keras.Sequential([keras.Input((1,), name="strike"), Parabola()])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    turn = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: model.layers[-1].w.assign(FACTORS[epoch])
    )
    monitor = kc.CurvatureMonitor(X, log_dir, shape={"strike": "convex"}, **options)
    fit = model.fit(
        X, -(X**2), validation_data=(X, -(X**2)), epochs=len(FACTORS), verbose=0,
        callbacks=[turn, monitor, *callbacks],
    )  # fmt: skip
    return model, monitor, fit


def test_the_verdict_and_the_picture_begin_with_a_shape_that_is_broken():
    _, monitor, _ = trained()
    report = monitor.reports[""]
    said = "The shape that was asked for is broken: convex in strike holds at none of the points. "
    assert report.verdict.sentence.startswith(said)
    assert report.verdict.kind == "smooth"
    assert any(said.strip() in " ".join(t.get_text().split()) for t in monitor.plot().texts)


def test_a_broken_shape_stops_a_training():
    stop = kc.StopOnVerdict("shape broken", 1, verbose=0)
    _, monitor, fit = trained(stop)
    assert len(fit.epoch) == 2  # of the first factor below 0
    assert monitor.diagnosis is None
    assert "since 'shape broken' has held for 1 epoch. The shape that was asked" in stop.reason


def test_only_a_monitor_with_a_shape_can_have_a_broken_one():
    model = keras.Sequential([keras.Input((1,)), Parabola()])
    model.compile("sgd", "mse")
    callbacks = [kc.CurvatureMonitor(X), kc.StopOnVerdict("shape broken")]
    with pytest.raises(ValueError, match=r"asked for a shape.*a monitor without"):
        model.fit(X, X, verbose=0, callbacks=callbacks)


def kept_loss():
    """The recipe of docs/monitor.md."""
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(
            kept_loss=logs["val_loss"] if logs["curvature_shape_fraction"] == 1 else np.inf
        )
    )


def test_the_best_epoch_is_chosen_among_those_that_keep_the_shape(tmp_path):
    path = tmp_path / "best.weights.h5"
    keep = {"monitor": "kept_loss", "mode": "min"}
    best = keras.callbacks.ModelCheckpoint(
        path,
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=np.inf,
        **keep,
    )
    stop = keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True, **keep)
    model, monitor, fit = trained(kept_loss(), best, stop)
    assert int(np.argmin(fit.history["val_loss"])) == 1  # which is concave
    assert monitor.history["shape_fraction"][1:] == [1, 0, 1, 1, 0]
    assert float(model.layers[-1].w) == 1
    model.load_weights(path)
    assert float(model.layers[-1].w) == 1


def test_all_places_have_the_same_numbers(tmp_path):
    _, monitor, fit = trained(log_dir=tmp_path, logs="all")
    board = EventAccumulator(str(tmp_path / "curvature"), size_guidance={"tensors": 0}).Reload()
    tags = {
        "shape_fraction": "curvature/shape_fraction",
        "shape/strike_convex_fraction": "curvature-shape/strike_convex_fraction",
        "shape/strike_convex_worst_violation": "curvature-shape/strike_convex_worst_violation",
    }
    for name, tag in tags.items():
        written = [event.tensor_proto.float_val[0] for event in board.Tensors(tag)]
        assert written == pytest.approx(monitor.history[name])
        assert fit.history[f"curvature_{name}"] == monitor.history[name][1:]
        assert board.SummaryMetadata(tag).summary_description
    worst = monitor.history["shape/strike_convex_worst_violation"]
    assert worst == pytest.approx([0, 0, 2, 0, 0, 4])
    assert "convex in strike at none of the points" in str(monitor.reports[""])


def test_a_copy_and_a_measurement_by_hand_have_the_shape_too():
    model, monitor, _ = trained()
    assert copy.deepcopy(monitor).reports[""].shape == monitor.reports[""].shape
    model.layers[-1].w.assign(5.0)
    assert monitor.measure()[""].headline["shape_fraction"] == 1
    assert monitor.history["shape_fraction"][-1] == 0


def test_of_a_loss_too():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = kc.CurvatureMonitor((np.hstack([X, X]), X), output="loss", shape={0: "convex"})
    assert monitor.measure(model)[""].headline["shape_fraction"] == 1  # a squared error is


def test_nothing_is_saved_where_no_epoch_keeps_the_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "FACTORS", [-1.0, -2.0])
    path = tmp_path / "best.weights.h5"
    best = keras.callbacks.ModelCheckpoint(
        path, "kept_loss", mode="min", save_best_only=True, save_weights_only=True,
        initial_value_threshold=np.inf,
    )  # fmt: skip
    trained(kept_loss(), best)
    assert not path.exists()


def test_an_index_into_a_dict_of_inputs_is_refused():
    inputs = {name: keras.Input((1,), name=name) for name in ("strike", "spot")}
    model = keras.Model(inputs, keras.layers.Add()(list(inputs.values())))
    points = dict.fromkeys(inputs, X)
    with pytest.raises(ValueError, match=r"must name inputs by .*Keras sorts the keys"):
        kc.CurvatureMonitor(points, shape={1: "convex"}).measure(model)
