"""What an `autograd.Function` is given while it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_curvature.engines.torch.refusals import NotTracedError


class Context:
    """Stands for what `autograd.Function` hands to `forward` and to `backward`."""

    def __init__(self, needed: Sequence[bool]) -> None:
        """Makes one for arguments of which some are tensors."""
        self.needs_input_grad = tuple(needed)
        self.saved_tensors: tuple[Any, ...] = ()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors."""
        self.saved_tensors = tensors

    save_for_forward = save_for_backward

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Nothing to be done."""

    def mark_dirty(self, *tensors: Any) -> None:
        """Refused: the arguments are copies here.

        Raises:
            NotTracedError: always.
        """
        raise NotTracedError(
            "The model applies an `autograd.Function` that changes its input in place "
            "(`mark_dirty`). Have its `forward` give a new tensor."
        )

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing to be done: there is a gradient by every output."""
