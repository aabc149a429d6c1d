"""From a Keras model to the flat program of one call of it in inference mode."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import torch
from keras.src.backend.torch.core import DEFAULT_DEVICE, get_device
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from keras_curvature.engines.columns import Subset, subset_of
from keras_curvature.engines.keras_calls import (
    LIBRARIES,
    called,
    raised_in,
    require_tensors,
    tap_message,
    tapping,
    unnoticed,
)
from keras_curvature.engines.masks import packed
from keras_curvature.engines.programs.program import Program, Slot
from keras_curvature.engines.programs.ties import on_one_side
from keras_curvature.engines.programs.trace import SOME, Trace
from keras_curvature.engines.programs.unselected_values import with_guards
from keras_curvature.engines.torch import arrays
from keras_curvature.engines.torch.compilation import outside
from keras_curvature.engines.torch.recorder import Recorder
from keras_curvature.engines.torch.recording import recording


def declared_specs(inputs: Sequence[Any]) -> list[arrays.Spec]:
    """Of a model's symbolic inputs, with some examples."""
    return [arrays.spec((t.shape[0] or SOME, *t.shape[1:]), t.dtype) for t in inputs]


def numbers_kept() -> AbstractContextManager[None]:
    """What PyTorch draws behind this is what it would have drawn without it."""
    device = torch.device(DEFAULT_DEVICE)
    kept: AbstractContextManager[None]
    kept = torch.random.fork_rng([device] if device.type == "cuda" else [])
    return kept


@contextlib.contextmanager
def _without_fast_paths() -> Iterator[None]:
    """Keeps PyTorch's attention layers from kernels for inference, which have no derivative."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is traced here is recorded by nobody else, and draws no numbers from anybody's."""
    with (
        outside(),  # there are no numbers where Keras looks for shapes
        temporarily_clear_interpreter_stack(),
        numbers_kept(),
        torch.inference_mode(False),
        torch.no_grad(),
        _without_fast_paths(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        yield


NOT_UNDER_AUTOGRAD = (
    "Inference tensor",
    "automatic differentiation",
    "require grad",
    "requires grad",
)
"""What PyTorch says of operations that it does not do where it keeps gradients."""


def trace(
    model: Callable[..., Any],
    specs: Sequence[Any],
    structure: Any,
    select: Callable[[Any], Any],
    tap: str | int | None = None,
    *,
    columns: Sequence[int] | None = None,
    masked: Sequence[int] = (),
    training: bool = False,
    tracked: bool = True,
) -> Trace:
    """Traces `select(model(inputs))`, on numbers that are made up.

    Args:
        model: a Keras model or layer, a `torch.nn.Module`, or any function of a tensor.
        specs: one per flattened input, and one per mask; tensors where their numbers count.
        structure: the inputs' structure, anything in place of the leaves.
        select: applied to the model's output.
        tap: name of a layer, or index of an input some of whose columns are differentiated by.
        columns: of what is tapped; the others are held. `None` for all of a layer's output.
        masked: for each mask, the index of the input that it is of.
        training: the mode in which a Keras model is called.
        tracked: whether autograd sees it, as it may be asked for gradients inside.
    """
    variables = list(model.variables) if isinstance(model, keras.Layer) else []
    buffers = list(model.buffers()) if isinstance(model, torch.nn.Module) else []
    recorder = Recorder(buffers)
    taps: list[Slot] = []
    noted: list[Subset | None] = []
    refused = False

    def marked(tensor: Any) -> Any:
        copy = tensor.clone()
        taps.append(recorder.source_of(copy))
        return copy

    def tapped(whole: Any, what: str) -> Any:
        if columns is None or not whole.is_floating_point():
            noted.append(None)
            return marked(whole)
        subset = subset_of(columns, tuple(whole.shape), what)
        chosen = marked(torch.stack([whole[:, i] for i in subset.indexes], dim=1))
        noted.append(subset)
        parts = [whole[:, i] for i in range(subset.count)]
        for place, i in enumerate(subset.indexes):
            parts[i] = chosen[:, place]
        return torch.stack(parts, dim=1)

    with unnoticed(model), undisturbed(), keras.StatelessScope():
        with torch.no_grad():
            leaves = [_made_up(spec) for spec in specs]
        arguments = [recorder.argument(leaf) for leaf in leaves]
        for variable in variables:
            recorder.weight(arrays.holder_of(variable))
        try:
            with recording(recorder), torch.set_grad_enabled(tracked):
                given = [_of_autograd(leaf) if tracked else leaf for leaf in leaves]
                if isinstance(tap, int):
                    given[tap] = tapped(given[tap], "the input")
                inputs = packed(structure, given, masked)
                with tapping(model, tap, lambda y: tapped(y, f"the output of {tap!r}")):
                    outputs = select(called(model, inputs, training))
                require_tensors(outputs)
                found = [
                    recorder.source_of(keras.ops.convert_to_tensor(y))
                    for y in keras.tree.flatten(outputs)
                ]
        except Exception as error:
            if not (tracked and any(words in str(error) for words in NOT_UNDER_AUTOGRAD)):
                _explain(error, model)
                raise
            refused = True
    if refused:
        return trace(
            model,
            specs,
            structure,
            select,
            tap,
            columns=columns,
            masked=masked,
            training=training,
            tracked=False,
        )
    if tap is not None and len(taps) != 1:
        raise ValueError(tap_message(tap, len(taps)))
    weights = list(recorder.weights.values())
    by_tensor = {id(arrays.holder_of(v)): v for v in variables}
    sided = on_one_side(recorder.instructions(), recorder.negated)
    instructions = with_guards(sided, found)
    return Trace(
        program=Program(
            (*(slot for _, slot in weights), *arguments),
            tuple(found),
            recorder.avals,
            tuple(instructions),
        ),
        weights=tuple(slot for _, slot in weights),
        variables=tuple(by_tensor.get(id(tensor), tensor) for tensor, _ in weights),
        inputs=tuple(arguments),
        tap=taps[0] if taps else None,
        outputs=tuple(found),
        structure=keras.tree.map_structure(lambda _: None, outputs),
        subset=noted[0] if noted else None,
        constants=(),
        decisions=tuple(recorder.decisions),
    )


def _made_up(spec: Any) -> torch.Tensor:
    """Numbers at which most functions are smooth; a token that every embedding has.

    Of a tensor its own.
    """
    if isinstance(spec, torch.Tensor):
        return spec.detach().clone()
    dtype = arrays.dtype_of(spec.dtype)
    if not dtype.is_floating_point:
        return torch.zeros(spec.shape, dtype=dtype, device=get_device())
    count = torch.Size(spec.shape).numel()
    numbers = torch.linspace(0.25, 0.75, count, device=get_device()).to(dtype)
    return numbers.reshape(spec.shape)


def _of_autograd(leaf: torch.Tensor) -> torch.Tensor:
    """What a model may ask autograd about, and write to, as it might to a result of another one."""
    return leaf.requires_grad_().clone() if leaf.is_floating_point() else leaf


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The numbers of a tensor without the transformations of PyTorch around it."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.detach()


def _explain(error: Exception, model: Callable[..., Any]) -> None:
    """Raises what it means that a model or function could not be traced, where that is known."""
    library = raised_in(error)
    if library:
        raise TypeError(
            f"{model!r} hands what it is given to {LIBRARIES[library]}, through which no "
            "derivative passes. Write it with `keras.ops` or `torch`; a model made for TensorFlow "
            "is differentiated with KERAS_BACKEND=tensorflow."
        ) from error
