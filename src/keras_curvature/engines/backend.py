"""What the other packages use of the backend's own: functions, traces, graphs.

The one door for what is a backend's; another backend comes in by it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from keras_curvature.engines.active_backend import BACKEND, own_module
from keras_curvature.engines.keras_calls import called, unnoticed, variables_are_elsewhere

MODULES = {
    "FlatFunction": "flat_function",
    "REFUSALS": "compilation",
    "LAYERS_HAVE_METRICS": "compilation",
    "activity_of": "activity_analysis",
    "as_the_user_computes": "compilation",
    "computed_steps": "computed_steps",
    "computing_in": "compilation",
    "declared_specs": "tracing",
    "dependence_by_input": "intermediates",
    "flatten": "flat_function",
    "inside": "intermediates",
    "is_eager": "compilation",
    "keeps_examples_apart": "running",
    "keeps_float64": "compilation",
    "narrow": "intermediates",
    "outside": "compilation",
    "random_in_training": "noise",
    "require_eager": "compilation",
    "results_of": "intermediates",
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

__all__ = [
    "BACKEND",
    "callables_of",
    "called",
    "not_converted",
    "tensorflow_datasets",
    "unnoticed",
    "variables_are_elsewhere",
    "ways_of",
]


def tensorflow_datasets() -> ModuleType:
    """What reads datasets of TensorFlow, on every backend: whoever has one has TensorFlow."""
    return importlib.import_module("keras_curvature.engines.tensorflow.datasets")


FRAMEWORKS = ("tensorflow", "jax", "torch")
"""Those with ways of their own to a second derivative, also where Keras runs on another."""


def ways_of(framework: str) -> ModuleType:
    """The ways of a framework to second derivatives, its `WAYS`; it may be any that is installed.

    Raises:
        ImportError: where it is not.
    """
    return importlib.import_module(f"keras_curvature.engines.{framework}.ways")


def callables_of(framework: str) -> ModuleType:
    """How functions of a framework are called from outside; it may be any that is installed."""
    return importlib.import_module(f"keras_curvature.engines.{framework}.callables")


F = TypeVar("F", bound=Callable[..., Any])


def not_converted(function: F) -> F:
    """Keeps a backend from rewriting a function that is called in a function of the user's.

    Here and not among `MODULES`, which have no types: a type checker knows the decorated function.
    """
    kept: F = own_module("compilation").not_converted(function)
    return kept


def __getattr__(name: str) -> Any:
    """What a backend has under a name."""
    if name in ("first_derivatives", "backend_second_derivative"):
        return own_module(name)
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(own_module(MODULES[name]), name)
