"""What the other packages use of the backend's own: functions, traces, graphs.

The one door for what is a backend's; another backend comes in by it.
"""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.keras_calls import unnoticed
from keras_curvature.engines.supported_backend import own_module

MODULES = {
    "FlatFunction": "flat_function",
    "Interpreter": "interpreter",
    "NotAsTracedError": "own_call",
    "activity_of": "activity_analysis",
    "datasets_behind": "private",
    "flatten": "flat_function",
    "keeps_examples_apart": "running",
    "layer_of": "activity_analysis",
    "not_converted": "compilation",
    "require_as_traced": "own_call",
    "require_eager": "compilation",
    "run": "interpreter",
    "switches": "linear_regions",
    "tiled": "first_derivatives",
    "trace": "tracing",
    "unobserved": "compilation",
    "unoptimised": "compilation",
    "value_and_jacobian": "first_derivatives",
}
"""The modules of `engines/<backend>/` that have them."""

__all__ = ["unnoticed"]


def __getattr__(name: str) -> Any:
    """What a backend has under a name."""
    if name == "first_derivatives":
        return own_module(name)
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(own_module(MODULES[name]), name)
