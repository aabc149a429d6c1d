"""What the recorder cannot follow, in words."""

from __future__ import annotations


class NotTracedError(RuntimeError):
    """The model does what is not known here.

    No TypeError: `x += y` makes words of its own of those.
    """


def changes_memory(name: str) -> NotTracedError:
    """What is said of an operation that changes what lies under other tensors."""
    return NotTracedError(
        f"The model calls `torch.{name}`, which changes memory under other tensors: there "
        "is no derivative of that. Write it so that it gives a new tensor."
    )


class DependsOnNumbersError(NotTracedError):
    """The model makes something else than a tensor of what depends on its inputs."""
