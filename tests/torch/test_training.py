"""Loops as one writes them in PyTorch, and Keras's trainer with `torch.compile`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import layers
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import keras_curvature as kc

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (64, 2)).astype("float32")
Y = np.sum(X**2, axis=1, keepdims=True)
BATCH = 16


def keras_network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), layers.Dense(16, "tanh"), layers.Dense(1)])


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))


def with_derivatives():
    x = keras.Input((2,))
    return keras.Model(x, kc.DerivativeOutput(keras_network(), ["value", "laplacian"])(x))


def asked_for(net, x):
    """The loss of the value and of the Laplacian, which is 4."""
    found = kc.derivatives(net, x, ["value", "laplacian"])
    return found["value"], found["laplacian"]


def given(model, x):
    found = model(x)
    return found["value"], found["laplacian"]


LOOPS = {
    "functions of a Keras model": (keras_network, asked_for),
    "functions of a module": (module, asked_for),
    "DerivativeOutput": (with_derivatives, given),
}


def loss_of(ask, net, x, y):
    value, laplacian = ask(net, x)
    return torch.mean((value - y) ** 2) + 0.1 * torch.mean((laplacian - 4) ** 2)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_over_batches_learns(loop):
    make, ask = LOOPS[loop]
    net = make()
    optimizer = torch.optim.Adam(net.parameters(), 0.03)
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    losses = []
    for _ in range(40):
        for x, y in DataLoader(data, BATCH, shuffle=True):
            optimizer.zero_grad()
            loss = loss_of(ask, net, x, y)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize("loop", LOOPS)
def test_its_gradients_are_those_of_differences(loop):
    """Of a loss in float64, which is what its weights are in."""
    make, ask = LOOPS[loop]
    net = make()
    x, y = torch.from_numpy(X[:BATCH]), torch.from_numpy(Y[:BATCH])
    loss_of(ask, net, x, y).backward()
    weights = [p for p in net.parameters() if p.requires_grad]

    def loss():
        in_float64 = {"dtype": "float64"}
        inner = net.layers[-1].layer if ask is given else net
        found = kc.derivatives(inner, x, ["value", "laplacian"], **in_float64)
        return loss_of(lambda *_: (found["value"], found["laplacian"]), net, x, y).item()

    checked = 0
    for p in weights:
        index, step = (0,) * p.ndim, 2.0**-10
        before = p.detach()[index].item()
        ends = []
        for number in (before + step, before - step):
            with torch.no_grad():
                p[index] = number
            ends.append((loss(), p.detach()[index].item()))
        with torch.no_grad():
            p[index] = before
        slope = (ends[0][0] - ends[1][0]) / (ends[0][1] - ends[1][1])
        # Float32 gradients; differences at that step leave five digits.
        assert p.grad[index].item() == pytest.approx(slope, rel=1e-3, abs=1e-4)
        checked += abs(slope) > 0.01
    assert checked >= 3


def test_gradients_add_up_as_everywhere_in_pytorch():
    net = module()
    for _ in range(2):
        kc.laplacian(net, X).square().mean().backward()
    twice = net[0].weight.grad.clone()
    net.zero_grad()
    kc.laplacian(net, X).square().mean().backward()
    torch.testing.assert_close(twice, 2 * net[0].weight.grad)


@pytest.mark.slow
def test_a_compiled_training_is_watched_and_learns():
    model = with_derivatives()
    model.compile("adam", {"value": "mse", "laplacian": "mse"}, jit_compile=True)
    labels = {"value": Y, "laplacian": np.full((64, 1), 4.0, "float32")}
    monitor = kc.CurvatureMonitor(X[:16], output="value")
    losses = model.fit(X, labels, epochs=8, verbose=0, callbacks=[monitor]).history["loss"]
    assert losses[-1] < losses[0]
    assert len(monitor.history["mean"]) == 9
    found = model.predict(X[:5], verbose=0)["laplacian"]
    known = kc.laplacian(model.layers[-1].layer, X[:5]).detach().numpy()
    np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-5)


def test_predicting_takes_derivatives_without_a_graph():
    """Keras predicts in `torch.no_grad`, where a derivative taken by hand inside has no graph."""
    model = with_derivatives()
    found = model.predict(X, verbose=0)
    with torch.no_grad():
        assert not model(X)["laplacian"].requires_grad
    known = kc.laplacian(model.layers[-1].layer, X).detach().numpy()
    np.testing.assert_allclose(found["laplacian"], known, rtol=1e-5, atol=1e-6)
