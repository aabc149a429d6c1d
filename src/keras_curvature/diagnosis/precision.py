"""Layers of a float64 model that compute in fewer digits."""

from __future__ import annotations

from typing import Any

import keras

from keras_curvature.diagnosis.activations import layers_of
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines.api import xp
from keras_curvature.engines.backend import narrow
from keras_curvature.report.text import listed


def below_float64(s: Subject) -> list[Finding]:
    """The finding that layers whose dtype policy is float64 compute in a narrower dtype."""
    f = s.bound.f
    if f.native != xp.dtype_of("float64"):
        return []
    places = [place for place in narrow(f) if _is_in_float64(s.model, place.layer)]
    if not places:
        return []
    names = list(dict.fromkeys(repr(p.layer) if p.layer else str(p) for p in places))
    counted, verb = (
        ("1 part", "computes") if len(names) == 1 else (f"{len(names)} parts", "compute")
    )
    return [
        Finding(
            kind="below float64",
            where=listed(names),
            layers=layers_of(places),
            found=f"{counted} with the dtype policy float64 {verb} in a narrower dtype: "
            f"{listed(names, len(names))}.",
            meaning="Where the model itself is called, in training and `predict` too, and in "
            "derivatives that the backend itself takes, what these compute has about 7 digits. The "
            "type promotion of Keras does it on JAX and PyTorch, elsewhere a cast in the layer. "
            "The functions and the monitor of this library evaluate them in float64, and so does "
            "`DerivativeOutput`, the value and training included.",
            advice="Nothing for what this library computes. To train or predict in float64 take "
            "the value from `DerivativeOutput(net, ['value', ...])`, or write these parts with the "
            "backend's own ops, such as `jax.numpy` or `torch`; if 7 digits are enough, make the "
            "model float32, which is faster.",
            size=float(len(names)),
        )
    ]


def _is_in_float64(model: Any, layer: str) -> bool:
    """Whether a layer of this name, or the model around if there is none, means float64."""
    if not isinstance(model, keras.Layer):
        return False  # the policies of what a function calls are not known
    named = [found for found in model._flatten_layers() if found.name == layer]
    return any(found.compute_dtype == "float64" for found in named or [model])
