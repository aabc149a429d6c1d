"""`autograd.Function`: the derivative is the one that its author wrote."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import keras_curvature as kc
from keras_curvature.engines.torch.conversion import to_numpy

X = np.random.default_rng(0).uniform(-1, 1, (4, 3))
ENGINES = ("taylor", "nested")


class Sine(torch.autograd.Function):
    """Whose gradient has it for a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * Cosine.apply(x)


class Cosine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.cos(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return -upstream * Sine.apply(x)


class Exponential(torch.autograd.Function):
    """Remembers what it gives."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(y := torch.exp(x))
        return y

    @staticmethod
    def backward(ctx, upstream):
        (y,) = ctx.saved_tensors
        return upstream * y


class Two(torch.autograd.Function):
    """A square and a multiple, and an argument that is no tensor."""

    @staticmethod
    def forward(x, factor):
        return x**2, x * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.factor = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, of_square, of_multiple):
        (x,) = ctx.saved_tensors
        return 2 * of_square * x + of_multiple * ctx.factor, None


class Triple(torch.autograd.Function):
    """With a slope that depends on nothing."""

    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    def backward(ctx, upstream):
        return 3 * upstream


class StraightThrough(torch.autograd.Function):
    """Rounds, and says that its slope is 1."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, upstream):
        return upstream


class Untrue(torch.autograd.Function):
    """A sine with the slope `x³`."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * x**3


CASES = {
    "each other's": (Sine.apply, np.cos, lambda x: -np.sin(x)),
    "its own": (Exponential.apply, np.exp, np.exp),
    "two results": (lambda x: sum(Two.apply(x, 2.5)), lambda x: 2 * x + 2.5, lambda x: 2 + 0 * x),
    "constant": (lambda x: Triple.apply(x**2), lambda x: 6 * x, lambda x: 6 + 0 * x),
    "one inside of another": (
        lambda x: Sine.apply(Exponential.apply(x)),
        lambda x: np.cos(np.exp(x)) * np.exp(x),
        lambda x: np.cos(np.exp(x)) * np.exp(x) - np.sin(np.exp(x)) * np.exp(2 * x),
    ),
    "not that of the values": (Untrue.apply, lambda x: x**3, lambda x: 3 * x**2),
    "straight through": (
        lambda x: StraightThrough.apply(4 * x) ** 2,
        lambda x: 8 * np.round(4 * x),
        lambda x: 32 + 0 * x,
    ),
}
"""A function of each number, and its first and second derivative."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_both_derivatives(case, engine, dtype):
    function, first, second = CASES[case]
    x = X.astype(dtype)
    asked = ["jacobian", "hessian_diagonal"]
    found = kc.derivatives(function, x, asked, engine=engine, dtype="float64")
    exact = x.astype("float64")
    for name, known in (("jacobian", first(exact)), ("hessian_diagonal", second(exact))):
        diagonal = np.einsum("nii->ni", to_numpy(found[name]))
        np.testing.assert_allclose(diagonal, known, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_third_derivative(engine):
    """By the point, of the Laplacian."""
    x = torch.from_numpy(X).requires_grad_()
    found = kc.laplacian(lambda x: torch.sum(Sine.apply(x), 1, keepdim=True), x, engine=engine)
    (slopes,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(slopes, -torch.cos(x.detach()))


class Bare(torch.autograd.Function):
    """Has no gradient."""

    @staticmethod
    def forward(ctx, x):
        return x**2


def test_one_without_a_gradient_says_so():
    with pytest.raises(NotImplementedError, match="backward"):
        kc.laplacian(Bare.apply, X)
