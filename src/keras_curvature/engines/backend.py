"""What the other packages use of the backend's own: functions, traces, graphs.

The one door for what is TensorFlow's; another backend comes in by it.
"""

from __future__ import annotations

from keras_curvature.engines.tensorflow import first_derivatives
from keras_curvature.engines.tensorflow.activity_analysis import activity_of, layer_of
from keras_curvature.engines.tensorflow.compilation import not_converted, require_eager
from keras_curvature.engines.tensorflow.first_derivatives import tiled, value_and_jacobian
from keras_curvature.engines.tensorflow.flat_function import FlatFunction, flatten
from keras_curvature.engines.tensorflow.interpreter import Interpreter, run
from keras_curvature.engines.tensorflow.linear_regions import switches
from keras_curvature.engines.tensorflow.own_call import NotAsTracedError, require_as_traced
from keras_curvature.engines.tensorflow.private import datasets_behind, unobserved, unoptimised
from keras_curvature.engines.tensorflow.taylor.batch_independence import examples_apart
from keras_curvature.engines.tensorflow.tracing import trace, unnoticed

__all__ = [
    "FlatFunction",
    "Interpreter",
    "NotAsTracedError",
    "activity_of",
    "datasets_behind",
    "examples_apart",
    "first_derivatives",
    "flatten",
    "layer_of",
    "not_converted",
    "require_as_traced",
    "require_eager",
    "run",
    "switches",
    "tiled",
    "trace",
    "unnoticed",
    "unobserved",
    "unoptimised",
    "value_and_jacobian",
]
