"""Enclosures of Dense networks by plain intervals, independent of those of the library.

Values, slopes and second derivatives of `softplus`, `tanh` and `relu` networks; not rounded
outwards, which tests of what is done with enclosures do not need.
"""

from __future__ import annotations

import numpy as np


def product(a, b):
    with np.errstate(invalid="ignore"):
        every = np.stack([a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]])
    every = np.where(np.isnan(every), 0, every)
    return every.min(0), every.max(0)


def affine(a, kernel, bias=0):
    up, down = np.maximum(kernel, 0), np.minimum(kernel, 0)
    with np.errstate(invalid="ignore"):
        return a[0] @ up + a[1] @ down + bias, a[1] @ up + a[0] @ down + bias


def between(f, z, turns=()):
    """The range of a function that is monotonic between its turns."""
    values = [f(z[0]), f(z[1])]
    inside = [np.where((z[0] <= t) & (z[1] >= t), f(np.float64(t)), values[0]) for t in turns]
    return np.minimum.reduce([*values, *inside]), np.maximum.reduce([*values, *inside])


def softplus(z):
    s = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    second = between(lambda x: s(x) * (1 - s(x)), z, [0])
    return between(lambda x: np.logaddexp(0, x), z), between(s, z), second


def tanh(z):
    t = np.arctanh(1 / np.sqrt(3))
    first = between(lambda x: 1 - np.tanh(x) ** 2, z, [0])
    second = between(lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2), z, [t, -t])
    return between(np.tanh, z), first, second


class DenseEncloser:
    """Of layers `(kernel, bias)` with an activation between them."""

    def __init__(self, layers, activation):
        self.layers, self.activation = layers, activation

    def __call__(self, low, high, names):
        return {name: self._of(low, high, name) for name in names}

    def _of(self, low, high, name):
        d = low.shape[1]
        if name == "hessian":
            pairs = [[self._second(low, high, i, j) for j in range(d)] for i in range(d)]
            return tuple(
                np.stack([np.stack([p[end] for p in row], -1) for row in pairs], -2)
                for end in (0, 1)
            )
        by = [int(word) for word in name.split()[1:]]
        if len(by) == 1:
            return self._jets(low, high, *by, *by)[0]
        return self._second(low, high, *by)

    def _second(self, low, high, i, j):
        return self._jets(low, high, i, j)[1]

    def _jets(self, low, high, i, j):
        z = low, high
        e = np.eye(low.shape[1])
        g, k = ((np.broadcast_to(e[a], low.shape),) * 2 for a in (i, j))
        h = (np.zeros_like(low),) * 2
        for index, (kernel, bias) in enumerate(self.layers):
            z, g, k, h = affine(z, kernel, bias), *(affine(a, kernel) for a in (g, k, h))
            if index < len(self.layers) - 1:
                value, first, second = self.activation(z)
                square = product(g, k)
                if i == j:
                    square = np.maximum(square[0], 0), square[1]
                bent, passed = product(second, square), product(first, h)
                h = bent[0] + passed[0], bent[1] + passed[1]
                z, g, k = value, product(first, g), product(first, k)
        return g, h
