"""Looking at a model while JAX traces, where a batch has no numbers yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def seen_by(look: Callable[..., bool], f: Any, leaves: Sequence[Any], most: int) -> bool:
    """Nothing is seen: the weights have no numbers either."""
    return False
