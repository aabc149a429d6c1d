"""What the engine knows of one tensor: how it changes along the directions, twice.

Along a direction `v`, `f(x + tv) = y + t y' + t²/2 y'' + …`; `y'` is called `first` and
`y''` `second` (Griewank and Walther, Evaluating Derivatives, chapter 13). Both are *stacks*:
tensors with one more axis in front, one slice per direction. `second` has a single slice
where it is summed over the directions.

A stack whose batch axis has length 1 while the tensor's has not holds for all examples: so
do the derivatives before the first nonlinearity, where no example needs work of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keras_curvature.engines.arrays import xp
from keras_curvature.typing import Tensor

Pair = tuple[int, int]


class Base:
    """The stacks that elementwise functions are built upon.

    Attributes:
        second: shape `(directions or 1, *shape)`, or `None` for 0.
        is_identity: whether `first` is the unit vectors `(d, 1, d)`, and a product with a
            matrix the matrix.
    """

    def __init__(
        self,
        first: Tensor | Pending,
        second: Tensor | None = None,
        is_identity: bool = False,
    ) -> None:
        """Keeps them.

        Args:
            first: the first derivatives, or what works them out if they are asked for: nobody
                does behind the last nonlinearity where the second ones alone are wanted.
            second: the second ones.
            is_identity: as above.
        """
        self._first = first
        self._squares: Tensor | None = None
        if isinstance(first, Pending) and xp.DROPS_WHAT_IS_NOT_USED:
            self._work_out(first)
        self.second = second
        self.is_identity = is_identity

    @property
    def pending(self) -> Pending | None:
        """What works the first derivatives out, if nobody has asked for them yet."""
        return self._first if isinstance(self._first, Pending) else None

    def _work_out(self, pending: Pending) -> None:
        self._first, self._squares = pending.parts()

    def parts(self) -> Sequence[Tensor]:
        """The first derivatives along some directions, and along others."""
        if isinstance(self._first, Pending):
            self._work_out(self._first)
        return self._first if isinstance(self._first, list) else [self._first]

    @property
    def first(self) -> Tensor:
        """The first derivatives, `(directions, *shape)`."""
        parts = self.parts()
        self._first = parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=0)
        return self._first

    def sum_of_squares(self) -> Tensor:
        """Of the first derivatives over the directions."""
        self.parts()
        known = self._squares  # not kept if it is not: in a branch of a graph it is of that alone
        return xp.sum_of_squares_over_directions(self.first) if known is None else known


class Pending:
    """First derivatives that are worked out when they are asked for, from others.

    Where they come of one stack only, some directions after others can go through all that is
    done to them, so that what is on the way stays in a CPU's caches.
    """

    def __init__(
        self, like: Tensor, bases: Sequence[Base], *functions: Callable[..., Tensor]
    ) -> None:
        """Says from what.

        Args:
            like: of the size of what is on the way for one direction.
            bases: whose first derivatives they come of.
            functions: the first one of all of them, the others of its result one after the other;
                each treats the directions alike.
        """
        self.like = like
        self.bases = bases
        self.functions = functions

    def then(self, function: Callable[[Tensor], Tensor]) -> Pending:
        """The same, and one more function."""
        return Pending(self.like, self.bases, *self.functions, function)

    def parts(self) -> tuple[list[Tensor], Tensor | None]:
        """The stack in parts, and the sum of its squares where that is known."""

        def whole(*stacks: Tensor) -> Tensor:
            first, *others = self.functions
            found = first(*stacks)
            for function in others:
                found = function(found)
            return found

        if len(self.bases) == 1:
            found: tuple[list[Tensor], Tensor | None]
            found = xp.in_turns(whole, self.bases[0].parts(), self.like)
            return found
        return [whole(*(base.first for base in self.bases))], None


@dataclass(frozen=True, eq=False)
class Composite:
    """An elementwise function of bases, which may be narrower than it and are broadcast.

    A chain of elementwise ops costs numbers of the tensor's own size only: its derivatives
    are multiplied with the stacks once, at its end.

    Attributes:
        bases: what it is a function of.
        slopes: its first derivative by each; `None` for 1.
        bends: its second derivatives by pairs `i <= j` of them; others are 0.
    """

    bases: tuple[Base, ...]
    slopes: tuple[Tensor | None, ...]
    bends: Mapping[Pair, Tensor]


@dataclass(eq=False)
class Jet:
    """A tensor's derivatives.

    Attributes:
        value: the tensor.
        of: its derivatives where they are worked out, or the function that it is of others.
    """

    value: Tensor
    of: Base | Composite

    @property
    def base(self) -> Base:
        """The derivatives of a jet that a mode has settled."""
        assert isinstance(self.of, Base)
        return self.of

    @property
    def composite(self) -> Composite:
        """The function; of itself, where its derivatives are worked out."""
        return Composite((self.of,), (None,), {}) if isinstance(self.of, Base) else self.of


def times(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """`a * b`, where `None` is 1."""
    if a is None:
        return b
    return a if b is None else a * b


def scaled(stack: Tensor, factor: Tensor | None) -> Tensor:
    """Every slice of a stack times a tensor of its size, where `None` is 1."""
    return stack if factor is None else xp.scaled(stack, factor)


def plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """`a + b`, where `None` is 0."""
    if a is None:
        return b
    return a if b is None else a + b


def is_shared(stack: Tensor, value: Tensor) -> bool:
    """Whether a stack of `value` holds one slice for all examples."""
    return bool(value.ndim) and stack.shape[1] == 1 and value.shape[0] != 1


def sizes(tensor: Tensor, start: int = 0) -> list[int | Tensor]:
    """The sizes of a tensor's axes from `start` on, as numbers where they are known."""
    known = list(tensor.shape[start:])
    if None not in known:
        return known
    actual = xp.lengths(tensor)
    return [actual[start + i] if size is None else size for i, size in enumerate(known)]


def spread(stack: Tensor, value: Tensor) -> Tensor:
    """The stack with all axes of `value` in full."""
    if not is_shared(stack, value):
        return stack
    return xp.broadcast_to(stack, [stack.shape[0], *sizes(value)])


def lift(stack: Tensor, rank: int) -> Tensor:
    """The stack of a tensor that is broadcast to `rank` axes."""
    missing = rank + 1 - stack.ndim
    if missing == 0:
        return stack
    return xp.reshape(stack, [stack.shape[0], *[1] * missing, *sizes(stack, 1)])


def stretch(stack: Tensor, value: Tensor) -> Tensor:
    """The stack of something that is broadcast to the shape of `value`; stays shared."""
    stack = lift(stack, value.ndim)
    if not value.ndim or list(stack.shape[2:]) == list(value.shape[1:]):
        return stack
    first = [1] if is_shared(stack, value) else sizes(value)[:1]
    return xp.broadcast_to(stack, [stack.shape[0], *first, *sizes(value, 1)])
