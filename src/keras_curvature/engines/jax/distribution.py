"""Models and processes among several, which JAX tells by the arrays' own sharding."""

from __future__ import annotations

from typing import Any

import jax


def is_mirrored(model: Any) -> bool:
    """Never: no strategy of Keras's has copies of variables here."""
    return False


def writes_logs(model: Any) -> bool:
    """Whether this process writes: the first one."""
    return bool(jax.process_index() == 0)
