"""What PyTorch itself gets wrong, or has not, is told."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import layers

import keras_curvature as kc
import truth
from ailing import X, stack
from keras_curvature.engines.torch.conversion import to_numpy

SERIES = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")


def attention(kind, *arguments):
    x = keras.Input((4, 3))
    found = kind(*arguments, name="attention")(x, x)
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(found)))


MISSING = {
    "MultiHeadAttention": (lambda: attention(layers.MultiHeadAttention, 2, 2), SERIES),
    "GroupQueryAttention": (lambda: attention(layers.GroupQueryAttention, 2, 4, 2), SERIES),
    "hard_sigmoid": (lambda: stack(layers.Dense(8, "silu"), layers.Activation("hard_sigmoid")), X),
}
"""Keras models of which PyTorch has no second derivative by any mode."""


def second_derivative_of_pytorch(model, x):
    point = torch.from_numpy(x).requires_grad_()
    (slope,) = torch.autograd.grad(model(point).sum(), point, create_graph=True)
    return torch.autograd.grad(slope.sum(), point)


@pytest.mark.parametrize("name", MISSING)
def test_what_pytorch_lacks_is_right_here(name):
    """By differences of values."""
    make, x = MISSING[name]
    keras.utils.set_random_seed(0)
    model, x = make(), x[:4]
    with pytest.raises(RuntimeError, match="derivative for"):
        second_derivative_of_pytorch(model, x)
    flat = x.reshape(len(x), -1).astype("float64")

    def value(points):
        points = points.reshape(-1, *x.shape[1:])
        found = kc.derivatives(model, points, ["value"], dtype="float64")
        return to_numpy(found["value"])

    known = truth.hessian_of_value(value, flat, 0.01)
    for engine in ("taylor", "nested"):
        found = to_numpy(kc.hessian(model, x, engine=engine, dtype="float64"))
        np.testing.assert_allclose(found.reshape(known.shape), known, rtol=0, atol=1e-9)


def root(x):
    """Of what is positive; the slope at the other numbers is infinite times 0."""
    return torch.where(x[:, :1] > 0, torch.sqrt(x[:, :1]), x[:, :1] ** 2)


def test_what_pytorch_itself_gets_wrong_is_told():
    report = kc.diagnose(root, X, compare_tapes=True)
    (finding,) = [f for f in report.findings if f.kind == "PyTorch wrong"]
    assert "NaN" in finding.found, str(report)
    assert "PyTorch wrong" not in kc.diagnose(root, X).kinds


def margin(x):
    labels = torch.zeros(len(x), dtype=torch.int64)
    return torch.nn.functional.multi_margin_loss(x**2, labels, reduction="none")


def test_what_pytorch_has_no_second_derivative_of_is_told():
    (finding,) = kc.diagnose(margin, X).findings
    assert finding.kind == "no derivative"
    assert "multi_margin_loss in the op" in finding.where


def test_what_has_no_derivative_and_says_it_is_0_is_refused():
    """PyTorch marks its Bessel functions as constant."""
    x = torch.from_numpy(X).requires_grad_()
    assert not torch.special.bessel_j0(x).requires_grad
    with pytest.raises(ValueError, match="PyTorch has no derivative for special_bessel_j0"):
        kc.laplacian(torch.special.bessel_j0, X)
    constant = kc.laplacian(lambda x: x**2 + torch.special.bessel_j0(x.detach()), X)
    np.testing.assert_allclose(to_numpy(constant), 2, rtol=1e-6)


@pytest.fixture
def float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def test_layers_of_a_float64_model_that_compute_in_float32_are_named(float64):
    """Keras's ops round float64, PyTorch's own do not: seen in what each layer gives."""
    keras.utils.set_random_seed(0)
    own = layers.Lambda(lambda t: torch.sin(t), name="own")
    hidden = [layers.Dense(8, name="rounded"), own, layers.LayerNormalization(name="mean")]
    model, given, rounding = stack(*hidden), X, set()
    for layer in model.layers:
        given = to_numpy(layer(given.astype("float64")))
        if np.array_equal(given, given.astype("float32")):
            rounding.add(layer.name)
    report = kc.diagnose(model, X.astype("float64"))
    (finding,) = [f for f in report.findings if f.kind == "below float64"]
    assert set(finding.layers) == rounding == {"rounded", "mean", "readout"}


def test_a_derivative_output_does_not_round_what_the_model_itself_rounds(float64):
    """As the finding says, of values and in training: against NumPy's float64."""
    keras.utils.set_random_seed(0)
    net = stack(layers.Dense(8, "tanh"))
    outer, bias, inner, shift = (w.astype("float64") for w in net.get_weights())
    x = X.astype("float64")
    hidden = np.tanh(x @ outer + bias)
    known = hidden @ inner + shift
    slope = 2 * known / known.size
    gradient = x.T @ (slope @ inner.T * (1 - hidden**2))
    inputs = keras.Input(x.shape[1:])
    layer = keras.Model(inputs, kc.DerivativeOutput(net, ["value", "laplacian"])(inputs))

    def errors(value):
        kernel = net.trainable_weights[0].value
        kernel.grad = None
        (value**2).mean().backward()
        pairs = ((to_numpy(value), known), (to_numpy(kernel.grad), gradient))
        return [np.abs(a - b).max() / np.abs(b).max() for a, b in pairs]

    given = torch.from_numpy(x)
    assert max(errors(layer(given, training=True)["value"])) < 1e-14
    assert min(errors(net(given, training=True))) > 1e-9
    meaning = next(f.meaning for f in kc.diagnose(net, x).findings if f.kind == "below float64")
    assert "so does `DerivativeOutput`, the value and training included" in meaning
