"""Has a recorder see all that PyTorch does, and refuses what leads out of its sight."""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

from keras_curvature.engines.torch import gradient_overrides, softmax_functions
from keras_curvature.engines.torch.recorder import Recorder
from keras_curvature.engines.torch.refusals import DependsOnNumbersError, NotTracedError

OURS = {gradient_overrides.__name__, softmax_functions.__name__}
"""Modules of functions that are recorded by what their values are made of: whoever runs that puts
their derivatives in place again."""


ATTENTION = torch.nn.functional.scaled_dot_product_attention

ABSORBING = -1e30
"""Added to a score, a number of at most this leaves nothing of it, in float64 either."""

_lock = threading.RLock()


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Has a recorder see all that PyTorch does here, and what leads out of its sight refused."""
    detach, numpy, to_list = torch.Tensor.detach, torch.Tensor.numpy, torch.Tensor.tolist

    def applied(apply: Callable[..., Any], cls: Any, args: Any, kwargs: Any) -> Any:
        if kwargs or cls.__module__ in OURS or cls.__module__.partition(".")[0] == "torch":
            return apply(cls, *args, **kwargs)
        if torch._C._are_functorch_transforms_active():
            raise NotTracedError(
                f"The model applies {cls.__name__}, an `autograd.Function`, inside of a "
                "transformation of `torch.func`, where the gradient that its author wrote is out "
                "of sight. Apply it to a whole batch, and take gradients of it with "
                "`torch.autograd.grad(..., create_graph=True)`."
            )
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
            (torch.Tensor, "detach", detached),
            (torch, "detach", detached),
            (torch.Tensor, "numpy", refusing(numpy, "a NumPy array")),
            (torch.Tensor, "__array__", refusing(torch.Tensor.__array__, "a NumPy array")),
            (torch.Tensor, "tolist", refusing(to_list, "a list")),
        ):
            stack.enter_context(mock.patch.object(owner, name, instead))
        stack.enter_context(_applying(applied))
        stack.enter_context(_Attention())
        stack.enter_context(recorder)
        try:
            yield
        finally:
            recorder.restore()


HOOK = "_keras_curvature_applied"
"""The name of what stands for `autograd.Function.apply`, in the module of that."""


def _code() -> types.CodeType:
    """That of a method that calls the hook; with a cell for `super`, as the one in its place."""
    __class__ = torch.autograd.Function

    def instead(cls: Any, *args: Any, **kwargs: Any) -> Any:
        assert issubclass(cls, __class__)
        return _keras_curvature_applied(cls, args, kwargs)  # type: ignore[name-defined]  # noqa: F821

    return instead.__code__


@contextlib.contextmanager
def _applying(applied: Callable[..., Any]) -> Iterator[None]:
    """Has `applied` called for all applications of an `autograd.Function`.

    Those through `square = Square.apply` too, as most people write it: a name that was bound before
    would not see another attribute of the class. The code of the one method is another one here.
    """
    method = torch.autograd.Function.apply.__func__
    own = types.FunctionType(
        method.__code__, method.__globals__, "apply", method.__defaults__, method.__closure__
    )
    before = method.__code__
    method.__globals__[HOOK] = functools.partial(applied, own)
    method.__code__ = _code()
    try:
        yield
    finally:
        method.__code__ = before
        del method.__globals__[HOOK]


class _Attention(TorchFunctionMode):
    """Scores that a mask leaves nothing of are 0 before it is added.

    Keras adds a large negative number to what a query may not see. Where it sees nothing, the sums
    are that number, whatever the scores are; the slope of the addition says otherwise.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is ATTENTION:
            given = {
                **dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)),
                **kwargs,
            }
            mask = given.get("attn_mask")
            if mask is not None and mask.is_floating_point():
                query = given["query"]
                blind = torch.amax(mask, -1, keepdim=True) <= ABSORBING
                given["query"] = torch.where(blind, torch.zeros_like(query), query)
                return ATTENTION(
                    **given, **dict(zip(("dropout_p", "is_causal"), args[4:], strict=False))
                )
        return function(*args, **kwargs)
