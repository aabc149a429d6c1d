"""What PyTorch does with a computation: when it has numbers, in which precision, out of memory."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from keras.src.backend.torch.core import DEFAULT_DEVICE, device_scope, get_device
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from keras_curvature.engines.torch import arrays

OUT_OF_MEMORY = (RuntimeError, MemoryError)
"""What is raised where the memory runs out, and for other reasons: see `ran_out`.

`torch.OutOfMemoryError`, which is a `RuntimeError`, is of GPUs alone: on a CPU it is a plain one.
"""

SAID = (
    "DefaultCPUAllocator: ",  # "can't allocate memory" or, on Windows, "not enough memory"
    "MPS backend out of memory",
    "_STATUS_ALLOC_FAILED",  # of NVIDIA's libraries
)
"""By which a plain `RuntimeError` is known as one of memory."""

F = TypeVar("F", bound=Callable[..., Any])


def ran_out(error: BaseException) -> bool:
    """Whether an error of `OUT_OF_MEMORY` tells of too little memory."""
    known = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return known or any(words in str(error) for words in SAID)


def saying(what: str, error: BaseException) -> Exception:
    """The error with words before its own."""
    return torch.OutOfMemoryError(f"{what}: {error}")


def inside_xla() -> bool:
    """Whether XLA compiles a batch of unknown size: never, there is none here."""
    return False


@contextlib.contextmanager
def unobserved(*, differentiable: bool = False) -> Iterator[None]:
    """What is done here is recorded by nobody.

    Args:
        differentiable: but for gradients by the weights and the inputs.
    """
    with contextlib.nullcontext() if differentiable else torch.no_grad():
        yield


class RoundingUp(TorchDispatchMode):
    """Has all results rounded up."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation."""
        output = func(*args, **(kwargs or {}))
        if func.is_view or func._schema.is_mutable:
            return output
        return pytree.tree_map_only(torch.Tensor, _rounded_up, output)


def _rounded_up(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor + arrays.eps(tensor.dtype) * torch.abs(tensor)


@contextlib.contextmanager
def rounding_otherwise() -> Iterator[None]:
    """What is called here comes to the same by other roundings."""
    with RoundingUp():
        yield


@contextlib.contextmanager
def unoptimised() -> Iterator[None]:
    """PyTorch does what it is told, op by op: there is nothing to leave out."""
    yield


def keeps_float64() -> bool:
    """Whether arrays of float64 are tensors of float64: always."""
    return True


@contextlib.contextmanager
def computing_in(dtype: Any) -> Iterator[None]:
    """Computes in the dtype that tensors have, and so that results can be differentiated.

    Not in the narrower one of a user's `torch.autocast`, and not in `torch.inference_mode()`, whose
    tensors no derivative can be taken by: in `torch.no_grad()` instead.

    Raises:
        ValueError: for float64 where the device has none.
    """
    device = torch.device(get_device())
    if arrays.dtype_of(dtype) == torch.float64:
        require_float64(device)
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        for kind in {device.type, "cpu"} - {"meta"}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@functools.cache
def require_float64(device: torch.device) -> None:
    """Makes a number in it, once."""
    try:
        torch.ones((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError) as error:  # that of Apple's has none
        raise ValueError(
            f"float64 is needed here, and the device {device} does not compute in it. Run on the "
            "CPU, KERAS_TORCH_DEVICE=cpu; or ask for what takes float32 alone: the functions with "
            "`dtype=None`."
        ) from error


@contextlib.contextmanager
def as_the_user_computes() -> Iterator[None]:
    """As it is: `computing_in` changes no dtype of what the user's code makes."""
    yield


def is_eager(tensors: Any = ()) -> bool:
    """Whether there are numbers: PyTorch traces nothing here, and Keras looks for no shapes."""
    if torch.compiler.is_dynamo_compiling():
        return False
    made_here = torch.zeros((), device=get_device())
    return all(map(arrays.has_numbers, (made_here, *pytree.tree_leaves(tensors))))


def require_eager(function: str) -> None:
    """Raises ValueError while PyTorch traces: what a function does next depends on numbers."""
    levels = torch._C._functorch.get_interpreter_stack() or ()
    mapped = any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)
    if mapped or not is_eager():
        raise ValueError(
            f"`{function}` must be called eagerly, as what it does depends on the data. Received: "
            "a call while PyTorch or Keras traces, as `torch.vmap` and `torch.export` do. Call it "
            "outside, or in a Keras callback."
        )


def not_converted(function: F) -> F:
    """Keeps `torch.compile` from tracing what is called in a function of the user's.

    It is called as it stands, between two compiled parts: what it does hangs on caches, on objects
    of Keras's and on the data, of which a trace knows nothing.
    """
    kept: F = torch.compiler.disable(function)
    return kept


REFUSALS = (IndexError, RuntimeError, TypeError, ValueError)
"""What a model raises for inputs that it does not take: PyTorch's own is a `RuntimeError`."""


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """What is done here has numbers, also where Keras looks for shapes or PyTorch traces."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_disable_current_modes())
        if torch.device(get_device()).type == "meta":
            stack.enter_context(device_scope(DEFAULT_DEVICE))
        yield


LAYERS_HAVE_METRICS = True
"""Whether Keras lets a layer update a metric while it is called in training."""
