"""Several devices on JAX: weights laid out over a mesh are measured as they are on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

ON_A_MESH = """
import json, sys
import keras, numpy as np, keras_curvature as kc

kind, folder = sys.argv[1:]
devices = keras.distribution.list_devices()
assert len(devices) == 4
if kind == "data":
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
if kind == "model":
    mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"), devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout["a.*kernel"], layout["a.*bias"] = (None, "model"), ("model",)
    layout["b.*kernel"] = ("model", None)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
x = np.random.default_rng(0).uniform(-1, 1, (128, 3)).astype("float32")
y = np.sin(2 * x[:, :1]) * x[:, 1:2]
ends = []
for watched in (False, True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((3,)), keras.layers.Dense(16, "tanh", name="a"),
        keras.layers.BatchNormalization(), keras.layers.Dropout(0.1),
        keras.layers.Dense(16, "tanh", name="b"), keras.layers.Dense(1),
    ])
    model.compile("adam", "mse")
    monitor = kc.CurvatureMonitor((x[:33], y[:33]), log_dir=folder)
    callbacks = [monitor] if watched else []
    model.fit(x, y, epochs=2, batch_size=64, verbose=0, callbacks=callbacks)
    ends.append([np.asarray(v) for v in model.variables])
print(json.dumps({
    "same": all(map(np.array_equal, *ends)),
    "rms": monitor.history["rms"],
    "kinds": monitor.diagnosis.kinds,
    "faults": len(monitor.faults),
}))
"""


@pytest.mark.slow
def test_a_mesh_changes_nothing(tmp_path):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    found = {}
    for kind in ("none", "data", "model"):
        command = [sys.executable, "-c", ON_A_MESH, kind, tmp_path / kind]
        run = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
        found[kind] = json.loads(run.stdout.splitlines()[-1])
        assert found[kind]["same"], kind
        assert found[kind]["faults"] == 0, kind
        # The sums over a batch have another order where its parts lie on several devices.
        assert found[kind]["rms"] == pytest.approx(found["none"]["rms"], rel=1e-4), kind
        assert found[kind]["kinds"] == found["none"]["kinds"], kind
