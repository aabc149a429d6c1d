"""Has a recorder see all that PyTorch does, and refuses what leads out of its sight."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from keras_curvature.engines.torch import gradient_overrides, softmax_functions
from keras_curvature.engines.torch.recorder import Recorder
from keras_curvature.engines.torch.refusals import DependsOnNumbersError

OURS = {gradient_overrides.__name__, softmax_functions.__name__}
"""Modules of functions that are recorded by what their values are made of: whoever runs that puts
their derivatives in place again."""


_lock = threading.RLock()


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Has a recorder see all that PyTorch does here, and what leads out of its sight refused."""
    apply, detach, numpy = (
        torch.autograd.Function.apply,
        torch.Tensor.detach,
        torch.Tensor.numpy,
    )
    to_list = torch.Tensor.tolist

    def applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs or cls.__module__ in OURS or cls.__module__.partition(".")[0] == "torch":
            return apply.__func__(cls, *args, **kwargs)
        return recorder.apply(cls, args)

    def detached(self: torch.Tensor) -> torch.Tensor:
        with recorder.meant():
            return detach(self)

    def refusing(original: Callable[..., Any], word: str) -> Callable[..., Any]:
        def refuse(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if recorder.is_dependent(self):
                raise DependsOnNumbersError(
                    f"The model makes {word} of a tensor that depends on its inputs or weights, "
                    "through which no derivative passes. Write it with `keras.ops` or `torch`."
                )
            return original(self, *args, **kwargs)

        return refuse

    with _lock, contextlib.ExitStack() as stack:
        for owner, name, instead in (
            (torch.autograd.Function, "apply", classmethod(applied)),
            (torch.Tensor, "detach", detached),
            (torch, "detach", detached),
            (torch.Tensor, "numpy", refusing(numpy, "a NumPy array")),
            (torch.Tensor, "__array__", refusing(torch.Tensor.__array__, "a NumPy array")),
            (torch.Tensor, "tolist", refusing(to_list, "a list")),
        ):
            stack.enter_context(mock.patch.object(owner, name, instead))
        stack.enter_context(recorder)
        try:
            yield
        finally:
            recorder.restore()
