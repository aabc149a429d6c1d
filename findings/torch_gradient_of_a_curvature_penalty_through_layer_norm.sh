#!/usr/bin/env bash
# PyTorch: a network with a normalisation is trained on its Laplacian, as for a differential equation: the Laplacian by
# `torch.autograd.grad` with `create_graph=True`, its square's gradient by the weights before the normalisation by
# `backward()`; in float64, with `layer_norm`, `group_norm` and `rms_norm`.
#
# Guess before it was run: all right. Second derivatives of these layers are right, and a gradient of them is one more
# `backward()` of the same graph.
# Seen: the Laplacian is right for all three. Its gradient by the weights is wrong without a word for `layer_norm`, so
# that training goes elsewhere, and right for the others: of `group_norm` with one group too, which is the same function.
# The second backward pass of `layer_norm` holds the mean and the scale, which the forward pass kept, for constants.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch
import torch.nn.functional as F

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
x, weights, last = torch.randn(6, 2), torch.randn(2, 8), torch.randn(8)
NORMS = {
    "layer_norm": lambda z: F.layer_norm(z, (8,)),
    "group_norm": lambda z: F.group_norm(z, 1),
    "rms_norm": lambda z: F.rms_norm(z, (8,)),
}


def values(norm, w, x):
    return torch.tanh(norm(x @ w)) @ last


def laplacian(norm, w):
    at = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(values(norm, w, at).sum(), at, create_graph=True)
    return sum(torch.autograd.grad(first[:, i].sum(), at, create_graph=True)[0][:, i] for i in range(2))


def slope(norm, at, i):
    at = at.clone().requires_grad_()
    return torch.autograd.grad(values(norm, weights, at).sum(), at)[0][:, i].sum()


def laplacian_by_differences(norm, h=1e-4):
    """The same by central differences of first derivatives."""
    found = torch.zeros(6)
    for n in range(6):
        for i in range(2):
            step = torch.zeros(6, 2)
            step[n, i] = h
            found[n] += (slope(norm, x + step, i) - slope(norm, x - step, i)) / (2 * h)
    return found


def loss(norm, w):
    return torch.sum(laplacian(norm, w) ** 2)


h = 1e-5
for name, norm in NORMS.items():
    second = laplacian(norm, weights).detach()
    assert torch.allclose(second, laplacian_by_differences(norm), rtol=1e-4, atol=1e-4), name
    w = weights.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(norm, w), w)
    steps = h * torch.eye(weights.numel()).reshape(-1, *weights.shape)
    truth = torch.stack([(loss(norm, w + step) - loss(norm, w - step)).detach() / (2 * h) for step in steps])
    truth = truth.reshape(w.shape)
    off = float((found - truth).norm() / truth.norm())
    print(f"{name}: Laplacian right, gradient of its square by the weights off by {off:.2g} of its size")
    assert off > 0.1 if name == "layer_norm" else off < 1e-6
PYTHON
