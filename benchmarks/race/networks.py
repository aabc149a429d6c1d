"""The networks that are measured: their sizes, and weights that all frameworks share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Mlp:
    """Tanh layers of equal width, and one output.

    Weights in order: kernel and bias of each layer.
    """

    inputs: int
    width: int
    depth: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return (self.inputs,)

    @property
    def widths(self) -> tuple[int, ...]:
        """From the input to the output."""
        return (self.inputs, *[self.width] * self.depth, 1)

    def weights(self) -> list[Array]:
        """In Keras's order."""
        draw = _Draw()
        for a, b in zip(self.widths, self.widths[1:], strict=False):
            draw.dense(a, b)
        return draw.weights


@dataclass(frozen=True)
class ConvNet:
    """Stages of two 3x3 convolutions with tanh and an average pooling, and one output.

    Weights in order: kernel `(3, 3, in, out)` and bias of each convolution, then of the output.
    """

    side: int
    channels: int
    stages: tuple[int, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, channels last."""
        return (self.side, self.side, self.channels)

    def weights(self) -> list[Array]:
        """In Keras's order."""
        draw, channels = _Draw(), self.channels
        for width in self.stages:
            for _ in range(2):
                draw.dense(9 * channels, width, (3, 3, channels, width))
                channels = width
        draw.dense((self.side >> len(self.stages)) ** 2 * channels, 1)
        return draw.weights


@dataclass(frozen=True)
class Transformer:
    """Pre-LN blocks of attention and GELU, and one output of the mean over tokens.

    Weights in order: embedding kernel and bias; for each block scale and shift of a normalisation,
    kernel `(width, heads, width / heads)` and bias of query, key and value, kernel and bias of
    their projection, scale and shift of a normalisation, kernels and biases of two dense layers;
    scale and shift of the last normalisation; kernel and bias of the output.
    """

    tokens: int
    features: int
    width: int
    heads: int
    blocks: int

    EPSILON = 1e-3
    """Of the normalisation: Keras's own."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return (self.tokens, self.features)

    def weights(self) -> list[Array]:
        """In Keras's order."""
        draw, width, heads = _Draw(), self.width, self.heads
        each = width // heads
        draw.dense(self.features, width)
        for _ in range(self.blocks):
            draw.normalisation(width)
            for _ in ("query", "key", "value"):
                draw.dense(width, width, (width, heads, each), (heads, each))
            draw.dense(width, width, (heads, each, width))
            draw.normalisation(width)
            draw.dense(width, 2 * width)
            draw.dense(2 * width, width)
        draw.normalisation(width)
        draw.dense(width, 1)
        return draw.weights


class VisionTransformer(Transformer):
    """The same with the patches of an image for tokens."""


@dataclass(frozen=True)
class Application:
    """A network of `keras.applications` with untrained weights, which stay in Keras.

    One class is told by a sigmoid, several by a softmax.
    """

    name: str
    side: int
    classes: int = 1000

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example, channels last."""
        return (self.side, self.side, 3)

    def weights(self) -> list[Array]:
        """None of its own."""
        return []


Network = Mlp | ConvNet | Transformer | Application


class _Draw:
    """Random weights of a size that keeps activations near 1, the same for everyone."""

    def __init__(self) -> None:
        self.weights: list[Array] = []
        self._rng = np.random.default_rng(0)

    def dense(
        self, fan_in: int, fan_out: int, shape: tuple[int, ...] = (), bias: tuple[int, ...] = ()
    ) -> None:
        self._normal(shape or (fan_in, fan_out), 1 / np.sqrt(fan_in))
        self._normal(bias or (fan_out,), 0.1)

    def normalisation(self, width: int) -> None:
        self._normal((width,), 0.1, around=1.0)
        self._normal((width,), 0.1)

    def _normal(self, shape: tuple[int, ...], scale: float, around: float = 0.0) -> None:
        drawn = around + scale * self._rng.normal(size=shape)
        self.weights.append(drawn.astype(np.float32))


def pairs(weights: list) -> Iterator[tuple]:
    """Kernel and bias, or scale and shift, one after the other."""
    return zip(weights[::2], weights[1::2], strict=True)
