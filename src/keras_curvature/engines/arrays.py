"""Array maths on the backend's tensors, under NumPy's names, in the dtype that they have.

Not `keras.ops`: its type promotion makes float32 of float64 on JAX and PyTorch.
"""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.active_backend import own_module

xp: Any = own_module("arrays")
"""`engines/<backend>/arrays.py`, which has the same names for each."""
