"""What the other packages use of the backend's own: functions, traces, graphs.

The one door for what is a backend's; another backend comes in by it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from keras_curvature.engines.keras_calls import unnoticed
from keras_curvature.engines.supported_backend import BACKEND, own_module

MODULES = {
    "FlatFunction": "flat_function",
    "REFUSALS": "compilation",
    "Interpreter": "interpreter",
    "LAYERS_HAVE_METRICS": "compilation",
    "activity_of": "activity_analysis",
    "computing_in": "compilation",
    "declared_specs": "tracing",
    "dependence_by_input": "intermediates",
    "flatten": "flat_function",
    "inside": "intermediates",
    "is_eager": "compilation",
    "keeps_examples_apart": "running",
    "layer_of": "activity_analysis",
    "outside": "compilation",
    "random_in_training": "noise",
    "require_eager": "compilation",
    "results_of": "intermediates",
    "run": "interpreter",
    "switches_of": "linear_regions",
    "tiled": "first_derivatives",
    "trace": "tracing",
    "unobserved": "compilation",
    "unoptimised": "compilation",
    "value_and_jacobian": "first_derivatives",
    "watched": "intermediates",
    "writes_logs": "distribution",
}
"""The modules of `engines/<backend>/` that have them."""

__all__ = ["not_converted", "only_on_tensorflow", "tensorflow_datasets", "unnoticed"]


def tensorflow_datasets() -> ModuleType:
    """What reads datasets of TensorFlow, on every backend: whoever has one has TensorFlow."""
    return importlib.import_module("keras_curvature.engines.tensorflow.datasets")


F = TypeVar("F", bound=Callable[..., Any])


def not_converted(function: F) -> F:
    """Keeps a backend from rewriting a function that is called in a function of the user's.

    Here and not among `MODULES`, which have no types: a type checker knows the decorated function.
    """
    kept: F = own_module("compilation").not_converted(function)
    return kept


def __getattr__(name: str) -> Any:
    """What a backend has under a name."""
    if name in ("first_derivatives", "own_second_derivative"):
        return own_module(name)
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(own_module(MODULES[name]), name)
    except (AttributeError, ImportError):
        if BACKEND == "tensorflow":
            raise
        return type(name, (_NotHere,), {})


class _NotHere:
    """Stands for what a backend has not yet; who needs it says so first, see `only_on`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"There is no {type(self).__name__!r} on {BACKEND!r}.")


def only_on_tensorflow(what: str) -> None:
    """Raises NotImplementedError on another backend, which has not all as yet."""
    if BACKEND != "tensorflow":
        raise NotImplementedError(
            f"{what} needs Keras's backend 'tensorflow' as yet. Received: {BACKEND!r}, on which "
            "there are the derivatives' functions, `scale_curvature`, `estimate`, `engine_choice`, "
            "`DerivativeOutput`, `CurvaturePenalty` and `ShapePenalty`. Save the model, set "
            "KERAS_BACKEND=tensorflow and load it there."
        )
