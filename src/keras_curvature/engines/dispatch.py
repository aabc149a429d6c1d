"""The engines side by side, and which of them computes what."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines import chunking
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.activity import NotDifferentiableError, Place
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.finite_difference import FiniteDifference
from keras_curvature.engines.options import ENGINE_NAMES
from keras_curvature.engines.quantities import BY_REVERSE_MODE, HESSIAN, PRODUCT, highest_order
from keras_curvature.engines.traced_function import TracedFunction

nested = own_module("nested")
own_derivative = own_module("backend_second_derivative")
taylor = own_module("taylor.engine")

ENGINES: dict[str, Engine[Any]] = {
    engine.name: engine for engine in (taylor.Taylor(), nested.Nested(), FiniteDifference())
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


def choose(asked: str, f: TracedFunction, names: Collection[str]) -> EngineChoice:
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
    order = highest_order(names)
    fallbacks = taylor.fallbacks(f, order > 2)
    series = f"exact, by power series up to order {order}"
    if asked != "auto":
        used = fallbacks if asked == "taylor" else ()
        why = series if asked == "taylor" and order > 2 else ENGINES[asked].why
        return EngineChoice(asked, f"asked for: {why}", used)
    if HESSIAN in names and (why := taylor.why_no_adjoint(f)):
        return EngineChoice("nested", f"a whole Hessian {why} takes fewer passes")
    if set(names) == {PRODUCT}:
        return EngineChoice("nested", "one product takes one reverse pass over another")
    return EngineChoice("taylor", series if order > 2 else ENGINES["taylor"].why, fallbacks)


def _against_taylor(f: TracedFunction, names: Collection[str], asked: str) -> str:
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


@contextlib.contextmanager
def naming_what_is_missing(f: TracedFunction) -> Iterator[None]:
    """Says in the user's words where the backend has no second derivative."""
    try:
        yield
    except (LookupError, NotImplementedError, RuntimeError) as error:
        found = re.search(own_derivative.NO_GRADIENT, str(error))
        if found is None:
            raise
        missing = found.group(1)
        places = [place for place in f.activity.active if missing.startswith(place.op_type)]
        raise NotDifferentiableError(
            f"{own_derivative.NAME} has no second derivative for "
            f"{places[-1] if places else missing} ({missing} has no gradient). Replace the op, or "
            'use `engine="finite_difference"`, which needs first derivatives only.',
            places[-1:],
        ) from error
