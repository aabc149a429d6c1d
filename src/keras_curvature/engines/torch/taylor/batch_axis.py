"""Which of ATen's operations keep the examples along the first axis, in order."""

from __future__ import annotations

from collections.abc import Callable, Collection

from keras_curvature.engines.programs.program import Operation
from keras_curvature.engines.torch.memory import READ, WRITE

Test = Callable[[Operation, Collection[int]], bool]


def dims_of(operation: Operation, name: str = "dim", rank: int | None = None) -> tuple[int, ...]:
    """The axes that an operation is told, from 0 on; all of them where it is told none."""
    given = operation.params.get(name)
    rank = len(operation.avals[0].shape) if rank is None else rank
    if given is None or given == []:
        return tuple(range(rank))
    dims = given if isinstance(given, (list, tuple)) else (given,)
    return tuple(dim % max(rank, 1) for dim in dims)


def _apart(name: str = "dim", more: int = 0) -> Test:
    """Whether the first axis is none of those that an operation is told."""

    def test(operation: Operation, reached: Collection[int]) -> bool:
        return 0 not in dims_of(operation, name, len(operation.avals[0].shape) + more)

    return test


def _never(operation: Operation, reached: Collection[int]) -> bool:
    return False


def _left_alone(operation: Operation, reached: Collection[int]) -> bool:
    return 1 not in reached


def _sliced(operation: Operation, reached: Collection[int]) -> bool:
    p, n = operation.params, operation.avals[0].shape[0]
    whole = (p["start"] or 0) == 0 and (p["end"] is None or p["end"] >= n) and p["step"] == 1
    return 0 not in dims_of(operation) or whole


def _swapped(operation: Operation, reached: Collection[int]) -> bool:
    rank = len(operation.avals[0].shape)
    return 0 not in (operation.params["dim0"] % rank, operation.params["dim1"] % rank)


def _repeated(operation: Operation, reached: Collection[int]) -> bool:
    repeats = operation.params["repeats"]
    return bool(len(repeats) == len(operation.avals[0].shape) and repeats[0] == 1)


def _indexed(operation: Operation, reached: Collection[int]) -> bool:
    """Whether the examples are not among what is chosen by index, and stay in front."""
    first = operation.primitive.args[1][0]
    return first is None


def _diagonal(operation: Operation, reached: Collection[int]) -> bool:
    rank = len(operation.avals[0].shape)
    return 0 not in (operation.params["dim1"] % rank, operation.params["dim2"] % rank)


KEEPING: dict[str, Test] = {
    **dict.fromkeys(
        ("_log_softmax", "_softmax", "amax", "amin", "cat", "cummax", "cummin", "cumsum", "gather",
         "index_select", "max", "mean", "min", "select", "slice_scatter", "select_scatter", "sort",
         "split", "split_with_sizes", "squeeze", "sum", "topk", "unbind", "scatter", "scatter_add",
         "index_add", "logcumsumexp"),
        _apart(),
    ),
    **dict.fromkeys(("stack", "unsqueeze"), _apart(more=1)),
    **dict.fromkeys(("flip", "roll"), _apart("dims")),
    **dict.fromkeys(("convolution", "mm"), _left_alone),
    **dict.fromkeys((READ, WRITE, "as_strided", "as_strided_scatter", "t"), _never),
    "constant_pad_nd": lambda op, reached: len(op.params["pad"]) < 2 * len(op.avals[0].shape),
    "diagonal": _diagonal,
    "embedding": lambda op, reached: 0 not in reached,
    "index": _indexed,
    "index_put": _indexed,
    "permute": lambda op, reached: op.params["dims"][0] % len(op.params["dims"]) == 0,
    "repeat": _repeated,
    "slice": _sliced,
    "transpose": _swapped,
}  # fmt: skip
"""From an operation and the inputs that depend on the point to whether the examples stay."""
