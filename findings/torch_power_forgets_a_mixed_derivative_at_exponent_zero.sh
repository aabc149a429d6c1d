#!/usr/bin/env bash
# PyTorch: the second derivatives of x ** p by both at p = 0, where many a power law, a Box-Cox transform or a trained
# exponent begins, at x = 2, in float64.
#
# Guess before it was run: d2/dx dp is x^(p-1) (1 + p log x), so 1/x = 0.5 at p = 0, whichever comes first.
# Seen: 0 where the derivative by x comes first, and 0.5 where that by p does: the Hessian is not symmetric. A second
# derivative of (1 + t)^t at 0 is 1 for 2. The derivative by the base is set to 0 where the exponent is 0, as a value
# and not as the function of the exponent that it is. At p = 1e-9 it is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)


def hessian(p):
    at = torch.tensor([2.0, p])
    f = lambda v: torch.pow(v[0], v[1])
    return torch.autograd.functional.hessian(f, at), torch.func.hessian(f)(at)


for p in (0.0, 1e-9):
    print(f"p = {p:g}:", *(f"{found.tolist()}" for found in hessian(p)))
for found in hessian(0.0):
    assert found[0, 1] == 0
    assert abs(found[1, 0] - 0.5) < 1e-12
for found in hessian(1e-9):
    assert torch.allclose(found[0, 1], torch.tensor(0.5)) and torch.allclose(found, found.T)


def along(t):
    return (1 + t) ** t


t = torch.tensor(0.0, requires_grad=True)
(slope,) = torch.autograd.grad(along(t), t, create_graph=True)
(second,) = torch.autograd.grad(slope, t)
h = 1e-3
with torch.no_grad():
    truth = (along(t + h) - 2 * along(t) + along(t - h)) / h**2
print(f"second derivative of (1 + t)^t at 0: {float(second):g}, by differences {float(truth):.5f}")
assert second == 1
assert abs(truth - 2) < 1e-4
PYTHON
