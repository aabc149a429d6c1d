"""What a model computed on one example, step by step: what other packages read a program from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.activity import Place


@dataclass(frozen=True, eq=False)
class ComputedStep:
    """One op of a model as it was run.

    Attributes:
        op: the op in the trace; its attributes are read there.
        reads: what it reads, by names of results; `None` for what no step has written.
        inputs: the numbers that it read.
        writes: the names of its results.
        outputs: the numbers that it wrote.
        again: runs the op once more, on other inputs.
        place: the op, and the layer that it is in.
    """

    op: Any
    reads: tuple[Hashable | None, ...]
    inputs: tuple[Any, ...]
    writes: tuple[Hashable, ...]
    outputs: tuple[Any, ...]
    again: Callable[[Sequence[Any]], Sequence[Any]]
    place: Place


@dataclass(frozen=True, eq=False)
class Computed:
    """What a model computed on one example.

    Attributes:
        steps: in order.
        sources: the names of what it is differentiated by.
        results: the names of its outputs.
        values: their numbers.
    """

    steps: tuple[ComputedStep, ...]
    sources: tuple[Hashable, ...]
    results: tuple[Hashable, ...]
    values: tuple[Any, ...]
