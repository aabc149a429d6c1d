"""A measurement that is no step of a training."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest

import keras_curvature as kc
from watched import PROBE, Y, assert_same, left_behind, network, steps, train


def rms(model):
    """From float32 numbers, summed in another order than the monitor does."""
    hessian = keras.ops.convert_to_numpy(kc.hessian(model, PROBE))
    return pytest.approx(np.sqrt((hessian**2).sum() / len(PROBE)), rel=1e-4)


class Falling(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["falling"] = -epoch


def test_after_restored_weights_it_is_of_these():
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    stop = keras.callbacks.EarlyStopping(  # at the first epoch
        "falling", mode="max", patience=2, restore_best_weights=True
    )
    model, _ = train(Falling(), monitor, stop, epochs=6)
    before = copy.deepcopy(monitor.history)
    assert before["step"] == [0, 1, 2, 3]
    assert monitor.reports[""].headline["rms"] != rms(model)
    found = monitor.measure()[""]
    assert found.headline["rms"] == rms(model)
    assert found.headline["rms"] == pytest.approx(before["rms"][1], rel=1e-6)
    assert monitor.history == before


@pytest.mark.parametrize("directions", [None, 4], ids=["exact", "estimates"])
def test_equal_weights_give_equal_numbers_whatever_the_seeds_are(directions):
    """And the same points in another order are another draw of lines and directions."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype("float32")
    model = network()

    def measured(points, seed):
        keras.utils.set_random_seed(seed)
        monitor = kc.CurvatureMonitor(points, directions=directions, units="raw")
        numbers = monitor.measure(model)[""].scalars
        return {name: value for name, value in numbers.items() if name != "seconds"}

    first = measured(x, 1)
    assert measured(x, 2) == pytest.approx(first, rel=1e-6, nan_ok=True)
    shuffled = measured(x[rng.permutation(64)], 1)
    assert shuffled["slope_change"] != pytest.approx(first["slope_change"], rel=1e-3)
    assert (shuffled["rms"] == pytest.approx(first["rms"], rel=1e-3)) == (directions is None)


def test_summary_and_pictures_show_it(capsys):
    monitor = kc.CurvatureMonitor((PROBE, Y[:8]))
    monitor.measure(network())
    monitor.summary()
    assert capsys.readouterr().out.startswith("Curvature, now\n")
    assert monitor.plot().texts[0].get_text().startswith("Now")
    labels = monitor.plot(picture="distances").axes[0].get_legend_handles_labels()[1]
    assert "now" in labels


class Looks(keras.callbacks.Callback):
    def __init__(self, monitor):
        super().__init__()
        self.monitor_of, self.found = monitor, []

    def on_epoch_begin(self, epoch, logs=None):
        self.found.append(self.monitor_of.measure()[""].headline["rms"])


@pytest.mark.slow
def test_within_a_training_it_disturbs_nothing(tmp_path):
    def trained(looks):
        monitor = kc.CurvatureMonitor(PROBE, tmp_path / str(looks))
        also = [Looks(monitor)] if looks else []
        model, fit = train(monitor, *also, epochs=2)
        assert not also or also[0].found == pytest.approx(monitor.history["rms"][:2], rel=1e-6)
        return left_behind(model, fit), monitor.history["rms"], steps(tmp_path / str(looks))

    (left, numbers, at), (left_too, numbers_too, at_too) = trained(True), trained(False)
    assert_same(left, left_too)
    assert numbers == numbers_too
    assert at == at_too == [0, 1, 2]


def test_the_next_training_goes_on_where_the_last_one_ended():
    monitor = kc.CurvatureMonitor(PROBE, units="raw")
    model, _ = train(monitor, epochs=1)
    monitor.measure(network(seed=3))
    assert monitor.reports[""].headline["rms"] != rms(model)
    train(monitor, model=model, epochs=1)
    assert monitor.history["step"] == [0, 1, 2]
    assert monitor.reports[""].headline["rms"] == rms(model)


def test_before_a_training_it_is_of_the_network_that_was_given():
    model = network()
    monitor = kc.CurvatureMonitor(PROBE, units="raw", model=model)
    assert monitor.measure()[""].headline["rms"] == rms(model)


def test_it_shows_itself_in_a_line():
    monitor = kc.CurvatureMonitor((PROBE, PROBE[:, :1]), name="mine", model=network())
    assert repr(monitor) == "<CurvatureMonitor 'mine': probe (8, 2) with y, 0 steps measured>"
    kind = monitor.measure()[""].verdict.kind
    assert repr(monitor).endswith(f"0 steps measured, last {kind!r}>")
    several = kc.CurvatureMonitor({"a": PROBE, "b": PROBE})
    assert repr(several) == "<CurvatureMonitor 'curvature': probe 2 arrays of 8, 0 steps measured>"


def test_without_a_model_or_an_epoch_it_says_what_to_do():
    monitor = kc.CurvatureMonitor(PROBE)
    with pytest.raises(ValueError, match=r"monitor\.measure\(model\)"):
        monitor.measure()
    with pytest.raises(ValueError, match=r"measure\(model\)`, the one with 'net' inside"):
        kc.CurvatureMonitor(PROBE, model="net").measure()
    with pytest.raises(ValueError, match=r"pass the monitor to `model\.fit`"):
        monitor.summary()
    train(monitor, epochs=2, initial_epoch=2)
    with pytest.raises(ValueError, match=r"`fit` ran no epoch.*`monitor.measure\(model\)`"):
        monitor.plot()
    assert monitor.measure()[""].headline["rms"] > 0
