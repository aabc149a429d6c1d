"""What goes wrong while a training is watched: what the user sees, and that training does not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from keras_curvature import diagnosis, figures
from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.engines.bound_model import Evaluator
from keras_curvature.measurement import batches
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.summaries import event_file
from watched import PROBE, During, assert_same, left_behind, network, steps, text, train

OUT_OF_MEMORY = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@dataclass(frozen=True)
class Case:
    """A fault at steps 2 and 3 of 4.

    Attributes:
        begin: brings it about, given the monitor, its log's directory and a monkeypatch.
        error: what `on_error="raise"` raises, and the message.
        doing: what the fault keeps the monitor from.
        unknown: steps at which the history holds NaN.
        missing: steps that TensorBoard does not get to see.
    """

    begin: Callable
    error: type[BaseException]
    message: str
    doing: str
    unknown: tuple = ()
    missing: tuple = ()


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def measuring(error):
    return lambda monitor, log, patch: patch.setattr(
        monitor._training.measurer, "measure", raising(error)
    )


def statistics_fail(monitor, log, patch):
    patch.setattr(
        "keras_curvature.measurement.results.ExactMeasurement.detail",
        raising(ZeroDivisionError("no spread")),
    )


def never_enough_memory(monitor, log, patch):
    patch.setattr(type(monitor._training.measurer.bound.evaluator), "function", exhausted_above(0))


def exhausted_above(limit):
    """In place of `Evaluator.function`: more examples at a time do not fit."""

    def function(evaluator, compute, tensors, *constants, **arranged):
        def tight(*given):
            if given[0].shape[0] > limit:
                raise OUT_OF_MEMORY
            return compute(*given)

        return tight

    return function


def freq_fails(monitor, log, patch):
    patch.setattr(monitor, "_is_due", raising(KeyError("epoch")))


def deleted(monitor, log, patch):
    shutil.rmtree(log)


def a_file_in_its_place(monitor, log, patch):
    shutil.rmtree(log)
    log.write_text("in the way")


def refused(monitor, log, patch):
    """As on a file system that turned read-only; root may write to any directory."""
    denied = tf.errors.PermissionDeniedError(None, None, "Read-only file system")
    patch.setattr(event_file.EventFile, "_add", raising(denied))


def pictures_fail(monitor, log, patch):
    patch.setattr(figures, "draw", raising(RuntimeError("no ink")))
    patch.setattr(monitor._training.budget, "allows", lambda: True)


MEASURE, WRITE = "measure", "write the log"
BOTH = (2, 3)
CASES = {
    "engine": Case(measuring(RuntimeError("lost")), RuntimeError, "lost", MEASURE, BOTH, BOTH),
    "statistics": Case(statistics_fail, ZeroDivisionError, "no spread", MEASURE, BOTH, BOTH),
    "never enough memory": Case(
        never_enough_memory, tf.errors.ResourceExhaustedError, "one example", MEASURE, BOTH, BOTH
    ),
    "freq": Case(freq_fails, KeyError, "epoch", "ask `freq`", BOTH, BOTH),
    # Step 2 goes into a new file. What was written before is gone with its directory.
    "log deleted": Case(deleted, OSError, "no longer there", WRITE, missing=(0, 1)),
    "a file in its place": Case(
        a_file_in_its_place, OSError, "no longer there", WRITE, missing=(0, 1, *BOTH)
    ),
    "read-only": Case(refused, OSError, "Read-only file system", WRITE, missing=BOTH),
    "pictures": Case(pictures_fail, RuntimeError, "no ink", "draw"),
}


def watch(case, log_dir, on_error, patch):
    """Trains through a fault; returns the monitor and what `train` does."""
    monitor = kc.CurvatureMonitor(PROBE, log_dir, on_error=on_error)

    def end():
        patch.undo()
        if log_dir.is_file():
            log_dir.unlink()

    fault = During(lambda: case.begin(monitor, log_dir, patch), end)
    return monitor, lambda: train(fault, monitor)


@pytest.fixture(scope="module")
def alone():
    return left_behind(*train())


@pytest.fixture(autouse=True)
def no_diagnosis():
    """Half of the time would go into it; it has a test of its own below."""
    # Not with `monkeypatch`, which a test undoes on the way.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnosis, "examine", lambda *given: Diagnosis("model", (), ()))
        yield


@pytest.mark.every(6)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_warn_lets_the_training_go_on_as_if_nothing_watched(case, tmp_path, monkeypatch, alone):
    log = tmp_path / "log"
    monitor, run = watch(case, log, "warn", monkeypatch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, fit = run()
    assert_same(left_behind(model, fit), alone)
    said = [str(w.message) for w in caught if "CurvatureMonitor could not" in str(w.message)]
    kinds = [(fault.doing, fault.kind) for fault in monitor.faults]
    assert len(said) == len(set(said)) == len(kinds) == len(set(kinds))
    assert f"could not {case.doing} at step 2" in said[0]
    assert case.message in said[0]
    history = monitor.history
    assert history["step"] == [0, 1, 2, 3, 4]
    unknown = [
        step for step, mean in zip(history["step"], history["mean"], strict=True) if np.isnan(mean)
    ]
    assert tuple(unknown) == case.unknown
    told = fit.history["curvature_mean"]
    if case.doing != "ask `freq`":  # what is not due has no place in the logs
        np.testing.assert_array_equal(told, history["mean"][1:])
    assert steps(log) == [step for step in range(5) if step not in case.missing]
    assert case.message in text(log, "curvature-summary/faults").replace("\\", "")


def test_without_a_log_a_fault_is_one_fault(monkeypatch):
    """And not one more because there is nowhere to write it down."""
    monitor = kc.CurvatureMonitor(PROBE, on_error="warn")
    freq = During(lambda: freq_fails(monitor, None, monkeypatch), monkeypatch.undo)
    with pytest.warns(UserWarning, match="could not ask `freq` at step 2"):
        train(freq, monitor)
    assert [(fault.doing, fault.count) for fault in monitor.faults] == [("ask `freq`", 2)]


@pytest.mark.parametrize("name", ["engine", "freq", "log deleted"])
def test_raise_stops_at_once_and_leaves_a_log_that_can_be_read(name, tmp_path, monkeypatch):
    case, log = CASES[name], tmp_path / "log"
    monitor, run = watch(case, log, "raise", monkeypatch)
    with pytest.raises(case.error, match=case.message):
        run()
    assert monitor._training.writer is None
    assert monitor.faults == ()
    monkeypatch.undo()
    if case.doing == MEASURE:
        assert steps(log) == [0, 1]


def test_a_diagnosis_that_fails_is_one_more_fault(tmp_path, alone):
    monitor = kc.CurvatureMonitor(PROBE, tmp_path, on_error="warn")
    # Undone before the stand-in is, whatever fixture asked for `monkeypatch` first.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnosis, "examine", raising(RuntimeError("not at home")))
        with pytest.warns(UserWarning, match="could not diagnose at step 4.*not at home"):
            watched = left_behind(*train(monitor))
    assert_same(watched, alone)
    assert [fault.count for fault in monitor.faults] == [1]
    assert "could not diagnose at step 4" in text(tmp_path, "curvature-summary/faults")


@pytest.mark.every(2)
@pytest.mark.parametrize(("value", "on_error"), [(np.nan, "raise"), (np.inf, "warn")], ids=str)
def test_weights_that_are_not_finite_are_data(value, on_error, tmp_path, recwarn):
    def trained(*callbacks):
        model = network()
        kernel = model.layers[0].kernel
        broken = During(lambda: kernel.assign(np.full(kernel.shape, value)))
        return train(broken, *callbacks, model=model)

    alone = left_behind(*trained())
    monitor = kc.CurvatureMonitor(PROBE, tmp_path, on_error=on_error)
    assert_same(left_behind(*trained(monitor)), alone)
    assert monitor.faults == ()
    assert not [w for w in recwarn if "keras_curvature" in w.filename]
    assert monitor.history["nonfinite_fraction"] == [0, 0, 1, 1, 1]
    assert steps(tmp_path, "curvature-detail/nonfinite_fraction") == [0, 1, 2, 3, 4]
    assert monitor.reports[""].verdict.kind == "not finite"
    assert "No second derivative is finite" in text(tmp_path, "curvature-summary/in_words")


PLENTY = 2**20


class Greedy(keras.layers.Layer):
    """An identity that asks for a petabyte if it is told to, outside of training."""

    def build(self, shape):
        plenty = keras.initializers.Constant(PLENTY)
        self.limit = self.add_weight((), plenty, dtype="int32", trainable=False)

    def call(self, x, training=False):
        if training:
            return x
        greedy = tf.shape(x)[0] > tf.convert_to_tensor(self.limit)
        return x + tf.fill([tf.where(greedy, tf.constant(2**48, tf.int64), 1)], 0.0)[0]


@pytest.mark.slow
def test_memory_that_really_runs_out_is_made_do_with():
    """TensorFlow's own error, from the middle of a compiled derivative."""

    def trained(limit, monitor):
        model = keras.Sequential([keras.Input((2,)), greedy := Greedy(), *network().layers])
        model.compile("adam", "mse")
        short = During(lambda: greedy.limit.assign(limit), lambda: greedy.limit.assign(PLENTY))
        return left_behind(*train(short, monitor, model=model))

    enough = kc.CurvatureMonitor(PROBE)
    tight, none = (kc.CurvatureMonitor(PROBE, on_error="warn") for _ in range(2))
    as_it_was = trained(PLENTY, enough)
    with pytest.warns(UserWarning, match="memory ran out.*2 examples at a time"):
        # A line between two points is looked at in 32 rows, so that two of them do not fit.
        assert_same(trained(60, tight), as_it_was)
    assert tight.faults == ()
    # The same float32 numbers from other batches.
    assert tight.history["mean"] == pytest.approx(enough.history["mean"], rel=1e-5)
    with pytest.warns(UserWarning, match="does not suffice for one example"):
        assert_same(trained(0, none), as_it_was)
    np.testing.assert_array_equal(np.isnan(none.history["mean"]), [0, 0, 1, 1, 0])


@pytest.mark.slow
@pytest.mark.parametrize("directions", [None, 4], ids=["exact", "estimates"])
def test_too_little_memory_is_made_do_with_and_said(directions, tmp_path, monkeypatch, alone):
    enough = kc.CurvatureMonitor(PROBE, directions=directions)
    train(enough)
    monitor = kc.CurvatureMonitor(PROBE, tmp_path, directions=directions)
    original = Evaluator.function

    def tight(evaluator, *given, **arranged):
        return exhausted_above(3)(evaluator, original(evaluator, *given, **arranged), ())

    short = During(lambda: monkeypatch.setattr(Evaluator, "function", tight), monkeypatch.undo)
    with pytest.warns(UserWarning, match="memory ran out.*2 examples at a time"):
        watched = left_behind(*train(short, monitor))
    assert_same(watched, alone)
    for name in ("mean", "rms", "scale_rms", "slope_change"):
        # The same float32 numbers from other batches.
        assert monitor.history[name] == pytest.approx(enough.history[name], rel=1e-5), name
    assert any("as few as 2 examples at a time" in line for line in monitor.reports[""].method)
    assert "memory ran out" in text(tmp_path, "curvature-summary/in_words")


@pytest.mark.slow
def test_an_interrupt_in_the_middle_passes_and_closes_the_log(tmp_path, monkeypatch):
    monitor = kc.CurvatureMonitor(PROBE, tmp_path, on_error="warn")

    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)  # as Ctrl-C does
        raise AssertionError("unreachable")

    broken = During(lambda: monkeypatch.setattr(ExactMeasurer, "_on_segments", interrupt))
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored behind `nohup`
    try:
        with pytest.raises(KeyboardInterrupt):
            train(broken, monitor)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert monitor._training.writer is None
    assert monitor.history["step"] == steps(tmp_path) == [0, 1]
    monkeypatch.undo()
    train(monitor, model=broken.model, initial_epoch=1)
    assert monitor.history["step"] == steps(tmp_path) == [0, 1, 2, 3, 4]


@contextlib.contextmanager
def small_disk(where, options):
    where.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_a_full_disk_costs_only_what_does_not_fit(tmp_path, alone):
    disk = tmp_path / "disk"
    with small_disk(disk, "size=2m"):
        ballast = disk / "ballast"
        monitor = kc.CurvatureMonitor(PROBE, disk, on_error="warn")

        def fill():
            with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
                while file.write(bytes(512)):
                    pass

        with pytest.warns(UserWarning, match=r"could not write the log.*No space left"):
            watched = left_behind(*train(During(fill, ballast.unlink), monitor))
        assert_same(watched, alone)
        assert np.isfinite(monitor.history["mean"]).all()
        shown = steps(disk)
        # The page that the file has begun may take one more step.
        assert shown in ([0, 1, 4], [0, 1, 2, 4])
        assert "No space left" in text(disk, "curvature-summary/faults")
        assert all(path.stat().st_size for path in (disk / "curvature").iterdir())


@pytest.mark.slow
def test_a_file_system_that_really_turns_read_only(tmp_path, alone):
    """Another one is mounted over the log's: one with open files cannot be turned read-only."""
    log = tmp_path / "log"
    monitor = kc.CurvatureMonitor(PROBE, log, on_error="warn")
    with contextlib.ExitStack() as mounted:
        turned = During(lambda: mounted.enter_context(small_disk(log, "ro")), mounted.close)
        with pytest.warns(UserWarning, match=r"could not write the log.*Read-only file system"):
            watched = left_behind(*train(turned, monitor))
    assert_same(watched, alone)
    assert np.isfinite(monitor.history["mean"]).all()
    # Step 2 went into the file that was open before that file was missed.
    assert steps(log) in ([0, 1, 4], [0, 1, 2, 4])
    assert "Read-only file system" in text(log, "curvature-summary/faults")


def test_a_user_function_that_fails_does_so_before_the_first_batch():
    def lost(x):
        raise LookupError("no such file")

    for given in ({"output": lost}, {"reference": lost}):
        for on_error in ("raise", "warn"):
            monitor = kc.CurvatureMonitor(PROBE, on_error=on_error, **given)
            model = network()
            with pytest.raises(LookupError, match="no such file"):
                train(monitor, model=model)
            assert model.optimizer.iterations == 0


def test_a_probe_stays_what_it_was(alone):
    x, reference = PROBE.copy(), np.ones((8, 1, 2))
    monitor = kc.CurvatureMonitor(x, reference=reference)

    def spoil():
        x[:], reference[:] = np.nan, np.nan

    assert_same(left_behind(*train(During(spoil), monitor)), alone)
    assert np.isfinite(monitor.history["mean"]).all()
    assert np.isfinite(monitor.history["reference_rmse"]).all()
    with pytest.raises(ValueError, match="read-only"):
        monitor.probe.x[:] = np.nan


def failing():
    yield PROBE
    raise RuntimeError("the tape broke")


def endless():
    while True:
        yield np.zeros((2**16, 2), "float32")


SPEC = tf.TensorSpec([None, 2], tf.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [(failing, "failed after 1 batches.*tape broke"), (endless, "has no end")],
)
def test_a_dataset_that_fails_or_never_ends_is_no_probe(make, message, monkeypatch):
    monkeypatch.setattr(batches, "LARGEST", 2**22)
    dataset = tf.data.Dataset.from_generator(make, output_signature=SPEC)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        kc.CurvatureMonitor(dataset)
