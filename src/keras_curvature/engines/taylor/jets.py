"""What the engine knows of one tensor: how it changes along the directions, twice.

Along a direction `v`, `f(x + tv) = y + t y' + t²/2 y'' + …`; `y'` is called `first` and
`y''` `second` (Griewank and Walther, Evaluating Derivatives, chapter 13). Both are *stacks*:
tensors with one more axis in front, one slice per direction. `second` has a single slice
where it is summed over the directions.

A stack whose batch axis has length 1 while the tensor's has not holds for all examples: so
do the derivatives before the first nonlinearity, where no example needs work of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

Pair = tuple[int, int]


@dataclass(eq=False)
class Base:
    """The stacks that elementwise functions are built upon.

    Attributes:
        first: shape `(directions, *shape)`.
        second: shape `(directions or 1, *shape)`, or `None` for 0.
        is_identity: whether `first` is the unit vectors `(d, 1, d)`, and a product with a
            matrix the matrix.
    """

    first: tf.Tensor
    second: tf.Tensor | None = None
    is_identity: bool = False


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
    slopes: tuple[tf.Tensor | None, ...]
    bends: Mapping[Pair, tf.Tensor]


@dataclass(eq=False)
class Jet:
    """A tensor's derivatives.

    Attributes:
        value: the tensor.
        of: its derivatives where they are worked out, or the function that it is of others.
    """

    value: tf.Tensor
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


def times(a: tf.Tensor | None, b: tf.Tensor | None) -> tf.Tensor | None:
    """`a * b`, where `None` is 1."""
    if a is None:
        return b
    return a if b is None else a * b


def plus(a: tf.Tensor | None, b: tf.Tensor | None) -> tf.Tensor | None:
    """`a + b`, where `None` is 0."""
    if a is None:
        return b
    return a if b is None else a + b


def is_shared(stack: tf.Tensor, value: tf.Tensor) -> bool:
    """Whether a stack of `value` holds one slice for all examples."""
    return bool(value.shape.rank) and stack.shape[1] == 1 and value.shape[0] != 1


def sizes(tensor: tf.Tensor, start: int = 0) -> list[int | tf.Tensor]:
    """The sizes of a tensor's axes from `start` on, as numbers where they are known."""
    known = tensor.shape[start:].as_list()
    if None not in known:
        return known
    actual = tf.shape(tensor)
    return [actual[start + i] if size is None else size for i, size in enumerate(known)]


def spread(stack: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The stack with all axes of `value` in full."""
    if not is_shared(stack, value):
        return stack
    return tf.broadcast_to(stack, [stack.shape[0], *sizes(value)])


def lift(stack: tf.Tensor, rank: int) -> tf.Tensor:
    """The stack of a tensor that is broadcast to `rank` axes."""
    missing = rank + 1 - stack.shape.rank
    if missing == 0:
        return stack
    return tf.reshape(stack, [stack.shape[0], *[1] * missing, *sizes(stack, 1)])


def stretch(stack: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The stack of something that is broadcast to the shape of `value`; stays shared."""
    stack = lift(stack, value.shape.rank)
    if not value.shape.rank or stack.shape[2:].as_list() == value.shape[1:].as_list():
        return stack
    first = [1] if is_shared(stack, value) else sizes(value)[:1]
    return tf.broadcast_to(stack, [stack.shape[0], *first, *sizes(value, 1)])
