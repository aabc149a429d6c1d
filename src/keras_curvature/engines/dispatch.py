"""The engines side by side, and which of them computes what."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_curvature.engines import chunking, finite_difference
from keras_curvature.engines.activity import NotDifferentiableError, Place
from keras_curvature.engines.from_products import (
    along_by_products,
    by_products,
    groups_by,
    trace_by_products,
)
from keras_curvature.engines.options import ENGINE_NAMES
from keras_curvature.engines.quantities import (
    ALONG_AXES,
    BY_REVERSE_MODE,
    HESSIAN,
    PRODUCT,
    Along,
    Compute,
    Groups,
    RowProducts,
    Trace,
)
from keras_curvature.engines.tensorflow import batch_splitting, nested
from keras_curvature.engines.tensorflow.function import FlatFunction
from keras_curvature.engines.tensorflow.taylor import engine as taylor


def _never(f: FlatFunction, directions: int) -> float:
    return math.inf


def _all_axes(f: FlatFunction, names: Collection[str]) -> int:
    return f.inputs.width if ALONG_AXES & set(names) else 1


@dataclass(frozen=True)
class Engine:
    """A way to compute second derivatives.

    Attributes:
        name: as in `engine=`.
        quantities: computes named derivatives.
        mean_along: computes the mean curvature along several directions.
        each_along: computes slope and curvature along each of several directions.
        mean_in_groups: computes the means of both over groups of directions.
        row_products: multiplies Hessians with directions that differ between outputs.
        in_float64: whether it needs float64 inside to be exact enough.
        repeats_examples: whether every output of an example takes a row of its own.
        why: what it is good for, as a clause.
        directions: how many directions it goes through for named derivatives.
        halves: from how many examples on, with so many directions each, it is faster in halves.
    """

    name: str
    quantities: Compute
    mean_along: Trace
    each_along: Along
    mean_in_groups: Groups
    row_products: RowProducts
    in_float64: bool
    repeats_examples: bool
    why: str
    directions: Callable[[FlatFunction, Collection[str]], int] = _all_axes
    halves: Callable[[FlatFunction, int], float] = _never

    def plan(self, f: FlatFunction, names: Collection[str]) -> tuple[int, int]:
        """Examples and directions that go through at once within the memory budget."""
        # A row carries its point and its direction besides the activations.
        rows = chunking.rows_at_once(f.activity.activations + 2 * f.inputs.width, f.dtype)
        per_example = f.outputs.width if self.repeats_examples else 1
        return chunking.plan(rows, per_example, self.directions(f, names))

    def halved_from(self, f: FlatFunction, names: Collection[str]) -> float:
        """From how many examples on named derivatives are faster in halves."""
        directions = self.directions(f, names)
        if ALONG_AXES & set(names) and directions < f.inputs.width:
            return math.inf  # the axes of a narrow beginning would be looked for twice
        return self.halves(f, directions)

    def compute(
        self,
        f: FlatFunction,
        z: tf.Tensor,
        rest: Sequence[tf.Tensor],
        v: tf.Tensor | None,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, tf.Tensor]:
        """Named derivatives, see `quantities.Compute`.

        Raises:
            ValueError: for an op that TensorFlow cannot differentiate as often as needed.
        """
        with self._naming_what_is_missing(f):
            return self.quantities(f, z, rest, v, names, directions_at_once)

    def trace(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> tf.Tensor:
        """The mean of `vᵀHv` over directions `(k, n, d)`, shape `(n, m)`.

        Raises:
            ValueError: as `compute`.
        """
        with self._naming_what_is_missing(f):
            return self.mean_along(f, z, rest, directions)

    def along(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Slope and curvature along each of `(k, n, d)`, see `quantities.Along`.

        Raises:
            ValueError: as `compute`.
        """
        with self._naming_what_is_missing(f):
            return self.each_along(f, z, rest, directions)

    def groups(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Means over groups of directions `(g, k, n, d)`, see `quantities.Groups`.

        Raises:
            ValueError: as `compute`.
        """
        with self._naming_what_is_missing(f):
            return self.mean_in_groups(f, z, rest, directions)

    def rows_along(self, f: FlatFunction) -> int:
        """How many rows, each with a direction of its own, fit into memory at once."""
        activity, d = f.activity, f.inputs.width
        if self.repeats_examples:
            rows = chunking.rows_at_once(activity.activations + 4 * d, f.dtype)
            return max(1, rows // f.outputs.width)
        return chunking.rows_forward(activity.activations, activity.widest, d, f.dtype)

    def products(
        self,
        f: FlatFunction,
        rows: tf.Tensor,
        others: Sequence[tf.Tensor],
        seeds: tf.Tensor,
        directions: tf.Tensor,
    ) -> tf.Tensor:
        """Hessian-vector products of rows that are one output each, see `nested.row_products`.

        Raises:
            ValueError: as `compute`.
        """
        with self._naming_what_is_missing(f):
            return self.row_products(f, rows, others, seeds, directions)

    @contextlib.contextmanager
    def _naming_what_is_missing(self, f: FlatFunction) -> Iterator[None]:
        try:
            yield
        except LookupError as error:
            missing = str(error).rpartition(" ")[2]
            places = [place for place in f.activity.active if missing.startswith(place.op_type)]
            raise NotDifferentiableError(
                f"TensorFlow has no second derivative for {places[-1] if places else missing} "
                f"({missing} has no gradient), which the {self.name!r} engine needs. Replace the "
                'op, or use `engine="finite_difference"`, which needs first derivatives only.',
                places[-1:],
            ) from error


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "taylor",
            taylor.compute,
            taylor.trace,
            taylor.along,
            taylor.in_groups,
            nested.row_products,
            in_float64=False,
            repeats_examples=False,
            why="exact, by second-order Taylor propagation",
            directions=taylor.directions,
            halves=batch_splitting.least_examples,
        ),
        Engine(
            "nested",
            by_products(nested.hessian_rows),
            trace_by_products(nested.hessian_rows),
            along_by_products(nested.hessian_rows),
            groups_by(along_by_products(nested.hessian_rows)),
            nested.row_products,
            in_float64=False,
            repeats_examples=True,
            why="exact, and covers whatever TensorFlow can differentiate twice",
        ),
        Engine(
            "finite_difference",
            by_products(finite_difference.hessian_rows),
            trace_by_products(finite_difference.hessian_rows),
            along_by_products(finite_difference.hessian_rows),
            groups_by(along_by_products(finite_difference.hessian_rows)),
            finite_difference.row_products,
            in_float64=True,
            repeats_examples=True,
            why="differences of exact gradients in float64, independent of second-order rules",
        ),
    )
}
assert tuple(ENGINES) == ENGINE_NAMES


@dataclass(frozen=True)
class EngineChoice:
    """Which engine computes, and why.

    Attributes:
        name: the engine.
        reason: why it was chosen.
        fallbacks: ops without a rule, which the Taylor engine asks TensorFlow about one
            direction at a time: exact, but slower.
    """

    name: str
    reason: str
    fallbacks: tuple[Place, ...] = ()

    def __str__(self) -> str:
        """The choice as a sentence."""
        text = f"engine {self.name!r}: {self.reason}"
        if self.fallbacks:
            text += "; one direction at a time through " + ", ".join(map(str, self.fallbacks))
        return text


def choose(asked: str, f: FlatFunction, names: Collection[str]) -> EngineChoice:
    """Settles `engine="auto"`: Taylor propagation, unless it would do more work.

    The nested engine is taken for whole Hessians of models with loops, branches, ops
    without a rule, or more outputs than `taylor.ADJOINTS`, where Taylor propagation takes a
    direction for every pair of inputs, where only a Hessian-vector product is wanted, and for
    what Taylor propagation cannot do: loops that a model's own tapes differentiate, and tensors
    of unknown rank, as it puts an axis behind the batch's.

    Raises:
        NotDifferentiableError: for Taylor propagation through a loop's derivative.
        ValueError: for Taylor propagation through a tensor of unknown rank.
    """
    if f.batch is not None:
        return _repeating(asked, f.batch)
    if asked in ("auto", "taylor") and (reason := _against_taylor(f, names, asked)):
        return EngineChoice("nested", reason)
    fallbacks = taylor.fallbacks(f)
    if asked != "auto":
        used = fallbacks if asked == "taylor" else ()
        return EngineChoice(asked, f"asked for: {ENGINES[asked].why}", used)
    if HESSIAN in names and not taylor.has_adjoint(f):
        reason = "a whole Hessian through loops, branches or many outputs takes fewer passes"
        return EngineChoice("nested", reason)
    if set(names) == {PRODUCT}:
        return EngineChoice("nested", "one product takes one reverse pass over another")
    return EngineChoice("taylor", ENGINES["taylor"].why, fallbacks)


def _against_taylor(f: FlatFunction, names: Collection[str], asked: str) -> str:
    """Why Taylor propagation cannot compute these quantities, or `""`.

    Raises:
        ValueError: if it is asked for.
    """
    if unsuited := taylor.unsuited(f):
        if asked == "auto":
            return f"there is no Taylor propagation through {unsuited[0]}"
        raise NotDifferentiableError(
            f"There is no Taylor propagation through {unsuited[0]}, in which the derivative of a "
            'loop is kept. Use `engine="auto"` or `engine="nested"`.',
            unsuited,
        )
    if f.activity.rankless and not set(names) <= BY_REVERSE_MODE:
        where = f"the graph does not know the rank of the result of {f.activity.rankless[0]}"
        if asked == "auto":
            return where
        raise ValueError(
            f"`engine='taylor'` must know how many axes each tensor has, and {where}. Set it with "
            "`tf.ensure_shape`, or leave the choice to `engine='auto'`."
        )
    return ""


def _repeating(asked: str, batch: int) -> EngineChoice:
    """For a model that takes `batch` examples at a time: what repeats them all in their places.

    Raises:
        ValueError: if Taylor propagation is asked for, which does not.
    """
    size = f"the model takes {chunking.counted(batch)} at a time"
    if asked == "taylor":
        raise ValueError(
            f"`engine='taylor'` needs a model that takes any number of examples, and {size}. Use "
            "`engine='nested'`, which is what 'auto' does."
        )
    if asked == "auto":
        return EngineChoice("nested", f"{size}, and this engine can keep them in their places")
    return EngineChoice(asked, f"asked for: {ENGINES[asked].why}")


def needs_float64(asked: str) -> bool:
    """Whether the model has to be evaluated in float64 for this `engine=`."""
    return asked != "auto" and ENGINES[asked].in_float64
