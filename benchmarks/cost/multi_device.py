"""What a monitor's probe takes on one device, and shared out over two.

The two devices are CPU cores: an op runs on one of them (one thread to an op), so that a second
device adds what a second device has. Each in a process of its own, in turns.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import statistics
import subprocess
import sys
import time

ROUNDS, REPEATS = 3, 5


def dense(keras):
    """The network of `monitor_cost.py`, and its probe."""
    hidden = [keras.layers.Dense(256, "tanh") for _ in range(3)]
    return keras.Sequential([keras.Input((10,)), *hidden, keras.layers.Dense(1)]), 256


def convolutional(keras):
    """A small network for pictures of 32 x 32, and its probe."""
    layers = keras.layers
    hidden = [layers.Conv2D(32, 3, activation="gelu", padding="same") for _ in range(4)]
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(1)]
    return keras.Sequential([keras.Input((32, 32, 3)), *hidden, *ends]), 32


NETWORKS = {"dense, 256 points": dense, "convolutional, 32 points": convolutional}


def measure(name, devices):
    """Prints seconds of one measurement."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_curvature.engines.options import Options
    from keras_curvature.measurement.estimated import EstimatedMeasurer
    from keras_curvature.measurement.exact import ExactMeasurer
    from keras_curvature.measurement.probe import make_probe

    tf.config.threading.set_intra_op_parallelism_threads(1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    with strategy.scope():
        model, points = NETWORKS[name](keras)
    shape = (points, *model.input_shape[1:])
    probe = make_probe(np.random.default_rng(0).normal(size=shape).astype("float32"))
    if len(shape) == 2:  # a few inputs: exact, as the monitor measures them
        measurer = ExactMeasurer(model, probe, options=Options())
    else:
        measurer = EstimatedMeasurer(
            model, probe, options=Options(), directions=8, why="it is wide"
        )
    measurer.measure()
    for _ in range(REPEATS):
        begin = time.perf_counter()
        measurer.measure()
        print(time.perf_counter() - begin)


def main():
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]))
        return
    print("| probe | devices | ms, median | least | most |")
    print("|---|---|---|---|---|")
    for name in NETWORKS:
        seconds = {1: [], 2: []}
        for _ in range(ROUNDS):
            for devices, found in seconds.items():
                command = [sys.executable, __file__, name, str(devices)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found.extend(map(float, output.split()))
        for devices, found in seconds.items():
            milliseconds = [1e3 * of(found) for of in (statistics.median, min, max)]
            figures = " | ".join(f"{figure:.0f}" for figure in milliseconds)
            print(f"| {name} | {devices} | {figures} |")


if __name__ == "__main__":
    main()
