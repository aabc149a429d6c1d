"""A verdict that acts: stops a training, warns or calls, and says before it what cannot be."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.diagnosis.results import KINDS as FINDINGS
from keras_curvature.monitor import callback, stop_on_verdict
from keras_curvature.report.verdict import KINDS
from watched import PROBE, During, X, Y, assert_same, left_behind, network, text, train

STILL = tuple(kind for kind in KINDS if kind != "smooth")
"""What a network of 4 units can be called in its first epochs, and more."""


def monitored(stop, *others, epochs=6, model=None, **options):
    monitor = kc.CurvatureMonitor((X, Y), **options)
    return monitor, *train(monitor, *others, stop, epochs=epochs, model=model)


def saying(monkeypatch, *kinds):
    """Has reports say one kind after the other, from before training on, the last for ever."""
    steps = []

    def verdict(measurement, *args):
        steps.append(measurement)
        return kc.Verdict(kinds[min(len(steps), len(kinds)) - 1], "So it is.")

    monkeypatch.setattr("keras_curvature.report.reporter.verdict", verdict)


CASES = {
    # verdicts from step 0 on, patience, freq -> the epoch, from 1 on, in which it stops
    "at once": (["straight"], 1, 1, 1),
    "after its patience": (["straight"], 3, 1, 3),
    "before training counts for none": (["straight", "smooth", "straight"], 2, 1, 3),
    "another verdict between": (["straight", "straight", "smooth", "straight"], 2, 1, 4),
    "never": (["smooth"], 1, 1, None),
    "too late": (["straight"], 7, 1, None),
    "in epochs that are measured": (["straight"], 3, 3, 3),
    "in more of these": (["straight"], 4, 3, 6),
    "with a gap": (["straight", "smooth", "straight"], 3, 3, 6),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("case", CASES)
def test_it_stops_after_its_patience(case, monkeypatch, capsys):
    kinds, patience, freq, expected = CASES[case]
    saying(monkeypatch, *kinds)
    stop = kc.StopOnVerdict(["straight", "linear"], patience)
    _, _, fit = monitored(stop, epochs=6, freq=freq)
    assert len(fit.epoch) == (expected or 6)
    assert stop.stopped_epoch == (expected or 1) - 1
    said = f"Epoch {expected}: StopOnVerdict stopped the training, since the verdict 'straight' has"
    assert stop.reason.startswith(said) == bool(expected)
    assert capsys.readouterr().out.strip() == stop.reason


def test_looking_for_a_finding_changes_nothing():
    monitor, model, fit = monitored(kc.StopOnVerdict("suspect", 1), epochs=2)
    assert monitor.diagnosis is not None
    assert_same(left_behind(model, fit), left_behind(*train(epochs=2)))


def test_of_a_real_training_nothing_is_changed_up_to_the_stop(tmp_path):
    monitor, model, fit = monitored(kc.StopOnVerdict(STILL, 2, verbose=0), log_dir=tmp_path)
    assert len(fit.epoch) == 2
    stopped = left_behind(model, fit)
    assert_same(stopped, left_behind(*train(epochs=2)))
    said = text(tmp_path, "curvature-summary/decision")
    assert "Decided at epoch 2" in said
    assert monitor.reports[""].verdict.kind in said


@pytest.mark.slow
def test_a_finding_acts_too(tmp_path):
    keras.utils.set_random_seed(0)
    dead = keras.layers.Dense(4, "relu", bias_initializer=keras.initializers.Constant(-99))
    model = keras.Sequential([keras.Input((2,)), dead, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    told = []
    stop = kc.StopOnVerdict("dead units", 2, notify=told.append, verbose=0)
    monitor, _, fit = monitored(stop, model=model, log_dir=tmp_path)
    assert len(fit.epoch) == 2
    assert "finding of a diagnosis 'dead units' has held for 2 epochs" in stop.reason
    assert "dead units" in monitor.diagnosis.kinds
    assert told[0]["decision"]["reason"] == stop.reason
    assert "dead" in text(tmp_path, "curvature-summary/diagnosis").lower()


def test_it_warns_once_and_again_after_another_verdict(monkeypatch):
    saying(monkeypatch, "smooth", "linear", "linear", "smooth", "linear")
    stop = kc.StopOnVerdict("linear", 1, action="warn")
    with pytest.warns(UserWarning, match="StopOnVerdict warns, since") as warned:
        _, _, fit = monitored(stop)
    assert len(fit.epoch) == 6
    said = [str(one.message)[:8] for one in warned if "StopOnVerdict" in str(one.message)]
    assert said == ["Epoch 1:", "Epoch 4:"]


def test_a_function_gets_plain_data_and_may_fail(monkeypatch):
    saying(monkeypatch, "linear", "linear", "smooth", "linear")
    told = []

    def fail(data):
        told.append(json.loads(json.dumps(data, allow_nan=False)))
        raise ConnectionError("no such host")

    stop = kc.StopOnVerdict("linear", 1, action="warn", notify=fail)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        _, _, fit = monitored(stop, epochs=4)
    assert len(fit.epoch) == 4
    assert [data["step"] for data in told] == [1, 3]
    assert told[0]["decision"]["epochs"] == 1
    failed = [str(one.message) for one in warned if "could not call `notify`" in str(one.message)]
    assert len(failed) == 1
    assert "ConnectionError: no such host" in failed[0]
    assert [fault.count for fault in stop.faults] == [2]


def test_what_could_not_be_measured_neither_counts_nor_ends_a_count(monkeypatch):
    saying(monkeypatch, "linear")
    monitor = kc.CurvatureMonitor(PROBE, on_error="warn")

    def break_down():
        monitor._training.measurer.measure = lambda **_: 1 / 0

    stop = kc.StopOnVerdict("linear", 4, verbose=0)
    with pytest.warns(UserWarning, match="could not measure"):
        _, fit = train(During(break_down, lambda: vars(monitor._training.measurer).pop("measure")),
                       monitor, stop, epochs=6)  # fmt: skip
    assert len(fit.epoch) == 4


def test_a_second_training_begins_to_count_anew(monkeypatch):
    saying(monkeypatch, "linear")
    monitor, stop = kc.CurvatureMonitor(PROBE), kc.StopOnVerdict("linear", 3, verbose=0)
    model, first = train(monitor, stop, epochs=2)
    _, second = train(monitor, stop, model=model, epochs=5)
    assert (len(first.epoch), len(second.epoch), stop.stopped_epoch) == (2, 3, 2)


def two_outputs():
    inputs = keras.Input((2,))
    outputs = {name: keras.layers.Dense(1, act, name=name)(inputs)
               for name, act in (("bent", "tanh"), ("flat", None))}  # fmt: skip
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", run_eagerly=True)
    return model


@pytest.mark.parametrize(("output", "epochs"), [(None, 1), ("flat", 1), ("bent", 3)])
def test_of_several_outputs_one_is_chosen_or_any(output, epochs):
    stop = kc.StopOnVerdict(["straight", "linear"], 1, output=output, verbose=0)
    fit = two_outputs().fit(
        X, {"bent": Y, "flat": Y}, epochs=3, verbose=0, callbacks=[kc.CurvatureMonitor(3 * X), stop]
    )
    assert len(fit.epoch) == epochs
    assert ("'flat'" in stop.reason) == (epochs == 1)


def named(name):
    return kc.CurvatureMonitor(PROBE, name=name)


def constants(tree):
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def test_all_kinds_that_there_are_are_known():
    package = Path(kc.__file__).parent
    verdicts, findings = set(), set()
    for node in ast.walk(ast.parse((package / "report" / "verdict.py").read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Verdict":
            verdicts |= constants(node.args[0])
    for path in (package / "diagnosis").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            kind = isinstance(node, ast.keyword) and node.arg == "kind"
            if kind or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "kind"):
                of_backend = path.stem in ("backend_gradients", "backend_ways")  # must be asked for
                findings |= set() if of_backend else constants(node.value)
    assert verdicts == set(KINDS)
    assert findings <= set(FINDINGS)
    assert len(findings) > 15


def stopping(**options):
    return kc.StopOnVerdict("linear", **options)


MISPLACED = {
    "no monitor": (lambda: [stopping()], r"must be among the callbacks.*Received: no monitor"),
    "after it": (lambda: [stopping(), named("a")], "must come after the monitor that it reads"),
    "one of two": (lambda: [named("a"), named("b"), stopping()], r"one of \['a', 'b'\]"),
    "another name": (lambda: [named("a"), stopping(monitor="b")], r"called 'b'.*called \['a'\]"),
    "one that is not there": (lambda: [named("a"), stopping(monitor=named("b"))], "called 'b'"),
    "impatient": (
        lambda: [kc.CurvatureMonitor(PROBE, freq=10), stopping()],
        "at least 10, the `freq` of the monitor.*Received: patience=5",
    ),
    "an output": (
        lambda: [named("a"), stopping(output="b")], "`output` must be left out.*Received: 'b'",
    ),
}  # fmt: skip


class Untouched(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise AssertionError("training has started")


@pytest.mark.parametrize("case", MISPLACED)
def test_what_cannot_act_is_said_before_training(case):
    made, said = MISPLACED[case]
    with pytest.raises(ValueError, match=said):
        train(*made(), Untouched())


def test_what_is_too_large_to_be_diagnosed_is_said_before_training(monkeypatch):
    monkeypatch.setattr(callback.CurvatureMonitor, "diagnosable", False)
    with pytest.raises(ValueError, match="too large to be diagnosed"):
        train(named("a"), kc.StopOnVerdict("flat"), Untouched())


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"kinds": "still strait"}, ValueError, "Did you mean 'still straight'"),
        ({"kinds": ["linear", "TensorFlow wrong"]}, ValueError, "Received: 'TensorFlow wrong'"),
        ({"kinds": []}, TypeError, r"Received: \[\]"),
        ({"kinds": 3}, TypeError, "Received: 3"),
        ({"kinds": [3]}, ValueError, "Received: 3"),
        ({"kinds": "linear", "patience": 0}, ValueError, "at least 1. Received: 0"),
        ({"kinds": "linear", "patience": 2.5}, TypeError, "Received: 2.5"),
        ({"kinds": "linear", "patience": True}, TypeError, "Received: True"),
        ({"kinds": "linear", "action": "halt"}, ValueError, "'stop', 'warn'"),
        ({"kinds": "linear", "notify": "https://"}, TypeError, "must be a function"),
        ({"kinds": "linear", "monitor": 1}, TypeError, "must be a `CurvatureMonitor`"),
        ({"kinds": "linear", "output": 1}, TypeError, "must be the name of an output"),
    ],
    ids=str,
)
def test_what_is_no_argument_is_refused_when_it_is_made(options, error, said):
    with pytest.raises(error, match=said):
        kc.StopOnVerdict(**options)


def test_in_a_loop_of_ones_own_it_is_given_the_monitor(monkeypatch):
    saying(monkeypatch, "linear")
    monitor = named("a")
    stop = kc.StopOnVerdict("linear", 1, monitor=monitor, verbose=0)
    model = network()
    for one in (monitor, stop):
        one.set_model(model)
        one.on_train_begin()
    for event in ("on_epoch_begin", "on_epoch_end"):
        for one in (monitor, stop):
            getattr(one, event)(0, {})
    assert model.stop_training
    assert stop_on_verdict.ACTIONS["stop"] in stop.reason
    assert np.isfinite(monitor.history["rms"][-1])
