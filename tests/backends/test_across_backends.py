"""A model saved on one backend says the same on TensorFlow, and the other way round."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import across

ON_TENSORFLOW = """
import pathlib, sys
import numpy as np
import across
folder, does = pathlib.Path(sys.argv[1]), sys.argv[2]
np.savez(folder / "tensorflow.npz", **getattr(across, does)(folder))
"""


def on_tensorflow(folder, does):
    """The numbers of a folder's models there, which it may have to save first."""
    path = os.pathsep.join([str(Path(across.__file__).parent), *sys.path])
    subprocess.run(
        [sys.executable, "-c", ON_TENSORFLOW, str(folder), does],
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": path},
        check=True,
        timeout=300,
    )
    return np.load(folder / "tensorflow.npz")


SLOW = [pytest.mark.slow]
"""Both ways on PyTorch: half a minute, and the models are saved by the same code."""


@pytest.mark.parametrize(
    "saved_on",
    [
        pytest.param("here", marks=SLOW if os.environ["KERAS_BACKEND"] == "torch" else []),
        pytest.param("tensorflow", marks=SLOW),
    ],
)
def test_a_saved_model_has_the_same_numbers_on_the_other_backend(saved_on, tmp_path):
    if saved_on == "here":
        here = across.saved(tmp_path)
        there = on_tensorflow(tmp_path, "numbers")
    else:
        there = on_tensorflow(tmp_path, "saved")
        here = across.numbers(tmp_path)
    assert set(here) == set(there.files)
    for name, found in here.items():
        # `predict` is float32, with sums in another order.
        tolerance = 1e-4 if name.startswith("predicted") else 1e-6
        size = np.abs(there[name]).max()
        np.testing.assert_allclose(found, there[name], rtol=0, atol=tolerance * size, err_msg=name)
        assert size > 1e-3
