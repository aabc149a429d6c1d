"""A training that is killed in the middle of a write, and the one that resumes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_curvature as kc
from watched import PROBE, events, network, steps, train

TRAINING = """
import sys
from pathlib import Path
import keras
import keras_curvature as kc
from watched import PROBE, network, train

log, backup, epochs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
resumable = keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False)
monitor = kc.CurvatureMonitor(PROBE, log)
train(resumable, monitor, epochs=epochs)
print(monitor.history["step"])
"""


def process(log, backup, epochs):
    # The package that is tested, wherever it was imported from.
    package = Path(kc.__file__).parents[1]
    path = os.pathsep.join([str(package), str(Path(__file__).parents[2] / "tests" / "support")])
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(log), str(backup), str(epochs)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < until, "nothing was written"


@pytest.mark.slow
def test_killed_and_resumed_it_is_one_curve(tmp_path):
    log, backup = tmp_path / "log", tmp_path / "backup"
    first = process(log, backup, 10_000)
    try:
        wait_for(lambda: (log / "curvature").is_dir() and len(steps(log)) > 5, first)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    before = steps(log)
    assert before == list(range(len(before)))
    last = before[-1] + 4
    again = process(log, backup, last)
    own = again.communicate()[0]
    assert again.returncode == 0
    assert steps(log) == list(range(last + 1))
    start = int(own.strip("[]\n").split(",")[0])
    assert 0 < start <= before[-1] + 1  # it did not begin anew


@pytest.mark.slow
def test_restored_from_a_backup_in_the_same_process(tmp_path):
    """The numbers are those of the training that was not broken off."""
    whole = kc.CurvatureMonitor(PROBE)
    train(whole, epochs=5)

    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise InterruptedError("preempted")

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    monitor = kc.CurvatureMonitor(PROBE, tmp_path / "log")
    model = network()
    with pytest.raises(InterruptedError):
        train(backup(), monitor, Break(), model=model, epochs=5)
    train(backup(), monitor, model=model, epochs=5)
    assert monitor.history["step"] == steps(tmp_path / "log") == [0, 1, 2, 3, 4, 5]
    # Up to the break the same training; after it Keras draws other random numbers.
    assert monitor.history["mean"][:4] == whole.history["mean"][:4]


@pytest.mark.slow
def test_going_back_to_an_earlier_backup_forgets_what_came_after(tmp_path):
    monitor = kc.CurvatureMonitor(PROBE, tmp_path)
    model, _ = train(monitor, epochs=5)
    model, _ = train(monitor, model=model, epochs=4, initial_epoch=2)
    assert monitor.history["step"] == steps(tmp_path) == [0, 1, 2, 3, 4]
    assert {len(values) for values in monitor.history.values()} == {5}
    assert [at for at, _ in monitor._pictures.scale_profiles[""]] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_new_monitor_resumes_the_curve_with_the_same_directions_and_scales(tmp_path):
    one, two = (kc.CurvatureMonitor(PROBE, tmp_path / "two") for _ in range(2))
    model, _ = train(one, epochs=2)
    train(two, model=model, epochs=4, initial_epoch=2)
    assert one.history["step"] + two.history["step"] == [0, 1, 2, 2, 3, 4]
    assert steps(tmp_path / "two") == [0, 1, 2, 3, 4]
    for name, values in one.history.items():
        if name != "seconds":
            np.testing.assert_array_equal(values[-1], two.history[name][0], err_msg=name)
    assert one.reports[""].method == two.reports[""].method


@pytest.mark.parametrize("freq", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_second_fit_keeps_count_of_the_epochs_that_were_not_measured(freq, tmp_path):
    monitor = kc.CurvatureMonitor(PROBE, tmp_path, freq=freq)
    model, _ = train(monitor, epochs=freq + 1)
    train(monitor, model=model, epochs=freq)
    assert monitor.history["step"] == steps(tmp_path) == [0, 1, freq, freq + 2, 2 * freq + 1]


@pytest.mark.slow
def test_every_tag_is_continued_and_described_again(tmp_path):
    monitor = kc.CurvatureMonitor(PROBE, tmp_path)
    model, _ = train(monitor, epochs=1)
    train(monitor, model=model, epochs=2, initial_epoch=1)
    found = events(tmp_path)
    for tag in found.Tags()["tensors"]:
        if tag.startswith(("curvature-picture", "curvature-summary", "curvature-tab/diagnosis")):
            continue  # as time allows
        # What stands for the whole run is once in each file.
        once = tag == "curvature-tab/probe" or tag.startswith("custom_scalars")
        assert [event.step for event in found.Tensors(tag)] == ([0, 2] if once else [0, 1, 2]), tag
