"""The functions inside of what PyTorch puts around code: modes, transformations, compilers."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import torch
from keras import layers

import keras_curvature as kc

X = np.random.default_rng(0).uniform(-1, 1, (6, 3)).astype("float32")
ENGINES = ("taylor", "nested", "finite_difference")


def cubic(x):
    """`Σᵢ xᵢ³ + x₀ x₁ x₂`, of which the Laplacian is `6 Σᵢ xᵢ`."""
    return torch.sum(x**3, 1, keepdim=True) + torch.prod(x, 1, keepdim=True)


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(16, "tanh"), layers.Dense(16, "silu"), layers.Dense(2)]
    )


@pytest.fixture(scope="module")
def laplacian(net):
    return kc.laplacian(net, X, dtype="float64").detach().float()


def close(found, known):
    """To the digits that differences of float32 gradients have."""
    torch.testing.assert_close(found.detach(), known, rtol=1e-3, atol=1e-4)


MODES = {
    "no_grad": (torch.no_grad, False),
    "inference_mode": (torch.inference_mode, False),
    "enable_grad": (torch.enable_grad, True),
    "autocast": (lambda: torch.autocast("cpu", torch.bfloat16), True),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", MODES)
def test_inside_a_mode(mode, engine, net, laplacian):
    entered, has_graph = MODES[mode]
    with entered():
        found = kc.laplacian(net, torch.from_numpy(X), engine=engine)
    assert found.requires_grad is has_graph
    assert found.dtype == torch.float32
    assert not found.is_inference()
    close(found, laplacian)


@pytest.mark.parametrize("engine", ENGINES)
def test_of_tensors_that_were_made_in_inference_mode(engine, net, laplacian):
    with torch.inference_mode():
        x = 1 * torch.from_numpy(X)
    close(kc.laplacian(net, x, engine=engine), laplacian)


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_that_were_made_in_inference_mode(engine):
    """PyTorch keeps no gradient by them, though none is asked for."""
    with torch.inference_mode():
        factors = torch.tensor([1.0, 2.0])

    def function(x):
        with torch.inference_mode():
            more = torch.full((2,), 3.0)
        return (x[:, :2] ** 2 * factors * more).sum(1)

    np.testing.assert_allclose(kc.laplacian(function, X, engine=engine), 18)


TRANSFORMED = {
    "vmap": lambda f, x: torch.vmap(lambda row: f(row[None])[0])(x),
    "compile": lambda f, x: torch.compile(lambda x: 1 * f(x), backend="eager")(x),
    "grad": lambda f, x: torch.func.grad_and_value(lambda x: (f(x).sum(), f(x)), has_aux=True)(x)[
        1
    ][1],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", TRANSFORMED)
def test_inside_a_transformation(how, engine, net, laplacian):
    found = TRANSFORMED[how](lambda x: kc.laplacian(net, x, engine=engine), torch.from_numpy(X))
    close(found, laplacian)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_compiled_to_machine_code(engine, net, laplacian):
    @torch.compile
    def around(x):
        return torch.sin(x).sum() * 0 + 2 * kc.laplacian(net, x, engine=engine)

    close(around(torch.from_numpy(X)), 2 * laplacian)


def backwards(f):
    x = torch.from_numpy(X).clone().requires_grad_()
    f(x).sum().backward()
    return x.grad


BY_THE_POINT = {
    "backward": backwards,
    "func.grad": lambda f: torch.func.grad(lambda x: f(x).sum())(torch.from_numpy(X)),
    "func.jacrev": lambda f: torch.func.jacrev(f)(torch.from_numpy(X)).sum((0, 1)),
    "func.jvp": lambda f: torch.func.jvp(f, (torch.from_numpy(X),), (torch.eye(3)[[0] * 6],))[1],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", BY_THE_POINT)
def test_the_gradient_of_a_laplacian_by_the_point(how, engine):
    found = BY_THE_POINT[how](lambda x: kc.laplacian(cubic, x, engine=engine))
    close(found, torch.full_like(found, 6.0))


@pytest.mark.parametrize("engine", ENGINES)
def test_its_second_derivatives(engine):
    """Of the Laplacian of `Σ xᵢ⁴ / 12`, `Σ xᵢ²`."""

    def total(x):
        return kc.laplacian(lambda x: torch.sum(x**4, 1, keepdim=True) / 12, x, engine=engine).sum()

    found = torch.func.hessian(total)(torch.from_numpy(X[:1]))[0, :, 0]
    close(found, 2 * torch.eye(3))


@contextlib.contextmanager
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_float64_by_default(engine, net, laplacian):
    with float64_by_default():
        found = kc.laplacian(net, torch.from_numpy(X), engine=engine)
        assert found.dtype == torch.float32
        close(found, laplacian)
        found = kc.laplacian(cubic, [[0.1, 0.2, 0.3]], engine=engine)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, torch.tensor([[3.6]]), rtol=1e-7, atol=0)
    assert torch.get_default_dtype() == torch.float32


def test_the_gradient_by_the_weights_is_that_of_differences(net):
    """Of float64 values, at a step that leaves six digits."""
    kernel = net.layers[0].kernel
    (found,) = torch.autograd.grad((kc.laplacian(net, X, dtype="float64") ** 2).sum(), kernel.value)
    assert found.dtype == torch.float32
    before = keras.ops.convert_to_numpy(kernel)
    totals = []
    for step in (2.0**-13, -(2.0**-13)):
        moved = before.copy()
        moved[1, 2] += step
        kernel.assign(moved)
        totals.append((kc.laplacian(net, X, dtype="float64") ** 2).sum().item())
    kernel.assign(before)
    assert found[1, 2].item() == pytest.approx((totals[0] - totals[1]) / 2.0**-12, rel=1e-5)


def test_nothing_can_be_asked_for_where_there_are_no_numbers(net):
    with pytest.raises(ValueError, match="`verify` must be called eagerly"):
        torch.vmap(lambda row: kc.verify(net, row[None]))(torch.from_numpy(X))
