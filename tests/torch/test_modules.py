"""Plain modules of PyTorch: differentiated as they are, and left as they are."""

from __future__ import annotations

import gc
import random
import weakref

import keras
import numpy as np
import pytest
import torch
from torch import nn

import keras_curvature as kc
import truth
from keras_curvature.engines.torch.conversion import to_numpy

X = np.random.default_rng(0).uniform(-1, 1, (6, 3))


class Counting(nn.Module):
    """With all that a call may change."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 2)
        self.normalised, self.dropped = nn.BatchNorm1d(8), nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.last(self.dropped(torch.tanh(self.normalised(self.first(x)))))


@pytest.fixture
def module():
    torch.manual_seed(0)
    found = Counting()
    with torch.no_grad():
        found.normalised.running_mean.normal_()
    return found.eval()


def states(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


ASKED = {
    "laplacian": lambda module: kc.laplacian(module, X),
    "hessian": lambda module: kc.hessian(module, X, engine="nested"),
    "scale_curvature": lambda module: kc.scale_curvature(module, X, 0.1),
    "estimate": lambda module: kc.estimate(module, X, "trace"),
    "verify": lambda module: kc.verify(module, X),
    "diagnose": lambda module: kc.diagnose(module, X),
    "hidden_fraction": lambda module: kc.hidden_fraction(module, X),
}


@pytest.mark.filterwarnings("ignore:The model gives an example another output")
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("asked", ASKED)
def test_nothing_of_it_changes(asked, mode, module):
    """Nor the random numbers of anybody."""
    getattr(module, mode)()
    before, drawn = states(module), []
    for ask in (ASKED[asked], lambda module: None):
        keras.utils.set_random_seed(3)
        ask(module)
        drawn.append((torch.rand(()).item(), random.random(), np.random.rand()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert module.training is (mode == "train")
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["taylor", "nested"])
def test_its_hessian(engine, module):
    module.double()

    def value(points):
        with torch.no_grad():
            return module(torch.from_numpy(points)).numpy()

    found = to_numpy(kc.hessian(module, X, engine=engine))
    np.testing.assert_allclose(found, truth.hessian_of_value(value, X, 0.01), rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_takes_arrays_in_its_own_dtype(dtype, module):
    """And is evaluated in float32 at least."""
    known = kc.laplacian(module.double(), X)
    found = kc.laplacian(module.to(dtype), X)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    digits = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    torch.testing.assert_close(found.double(), known, rtol=digits, atol=digits)


def test_its_weights_are_those_of_now(module):
    before = kc.laplacian(module, X).detach()
    with torch.no_grad():
        module.last.weight.mul_(3)
    torch.testing.assert_close(kc.laplacian(module, X).detach(), 3 * before)


def test_frozen_weights_leave_no_graph(module):
    assert kc.laplacian(module, X).requires_grad
    assert not kc.laplacian(module.requires_grad_(False), X).requires_grad


def straight():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def hooked(module):
    module.register_forward_hook(lambda module, given, output: 2 * output)
    return module


MADE_OF = {
    "torch.compile": (lambda module: torch.compile(module, backend="eager"), 1),
    "torch.fx": (torch.fx.symbolic_trace, 1),
    "torch.jit.script": (torch.jit.script, 1),
    "torch.jit.trace": (lambda module: torch.jit.trace(module, torch.ones(6, 3)), 1),
    "a hook": (hooked, 2),
    "functional_call": (
        lambda module: (
            lambda x: torch.func.functional_call(
                module, {name: p.double() for name, p in module.named_parameters()}, (x,)
            )
        ),
        1,
    ),
    "Keras's TorchModuleWrapper": (
        lambda module: keras.Sequential(
            [keras.Input((3,)), keras.layers.TorchModuleWrapper(module)]
        ),
        1,
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("how", MADE_OF)
def test_what_is_made_of_it(how):
    make, factor = MADE_OF[how]
    known = kc.laplacian(straight(), X)
    found = kc.laplacian(make(straight()), X)
    torch.testing.assert_close(found.float(), factor * known, rtol=1e-4, atol=1e-5)


def test_a_parametrised_weight():
    """As big as it is said to be: `tanh` of a multiple of a unit vector."""
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        layer.parametrizations.weight.original0.fill_(2.0)
    found = kc.laplacian(nn.Sequential(layer, nn.Tanh()), X, dtype="float64")
    t = np.tanh(X @ to_numpy(layer.weight).astype("float64").T)
    np.testing.assert_allclose(to_numpy(found), -2 * t * (1 - t**2) * 4, rtol=1e-5)


@pytest.mark.parametrize("asked", ["laplacian", "verify", "diagnose"])
def test_it_is_not_kept_alive(asked):
    module = straight()
    getattr(kc, asked)(module, X)
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is None


def test_kinks_of_one():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
    weight, bias = (to_numpy(p).ravel().astype("float64") for p in module[0].parameters())
    inside = sorted(place for place in -bias / weight if -1 < place < 1)
    assert inside
    np.testing.assert_allclose(kc.kinks(module, -1, 1).positions, inside, rtol=1e-12)
