"""Epochs that `freq` leaves out, beside each of Keras's callbacks that reads `logs`."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest

import keras_curvature as kc
from watched import PROBE, X, Y, events, network

FALLING = [9.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5]
"""What is measured at step 0, 1, 2, … by turns: each an improvement on the one before."""

RISING = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


class Told(kc.CurvatureMonitor):
    """A monitor that measures what it is told."""

    def __init__(self, numbers, **kwargs):
        super().__init__(PROBE, **kwargs)
        self.numbers = iter(numbers)

    def _measure(self, step, begin):
        super()._measure(step, begin)
        for report in self.reports.values():
            report.headline["rms"] = next(self.numbers)


def train(*callbacks, epochs=6, numbers=FALLING, freq=2, verbose=0):
    model = network()
    monitor = Told(numbers, freq=freq)
    fit = model.fit(X, Y, epochs=epochs, verbose=verbose, callbacks=[monitor, *callbacks])
    return monitor, model, fit


def test_the_csv_logger_has_a_column_for_each_number(tmp_path):
    """It settles its columns by the first epoch."""
    train(keras.callbacks.CSVLogger(tmp_path / "log.csv"))
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["curvature_rms"]) for row in rows] == [5, 4, 4, 3, 3, 2]
    assert [float(row["curvature_step"]) for row in rows] == [1, 2, 2, 4, 4, 6]


@pytest.mark.slow
def test_early_stopping_goes_on_while_it_improves_and_stops_when_it_does_not():
    def stop(**kwargs):
        return keras.callbacks.EarlyStopping("curvature_rms", mode="min", **kwargs)

    assert len(train(stop(patience=2))[2].epoch) == 6
    # Epoch 2 is left out, and the first that it looks at.
    assert len(train(stop(patience=2, start_from_epoch=2))[2].epoch) == 6
    assert len(train(stop(patience=3), numbers=RISING)[2].epoch) == 4
    last = stop(patience=3, restore_best_weights=True)
    train(last, numbers=[9, 5, 4, 6, 7])
    assert last.best_epoch == 1


@pytest.mark.parametrize("template", ["best.keras", "{epoch}-{curvature_rms:.0f}.keras"])
def test_a_checkpoint_keeps_the_best_epoch_that_was_measured(template, tmp_path):
    keep = keras.callbacks.ModelCheckpoint(
        tmp_path / template, monitor="curvature_rms", mode="min", save_best_only=True
    )
    weights = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(note.model.get_weights())
    )
    train(note, keep, numbers=[0.1, 5, 4, 6, 7])
    assert keep.best == 4
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == (["best.keras"] if template == "best.keras" else ["1-5.keras", "2-4.keras"])
    best = keras.models.load_model(tmp_path / kept[-1]).get_weights()
    for one, other in zip(best, weights[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_learning_rate_is_kept_while_it_improves():
    def plateau(numbers):
        callback = keras.callbacks.ReduceLROnPlateau("curvature_rms", mode="min", patience=2)
        return train(callback, numbers=numbers)[2].history["learning_rate"]

    assert len(set(plateau(FALLING))) == 1
    assert len(set(plateau(RISING))) > 1


@pytest.mark.slow
def test_the_other_callbacks_show_a_number_at_each_epoch(tmp_path, capsys):
    board = keras.callbacks.TensorBoard(tmp_path / "log")
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    nan = keras.callbacks.TerminateOnNaN()
    train(board, backup, nan, verbose=2, epochs=3)
    assert capsys.readouterr().out.count("curvature_rms: ") == 3
    tags = events(tmp_path / "log", "train")
    assert len(tags.Tensors("epoch_curvature_rms")) == 3
    # What goes on from a backup has a number of its own in its first epoch, whatever `freq` says.
    resumed, _, fit = train(backup, epochs=5, freq=9)
    assert fit.epoch == [3, 4]
    assert resumed.history["step"] == [3, 4]
    assert fit.history["curvature_step"] == [4, 4]
