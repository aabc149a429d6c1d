"""PyTorch's functions that are smooth at 0 and computed in branches that meet there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812, as everybody calls it

import keras_curvature as kc
from keras_curvature.engines.torch.conversion import to_numpy


def quarter(x):
    return torch.full_like(x, 0.25)


AT_ZERO = {
    "log sigmoid": (F.logsigmoid, 1 / 2, -1 / 4),
    "cross entropy of a logit": (
        lambda x: F.binary_cross_entropy_with_logits(x, quarter(x), reduction="none"),
        1 / 4,
        1 / 4,
    ),
    "the same, weighted": (
        lambda x: F.binary_cross_entropy_with_logits(
            x, quarter(x), reduction="none", pos_weight=torch.tensor(2.0, dtype=x.dtype)
        ),
        1 / 8,
        5 / 16,
    ),
    "soft margin": (
        lambda x: F.soft_margin_loss(x, -torch.ones_like(x), reduction="none"),
        1 / 2,
        1 / 4,
    ),
    "softplus": (F.softplus, 1 / 2, 1 / 4),
    "logaddexp": (lambda x: torch.logaddexp(torch.zeros_like(x), x), 1 / 2, 1 / 4),
    "hypot": (lambda x: torch.hypot(torch.ones_like(x), x), 0, 1),
}
"""Function, slope and second derivative at 0, in closed form."""


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("name", AT_ZERO)
def test_both_derivatives_are_right(name, engine):
    function, slope, bend = AT_ZERO[name]
    asked = {"slope": (0,), "bend": (0, 0)}
    found = kc.derivatives(function, np.zeros((1, 1)), asked, engine=engine, dtype="float64")
    jacobian = kc.jacobian(function, np.zeros((1, 1)), engine=engine, dtype="float64")
    np.testing.assert_allclose(to_numpy(jacobian).item(), slope, atol=1e-15)
    np.testing.assert_allclose(to_numpy(found["slope"]).item(), slope, atol=1e-15)
    np.testing.assert_allclose(to_numpy(found["bend"]).item(), bend, rtol=1e-14)


POWERS = {
    "a tensor of exponents": (lambda x: torch.pow(x[:, 0], 0 * x[:, 1] + 2), [[2, 0], [0, 0]]),
    "one exponent": (lambda x: torch.pow(x[:, 0], torch.tensor(2.0)), [[2, 0], [0, 0]]),
    "of 0": (lambda x: torch.pow(torch.zeros_like(x[:, 1]), x[:, 1] + 1), [[0, 0], [0, 0]]),
}


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("name", POWERS)
def test_powers_of_0(name, engine):
    function, exact = POWERS[name]
    asked = {**{f"{i}{j}": (i, j) for i in (0, 1) for j in (0, 1)}, "third": (0, 0, 0)}
    found = kc.derivatives(function, np.array([[0.0, 0.5]]), asked, engine=engine)
    found = [to_numpy(found[name]).item() for name in asked]
    np.testing.assert_allclose(found, [*np.ravel(exact), 0], atol=1e-14)


CENTRE = torch.tensor([[0.3, -0.4]], dtype=torch.float64)
SQUARES = {
    "cdist": (lambda x: torch.exp(-(torch.cdist(x, CENTRE) ** 2) / 2), -1),
    "hypot": (lambda x: torch.hypot(*(x - CENTRE).unbind(1)) ** 2, 2),
    "norm": (lambda x: (x - CENTRE).norm(dim=1).square(), 2),
    "of order 4": (lambda x: torch.linalg.vector_norm(x - CENTRE, 4, dim=1) ** 4, 0),
    "product": (lambda x: _of_itself(torch.linalg.vector_norm(x - CENTRE, dim=1)), 2),
}
"""Even powers of norms, and what the Hessian at the centre is times the identity."""


def _of_itself(x):
    return x * x


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize("name", SQUARES)
def test_an_even_power_of_a_norm_has_no_kink(name, engine):
    function, bend = SQUARES[name]
    found = to_numpy(kc.hessian(function, CENTRE, engine=engine)).reshape(2, 2)
    np.testing.assert_allclose(found, bend * np.eye(2), atol=1e-14)


def test_what_a_norm_is_of_may_be_written_before_its_power():
    def function(x):
        y = x.clone()
        norm = torch.linalg.vector_norm(y, dim=1)
        y.mul_(3)
        return norm**2

    found = to_numpy(kc.hessian(function, CENTRE)).reshape(2, 2)
    np.testing.assert_allclose(found, 2 * np.eye(2), atol=1e-14)
