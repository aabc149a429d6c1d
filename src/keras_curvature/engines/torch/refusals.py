"""What the recorder cannot follow, in words."""

from __future__ import annotations


class NotTracedError(RuntimeError):
    """The model does what is not known here.

    No TypeError: `x += y` makes words of its own of those.
    """


class DependsOnNumbersError(NotTracedError):
    """The model makes something else than a tensor of what depends on its inputs."""
