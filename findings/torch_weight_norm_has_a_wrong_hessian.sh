#!/usr/bin/env bash
# PyTorch: the Hessian of a loss by the parameters of a linear layer with `torch.nn.utils.parametrizations.weight_norm`, as
# for Newton steps, Laplace approximations and sharpness, by `torch.autograd`, in float64.
#
# Guess before it was run: that of the same layer with g v / |v| written out. weight_norm is a formula, and its gradient
# has a second derivative.
# Seen: the value and the gradient are the same to the last digit. The Hessian is off by more than its own size, without
# a word, and is not symmetric; that of the written formula is right. Its derivative takes the norms that the forward
# pass has kept as constants.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch
from torch.autograd.functional import hessian, jacobian

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2, bias=False))
names = [name for name, _ in layer.named_parameters()]
x = torch.randn(5, 3)
at = torch.cat([layer.get_parameter(name).detach().ravel() for name in names])


def parts(flat):
    return flat[:2].reshape(2, 1), flat[2:].reshape(2, 3)


def loss(flat):
    y = torch.func.functional_call(layer, dict(zip(names, parts(flat))), (x,))
    return torch.sum(torch.tanh(y) ** 2)


def written_out(flat):
    g, v = parts(flat)
    return torch.sum(torch.tanh(x @ (g * v / v.norm(dim=1, keepdim=True)).T) ** 2)


h = 1e-5
truth = torch.stack([(jacobian(loss, at + h * e) - jacobian(loss, at - h * e)) / (2 * h) for e in torch.eye(len(at))])


def off(found):
    return float((found - truth).norm() / truth.norm())


own = hessian(loss, at)
asymmetry = float((own - own.T).norm() / own.norm())
print(f"Hessian off by {off(own):.2f} of its size, asymmetric by {asymmetry:.2f}")
print(f"Hessian of the formula written out off by {off(hessian(written_out, at)):.1g}")
assert torch.allclose(loss(at), written_out(at), rtol=1e-14)
assert torch.allclose(jacobian(loss, at), jacobian(written_out, at), rtol=1e-12)
assert off(own) > 0.5 and asymmetry > 0.1
assert off(hessian(written_out, at)) < 1e-7
PYTHON
