"""A device that does not compute in float64 is named, and what text a tensor cannot hold."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import layers

import keras_curvature as kc
from keras_curvature.engines.torch import compilation

X = np.random.default_rng(0).uniform(-1, 1, (8, 3)).astype("float32")


@pytest.fixture
def net():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def no_float64(monkeypatch):
    """As on Apple's devices."""
    ones = torch.ones

    def refusing(*sizes, dtype=None, **options):
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return ones(*sizes, dtype=dtype, **options)

    compilation.require_float64.cache_clear()
    monkeypatch.setattr(compilation.torch, "ones", refusing)
    yield
    compilation.require_float64.cache_clear()


IN_FLOAT64 = {
    "dtype": lambda net: kc.laplacian(net, X, dtype="float64"),
    "differences": lambda net: kc.laplacian(net, X, engine="finite_difference"),
    "diagnose": lambda net: kc.diagnose(net, X),
    "monitor": lambda net: net.fit(X, X[:, :1], verbose=0, callbacks=[kc.CurvatureMonitor(X)]),
}


@pytest.mark.parametrize("what", IN_FLOAT64)
def test_a_device_without_float64_is_named(what, net, no_float64):
    before = net.get_weights()
    with pytest.raises(
        ValueError, match=r"the device .* does not compute in it.*KERAS_TORCH_DEVICE=cpu"
    ):
        IN_FLOAT64[what](net)
    assert all(map(np.array_equal, net.get_weights(), before))  # before any training
    assert torch.isfinite(kc.laplacian(net, X)).all()


def test_changed_memory_under_other_tensors_is_refused():
    def resized(x):
        return x.clone().resize_(len(x), 2) ** 2

    with pytest.raises(RuntimeError, match="resize_`, which changes memory under other tensors"):
        kc.laplacian(resized, X)


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, upstream):
        return 2 * upstream


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, upstream):
        return 2 * upstream


FUNCTIONS_OF_AUTOGRAD = {
    "its input in place": lambda x: InPlace.apply(x.clone()),
    "inside of a transformation of `torch.func`": lambda x: torch.func.vmap(Doubled.apply)(x),
}


@pytest.mark.parametrize("words", FUNCTIONS_OF_AUTOGRAD)
def test_functions_of_autograd_out_of_sight_are_refused(words):
    with pytest.raises(RuntimeError, match=words):
        kc.laplacian(FUNCTIONS_OF_AUTOGRAD[words], X)
