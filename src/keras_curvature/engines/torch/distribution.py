"""Models and processes among several, as PyTorch's own package has them."""

from __future__ import annotations

from typing import Any

from torch import distributed


def is_mirrored(model: Any) -> bool:
    """Never: each process has one copy of the variables."""
    return False


def writes_logs(model: Any) -> bool:
    """Whether this process writes: the first one."""
    several = distributed.is_available() and distributed.is_initialized()
    return not several or distributed.get_rank() == 0
