"""What PyTorch code may do in a model, and what goes on around one that is differentiated."""

from __future__ import annotations

import gc
import random
import weakref

import keras
import numpy as np
import pytest
import torch

import keras_curvature as kc

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
"""Five points of three inputs, none of them near 0."""


def numbers(result):
    return keras.ops.convert_to_numpy(result)


class Sevenfold(torch.autograd.Function):
    """`Σ x³` with a gradient that is not its own: `7 x`."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x**3).sum(1, keepdim=True)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return 7 * x * upstream


sevenfold = Sevenfold.apply


def written_in_place(x):
    y = x.clone()
    y[:, 0] = x[:, 1] ** 2
    y[:, 1:] *= x[:, :1]
    y.view(-1)[::3].add_(x[:, 2] ** 3)
    return y.sum(1, keepdim=True)


def written_into_a_transposed(x):
    y = torch.zeros(3, len(x), dtype=x.dtype).t()
    y[:, 1:] = x[:, :2] ** 3
    return y.sum(1, keepdim=True)


def decided_by_its_numbers(x):
    return x**3 if x.sum() > 0 else x**4


def unrolled_by_its_numbers(x):
    for _ in range(int(x[0, 0] > 0) + 1):
        x = x * x
    return x


def two_signs(x):
    """Points on which a decision comes out one way, and points for the other one."""
    return np.abs(x), -np.abs(x)


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize(
    ("function", "hessian_diagonal"),
    [
        # y₀ = x₁² + x₂³, y₁ = x₁x₀, y₂ = x₂x₀
        (written_in_place, lambda x: np.stack([0 * x[:, 0], 2 + 0 * x[:, 1], 6 * x[:, 2]], 1)),
        (
            written_into_a_transposed,
            lambda x: np.stack([6 * x[:, 0], 6 * x[:, 1], 0 * x[:, 2]], 1),
        ),
        (lambda x: Sevenfold.apply(x), lambda x: 7 + 0 * x),
        (sevenfold, lambda x: 7 + 0 * x),
    ],
    ids=["in place", "into a view", "by hand", "by hand, under another name"],
)
def test_what_is_written_counts(function, hessian_diagonal, engine):
    found = kc.hessian_diagonal(function, X, engine=engine, dtype="float64")
    np.testing.assert_allclose(numbers(found)[:, 0], hessian_diagonal(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "bends"),
    [
        (decided_by_its_numbers, (lambda x: 6 * x, lambda x: 12 * x**2)),
        (unrolled_by_its_numbers, (lambda x: 12 * x**2, lambda x: 2 + 0 * x)),
    ],
    ids=["if", "for"],
)
def test_a_decision_is_taken_anew_at_other_points(function, bends):
    class Deciding(keras.layers.Layer):
        def call(self, x):
            return function(x)

    model = keras.Sequential([keras.Input((3,)), Deciding()])
    for _ in range(2):
        for points, bend in zip(two_signs(X), bends, strict=True):
            found = numbers(kc.hessian_diagonal(model, points, dtype="float64"))
            truth = np.eye(3)[None] * bend(points)[:, None]
            np.testing.assert_allclose(found, truth, rtol=1e-6)  # points are rounded by the model


def test_a_number_that_is_taken_out_of_a_tensor_is_refused():
    with pytest.raises(RuntimeError, match=r"where its derivative is lost. Leave it a tensor"):
        kc.laplacian(lambda x: x * x.mean().item(), X)


def test_a_numpy_array_of_a_tensor_is_refused():
    with pytest.raises(RuntimeError, match="through which no derivative passes"):
        kc.laplacian(lambda x: x * torch.as_tensor(np.sin(x.numpy())), X)


def test_a_detach_that_somebody_wrote_ends_the_derivative():
    found = kc.hessian_diagonal(lambda x: x.detach() * x * x, X, dtype="float64")
    truth = np.eye(3)[None] * 2 * X[:, None]
    np.testing.assert_allclose(numbers(found), truth, rtol=1e-12)


def module():
    torch.manual_seed(0)
    parts = torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
    return torch.nn.Sequential(*parts).double()


def differences(net, x, h=1e-3):
    """The Laplacian of a module by central differences of order 4 of its values in float64."""
    total = 0
    with torch.no_grad():
        for i in range(x.shape[1]):
            e = h * torch.eye(x.shape[1], dtype=torch.float64)[i]
            near, far = net(x + e) + net(x - e), net(x + 2 * e) + net(x - 2 * e)
            total = total + (16 * near - far - 30 * net(x)) / (12 * h * h)
    return total


def test_a_module_is_a_model_and_stays_as_it_is():
    net, x = module().eval(), torch.tensor(X)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    np.testing.assert_allclose(numbers(kc.laplacian(net, x)), differences(net, x), rtol=1e-6)
    after = net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not net.training


def test_a_loop_of_one_s_own_trains_through_it():
    """The gradient of a loss by a weight, against a difference of losses."""
    net, x = module().eval(), torch.tensor(X)

    def loss():
        return ((kc.laplacian(net, x) + 1) ** 2).mean()

    loss().backward()
    weight = net[0].weight
    h = 1e-5
    with torch.no_grad():
        ends = []
        for step in (h, -2 * h):
            weight[1, 2] += step
            ends.append(float(loss()))
        weight[1, 2] += h
    assert float(weight.grad[1, 2]) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_numbers_alone(around):
    net, x = module().eval(), torch.tensor(X)
    wanted = numbers(kc.hessian(net, x))
    with around():
        for engine in ("taylor", "nested"):
            found = kc.hessian(net, x, engine=engine)
            assert not found.requires_grad
            np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9, atol=1e-12)


def test_under_the_transformations_of_torch_func():
    x = torch.tensor(X)
    found = torch.func.grad(lambda x: kc.laplacian(lambda z: z**4, x).sum())(x)
    np.testing.assert_allclose(found, 24 * X, rtol=1e-12)


def test_random_numbers_are_nobody_s_but_the_user_s():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Tanh())
    states = torch.get_rng_state(), random.getstate()
    with pytest.warns(UserWarning, match="or it is random"):
        kc.laplacian(net, torch.tensor(X, dtype=torch.float32))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_a_model_is_not_kept_alive():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh")])
    kc.hessian(model, X)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


ATTENTION = {
    "MultiHeadAttention": lambda: keras.layers.MultiHeadAttention(2, 3),
    "GroupedQueryAttention": lambda: keras.layers.GroupQueryAttention(3, 2, 1),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_fused_attention_has_second_derivatives(name):
    """By differences of values in float64, where PyTorch itself has none by any way."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4, 2))
    model = keras.Model(x, keras.layers.Flatten()(ATTENTION[name]()(x, x)))
    points = RNG.normal(size=(2, 4, 2))
    assert "right" in str(kc.verify(model, points)).lower()
