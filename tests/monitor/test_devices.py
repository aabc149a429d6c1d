"""The monitor on several devices of one process, and in several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_curvature as kc
from watched import steps

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WORKER, ON_THREE = (ROOT / "tests" / "support" / name for name in ("worker.py", "mirrored.py"))
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(kc.__file__).parents[1]),
    "CUDA_VISIBLE_DEVICES": "-1",
}

MIRRORED = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras_curvature as kc
from keras_curvature.engines.tensorflow import distribution

X = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")
Y = np.sin(X[:, :1])

def trained(*callbacks):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    model.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model

probe = X[:8], Y[:8]
alone, together = kc.CurvatureMonitor(probe), kc.CurvatureMonitor(probe, sys.argv[1])
trained(alone)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    model, unwatched = trained(together), trained()
for a, b in zip(model.get_weights(), unwatched.get_weights()):
    np.testing.assert_array_equal(a, b)
for name, values in alone.history.items():
    if name != "seconds":
        np.testing.assert_allclose(together.history[name], values, 1e-4, 1e-6, err_msg=name)

batches = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(X).batch(8))
step = tf.function(lambda x: strategy.run(lambda x: kc.laplacian(model, x), args=(x,)))
parts = [part.numpy() for x in batches for part in strategy.experimental_local_results(step(x))]
assert len(parts) == 8
np.testing.assert_allclose(np.concatenate(parts), kc.laplacian(model, X), rtol=1e-4, atol=1e-6)

# The numbers are those of what is saved: the first device's averages.
with strategy.scope():
    normalised = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(8, "tanh"), keras.layers.BatchNormalization()]
    )
    normalised.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
normalised.fit(X, np.repeat(Y, 8, axis=1), batch_size=8, verbose=0)
averages = strategy.experimental_local_results(normalised.layers[1].moving_mean.value)
assert np.abs(averages[0].numpy() - averages[1].numpy()).max() > 1e-6
saved = keras.models.clone_model(normalised)
saved.set_weights(normalised.get_weights())
for compute in (kc.hessian, kc.scale_curvature, lambda *given: kc.laplacian(*given, directions=4)):
    np.testing.assert_allclose(compute(normalised, X[:7]), compute(saved, X[:7]), 1e-4, 1e-6)

assert distribution.is_mirrored(normalised) and not distribution.is_mirrored(saved)
print("the same")
"""


def test_a_mirrored_model_has_the_numbers_of_one_device_and_one_log(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == "the same", done.stderr[-3000:]
    assert steps(tmp_path) == [0, 1, 2]
    assert len(list((tmp_path / "curvature").iterdir())) == 1


def test_a_mirrored_model_stands_odd_numbers_faults_and_every_way_of_calling(tmp_path):
    path = os.pathsep.join(
        [ENVIRONMENT["PYTHONPATH"], str(Path(__file__).parents[2] / "tests" / "support")]
    )
    done = subprocess.run(
        [sys.executable, str(ON_THREE), str(tmp_path)],
        env=ENVIRONMENT | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.stdout.strip() == "all of it", done.stderr[-3000:]


def free_port():
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return probing.getsockname()[1]


def start(*arguments, task=None):
    environment = ENVIRONMENT if task is None else ENVIRONMENT | {"TF_CONFIG": json.dumps(task)}
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(given, *more_for_the_second):
    cluster = {"worker": [f"127.0.0.1:{free_port()}" for _ in range(2)]}
    return [
        start(given, *more, task={"cluster": cluster, "task": {"type": "worker", "index": i}})
        for i, more in enumerate([(), more_for_the_second])
    ]


def ended(process, seconds=240):
    """Its output and errors; one that hangs is killed and fails the test."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def test_two_workers_give_the_numbers_of_one_process_and_the_first_writes(tmp_path):
    alone = start(tmp_path / "alone", "--alone")
    workers = start_two(tmp_path / "log")
    outputs = [ended(process) for process in (alone, *workers)]
    for process, (_, errors) in zip((alone, *workers), outputs, strict=True):
        assert process.returncode == 0, errors[-3000:]
    expected, *found = (json.loads(output.splitlines()[-1]) for output, _ in outputs)
    for name, values in expected.items():
        for history in found if name != "seconds" else []:
            # float32, added up in another order
            np.testing.assert_allclose(history[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    assert steps(tmp_path / "log") == [0, 1, 2, 3]
    assert len(list((tmp_path / "log" / "curvature").iterdir())) == 1


def test_a_worker_that_dies_is_an_error_for_the_others_and_no_hang(tmp_path):
    first, second = start_two(tmp_path, "--killed-at", "1")
    _, errors = ended(first)
    ended(second)
    assert second.returncode == -9
    assert first.returncode != 0
    assert "worker" in errors
    assert steps(tmp_path)[:2] == [0, 1]


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="keras#20585: `fit` fails by itself")
def test_keras_fits_with_two_workers():
    """Red as soon as Keras does: docs/long-runs.md and worker.py can use `fit` then."""
    workers = start_two("--fit", "--fit")
    errors = [ended(process)[1] for process in workers]
    assert all(not process.returncode for process in workers), errors[0][-3000:]


def test_the_example_of_a_large_probe_finds_the_same_with_one_and_with_two_processes():
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "large_probe.py"), "--points", "20000"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["1", "2"]
