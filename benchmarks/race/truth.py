"""What the right answers are, in float64 and by hand: no automatic differentiation here.

For tanh networks the Taylor recursion is written out. With `z` before and `t = tanh(z)` behind a
layer's activation, `J` the derivative of `z` by the input and `s` its Laplacian,

    t' = 1 - t²,  t'' = -2 t t',   value t,  derivative t' J,  Laplacian t' s + t'' Σ_i J_i²,

and a dense layer multiplies all three by its kernel. For other networks v'Hv is a difference of
values of order 8 (Fornberg, Mathematics of Computation 51, 1988), good to 1e-8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.race import work as works
from benchmarks.race.networks import Application, Array, ConvNet, Mlp, Transformer, pairs
from benchmarks.race.work import Work

CHECKED_POINTS = 4096
"""Of the first so many points the truth is computed, which keeps it within seconds."""

CHECKED_IMAGES = 8
"""The same for trace estimates, whose differences cost 64 evaluations per example."""

STEP = 0.005
"""Of the differences: half and twice of it agree to 1e-8 on the networks of `work.TRACES`."""

SECOND_WEIGHTS = np.array([8 / 5, -1 / 5, 8 / 315, -1 / 560])
"""Of `f(kh) - 2 f(0) + f(-kh)`, k = 1 to 4, in `h² f''` to order 8."""


def truth(work: Work, directions: Array | None = None) -> Array | None:
    """The right result of `work` for its first examples; all in one row for a training step.

    Args:
        work: the work.
        directions: other ones than its own, for a trace estimate.

    Returns:
        `None` for a network with kinks, which differences of values cannot tell from curvature.
    """
    if isinstance(work.network, Application):
        return None
    weights = [weight.astype(np.float64) for weight in work.network.weights()]
    x = work.x().astype(np.float64)
    match work.quantity:
        case works.LAPLACIAN:
            return laplacian(weights, x[:CHECKED_POINTS])[1]
        case works.DIAGONAL:
            return diagonal(weights, x[:CHECKED_POINTS])
        case works.HESSIAN:
            return hessian(weights, x[:CHECKED_POINTS])
        case works.TRACE:
            v = work.directions() if directions is None else directions
            value = value_of(work, weights)
            return trace_estimate(value, x[:CHECKED_IMAGES], v[:, :CHECKED_IMAGES])
        case works.STEP:
            _, *gradient = training_step(work, weights, x)
            return np.concatenate([np.ravel(part) for part in gradient])
    raise ValueError(f"Unknown quantity: {work.quantity!r}.")


def relative_error(result: Array, right: Array) -> float:
    """The largest difference over the largest of the right numbers."""
    found = np.ravel(result)[: right.size].reshape(right.shape)
    return float(np.max(np.abs(found - right)) / np.max(np.abs(right)))


def laplacian(weights: list[Array], x: Array) -> tuple[Array, Array]:
    """Value and Laplacian `(n,)` of a tanh network."""
    z, J, s = x, np.eye(x.shape[1])[:, None], np.zeros_like(x)
    for i, (kernel, bias) in enumerate(pairs(weights)):
        if i:
            t = np.tanh(z)
            first = 1 - t**2
            z, J, s = t, first * J, first * s - 2 * t * first * np.sum(J**2, axis=0)
        z, J, s = z @ kernel + bias, J @ kernel, s @ kernel
    return z[:, 0], s[:, 0]


def hessian(weights: list[Array], x: Array) -> Array:
    """Hessian `(n, d, d)` of a tanh network: each layer adds `J' diag(adjoint t'') J`."""
    layers = _curved_layers(weights, x)
    return sum((J * bend[:, None]) @ np.swapaxes(J, 1, 2) for J, bend in layers)


def diagonal(weights: list[Array], x: Array) -> Array:
    """Diagonal of the Hessian, `(n, d)`, of a tanh network."""
    return sum(np.einsum("ndw,nw->nd", J**2, bend) for J, bend in _curved_layers(weights, x))


def _curved_layers(weights: list[Array], x: Array) -> list[tuple[Array, Array]]:
    """For each activation: derivatives `(n, d, w)` of what enters it, and `adjoint t''`."""
    z, J, found = x, np.eye(x.shape[1])[None], []
    *hidden, (last, _) = pairs(weights)
    for kernel, bias in hidden:
        z, J = z @ kernel + bias, J @ kernel
        t = np.tanh(z)
        first = 1 - t**2
        found.append((J, t, first))
        z, J = t, first[:, None] * J
    adjoint, layers = np.broadcast_to(last[:, 0], z.shape), []
    for (J, t, first), (kernel, _) in zip(reversed(found), reversed(hidden), strict=True):
        layers.append((J, adjoint * -2 * t * first))
        adjoint = (adjoint * first) @ kernel.T
    return layers


def training_step(work: Work, weights: list[Array], x: Array) -> list[Array]:
    """The loss, and its gradient by each weight: the recursion above, and its adjoint."""
    source, target = (part.astype(np.float64)[:, None] for part in work.source_and_target())
    layers = list(pairs(weights))
    a, J, s, kept = (
        x,
        np.broadcast_to(np.eye(x.shape[1])[:, None], (x.shape[1], *x.shape)),
        0 * x,
        [],
    )
    for i, (kernel, bias) in enumerate(layers):
        z, Jz, sz = a @ kernel + bias, J @ kernel, s @ kernel
        kept.append((a, J, s, z, Jz, sz))
        if i < len(layers) - 1:
            t = np.tanh(z)
            first = 1 - t**2
            a, J, s = t, first * Jz, first * sz - 2 * t * first * np.sum(Jz**2, axis=0)
    loss = np.mean((sz - source) ** 2) + np.mean((z - target) ** 2)
    z_bar, J_bar, s_bar = 2 * (z - target) / len(x), 0 * Jz, 2 * (sz - source) / len(x)
    gradient: list[Array] = []
    for i in reversed(range(len(layers))):
        kernel = layers[i][0]
        a, J, s, *_ = kept[i]
        by_kernel = a.T @ z_bar + s.T @ s_bar + np.einsum("dna,dnb->ab", J, J_bar, optimize=True)
        gradient[:0] = [by_kernel, z_bar.sum(axis=0)]
        if i:
            entering = kept[i - 1][3:]
            z_bar, J_bar, s_bar = _tanh_adjoint(
                *entering, z_bar @ kernel.T, J_bar @ kernel.T, s_bar @ kernel.T
            )
    return [loss, *gradient]


def _tanh_adjoint(
    z: Array, J: Array, s: Array, t_bar: Array, J_bar: Array, s_bar: Array
) -> tuple[Array, Array, Array]:
    """Adjoints of `z`, `J` and `s` from those of value, derivative and Laplacian behind tanh."""
    t = np.tanh(z)
    first = 1 - t**2
    second = -2 * t * first
    third = -2 * first**2 - 2 * t * second
    squares = np.sum(J**2, axis=0)
    return (
        t_bar * first + np.sum(J_bar * J, axis=0) * second + s_bar * (second * s + third * squares),
        J_bar * first + 2 * s_bar * second * J,
        s_bar * first,
    )


def trace_estimate(value: Callable[[Array], Array], x: Array, directions: Array) -> Array:
    """The mean of v'Hv over directions `(k, n, ...)`, `(n,)`."""
    return np.mean([second_difference(value, x, v, STEP) for v in directions], axis=0)


def second_difference(value: Callable[[Array], Array], x: Array, v: Array, h: float) -> Array:
    """The second derivative `(n,)` along `v`."""
    centre, total = value(x), 0.0
    for k, weight in enumerate(SECOND_WEIGHTS, start=1):
        total += weight * ((value(x + k * h * v) - centre) + (value(x - k * h * v) - centre))
    return total / h**2


def value_of(work: Work, weights: list[Array]) -> Callable[[Array], Array]:
    """The network as a function from `(n, *input_shape)` to `(n,)`."""
    match work.network:
        case ConvNet() as net:
            return lambda x: _conv_net(net, weights, x)
        case Transformer() as net:
            return lambda x: _transformer(net, weights, x)
        case Mlp():
            return lambda x: laplacian(weights, x)[0]


def _conv_net(net: ConvNet, weights: list[Array], x: Array) -> Array:
    *convolutions, (last, shift) = pairs(weights)
    for i, (kernel, bias) in enumerate(convolutions):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = sliding_window_view(padded, (3, 3), axis=(1, 2))  # (n, h, w, in, 3, 3)
        x = np.tanh(np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2))) + bias)
        if i % 2:
            n, side, _, channels = x.shape
            x = x.reshape(n, side // 2, 2, side // 2, 2, channels).mean(axis=(2, 4))
    return (x.reshape(len(x), -1) @ last + shift)[:, 0]


def _transformer(net: Transformer, weights: list[Array], x: Array) -> Array:
    from scipy.special import erf, softmax

    given = pairs(weights)

    def dense(x: Array) -> Array:
        kernel, bias = next(given)
        return x @ kernel + bias

    def normalised(x: Array) -> Array:
        scale, shift = next(given)
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.mean(centred**2, axis=-1, keepdims=True)
        return centred / np.sqrt(variance + net.EPSILON) * scale + shift

    def heads(x: Array) -> Array:
        kernel, bias = next(given)
        return np.einsum("ntw,whe->nhte", x, kernel) + bias[:, None]

    def attended(x: Array) -> Array:
        query, key, value = heads(x), heads(x), heads(x)
        scores = query @ np.swapaxes(key, 2, 3) / np.sqrt(query.shape[-1])
        kernel, bias = next(given)
        return np.einsum("nhte,hew->ntw", softmax(scores, axis=-1) @ value, kernel) + bias

    x = dense(x)
    for _ in range(net.blocks):
        x = x + attended(normalised(x))
        hidden = dense(normalised(x))
        x = x + dense(hidden * (1 + erf(hidden / np.sqrt(2))) / 2)
    return dense(normalised(x).mean(axis=1))[:, 0]
