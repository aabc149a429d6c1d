"""What of a model must be as it was for a trace of it to hold."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


def fingerprint(model: Any) -> Hashable:
    """Its layers and how they are configured."""
    layers = model._flatten_layers()
    return tuple((id(layer), layer.trainable, len(layer.variables)) for layer in layers)
