"""What is computed: a quantity of a network at some points, the same arrays for everyone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.race.networks import (
    Application,
    Array,
    ConvNet,
    Mlp,
    Network,
    Transformer,
    VisionTransformer,
)

LAPLACIAN, DIAGONAL, HESSIAN = "laplacian", "diagonal", "hessian"
TRACE, STEP, ALONG = "trace", "step", "along"

DIRECTIONS = 8
"""Of a trace estimate, for each example."""

RATE = 1e-4
"""Of the gradient descent in a training step."""

TILE = 2048
"""Side of the matrices whose product shows what the machine can do."""


@dataclass(frozen=True)
class Work:
    """One thing to compute.

    | quantity | result |
    |---|---|
    | `"laplacian"` | `(n,)` |
    | `"diagonal"` | `(n, d)` |
    | `"hessian"` | `(n, d, d)` |
    | `"trace"` | `(n,)`, the mean of v'Hv over `DIRECTIONS` Rademacher directions of each example |
    | `"along"` | `(n, 1)`, v'Hv of the first output along one direction |
    | `"step"` | the gradient of the loss by each weight, as a list; then the weights move |

    The loss of a training step is `mean((laplacian - source)²) + mean((value - target)²)`. The
    weights do move, as in training: XLA takes what does not change for a constant, and
    computes half of TensorFlow's nested tape while it compiles.
    """

    quantity: str
    network: Network
    points: int

    @property
    def name(self) -> str:
        """For `--only`, for files and for the report."""
        net = self.network
        match net:
            case Mlp():
                size = f"{net.inputs}x{self.points}-mlp{net.depth}x{net.width}"
            case ConvNet():
                size = f"conv{2 * len(net.stages)}"
            case VisionTransformer():
                size = "vit"
            case Transformer():
                size = "transformer"
            case Application():
                size = f"{net.name}-{net.side}" if net.side != 224 else net.name
        return f"{self.quantity}-{size}"

    @property
    def title(self) -> str:
        """For people; the networks of the exact derivatives are in the report's text."""
        net, points = self.network, self.points
        match net:
            case Mlp():
                of = f"{net.inputs} input{'s' * (net.inputs > 1)}, {points:,} points"
            case ConvNet():
                of = f"{2 * len(net.stages)}-layer conv net"
            case VisionTransformer():
                of = "vision transformer"
            case Transformer():
                of = "pre-LN transformer"
            case Application():
                of = f"{net.name} at {net.side}²" if net.side != 224 else net.name
        return f"{TITLES[self.quantity]}, {of}"

    def x(self) -> Array:
        """The batch, `(n, *input_shape)`."""
        return _rng(1).normal(size=(self.points, *self.network.input_shape)).astype(np.float32)

    def directions(self) -> Array:
        """`(DIRECTIONS, n, *input_shape)`, entries of -1 and 1."""
        shape = (DIRECTIONS, self.points, *self.network.input_shape)
        return _rng(2).choice(np.array([-1, 1], np.float32), size=shape)

    def source_and_target(self) -> tuple[Array, Array]:
        """What the Laplacian and the value are trained towards, `(n,)` each."""
        drawn = _rng(3).normal(size=(2, self.points)).astype(np.float32)
        return drawn[0], drawn[1]


TITLES = {
    LAPLACIAN: "Laplacian",
    DIAGONAL: "Hessian diagonal",
    HESSIAN: "Hessian",
    TRACE: "Trace estimate",
    ALONG: "Curvature along a direction",
    STEP: "Training step",
}


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def mlp(quantity: str, inputs: int, points: int) -> Work:
    """On the tanh network 4x256."""
    return Work(quantity, Mlp(inputs, 256, 4), points)


def tanh(quantity: str, *sizes: tuple[int, int]) -> list[Work]:
    """On the same network with each of some numbers of inputs and of points."""
    return [mlp(quantity, *size) for size in sizes]


WIDE = Mlp(784, 128, 3)
DENSE = mlp(LAPLACIAN, 64, 128)
"""Where the arithmetic rate and the peak memory are asked for."""

SIZES = ((1, 1000), (8, 512), (64, 128))
"""Inputs and points."""

EXACT = [
    work
    for quantity in (LAPLACIAN, DIAGONAL, HESSIAN)
    for work in [*tanh(quantity, *SIZES), Work(quantity, WIDE, 64)]
]
TRACES = [
    Work(TRACE, ConvNet(32, 3, (32, 64, 128)), 32),
    Work(TRACE, Transformer(tokens=16, features=32, width=64, heads=4, blocks=2), 64),
]
DEEP_TRACES = [
    Work(TRACE, Application("ResNet50", 64, classes=1), 16),
    Work(TRACE, VisionTransformer(tokens=64, features=48, width=192, heads=3, blocks=6), 16),
]
"""For networks of the size that the estimates are made for; beside TensorFlow alone."""

STEPS = tanh(STEP, (2, 1024), (8, 512))
RESNET = Work(ALONG, Application("ResNet50", 224), 1)
"""How long does a deep network take to trace and to compile?"""

GROWTH = {
    "points": {10**power: mlp(LAPLACIAN, 2, 10**power) for power in (2, 3, 4, 5)},
    "inputs": {4**power: mlp(LAPLACIAN, 4**power, 64) for power in range(6)},
    "depth": {2**power: Work(LAPLACIAN, Mlp(8, 256, 2**power), 512) for power in range(6)},
}
"""What grows, and the work at each of its sizes."""

GROWING = [work for works in GROWTH.values() for work in works.values()]
EVERYTHING = list(dict.fromkeys([*EXACT, *TRACES, *DEEP_TRACES, *STEPS, *GROWING, RESNET]))
