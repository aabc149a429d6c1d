#!/usr/bin/env bash
# PyTorch: the slope of `r -> r J0(r)`, as in a network for waves in a pipe, with `torch.special.bessel_j0`,
# and of the special functions beside it.
#
# Guess before it was run: right to first order (the derivative of J0 is -J1, which is there too), or an error
# that says that a derivative is missing.
# Seen: neither. Their results say `requires_grad=False`, so what is multiplied with them counts them as
# constants: the slope is J0(r) alone, 0.620 for -0.059. `torch.func.grad`, `jvp` and `jacfwd` of J0 itself are 0
# without a word, `torch.autograd.grad` of it alone raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
names = (
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "modified_bessel_i0",
    "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "spherical_bessel_j0",
)
h = 1e-5
for name in names:
    f = getattr(torch.special, name)
    r = torch.tensor(1.3, requires_grad=True)
    (slope,) = torch.autograd.grad(r * f(r), r)
    with torch.no_grad():
        truth = ((r + h) * f(r + h) - (r - h) * f(r - h)) / (2 * h)
        alone = torch.func.grad(f)(r.detach())
    print(f"{name:26} slope of r f(r): {slope:9.5f}, by differences {truth:9.5f}; torch.func.grad(f): {alone:g}")
    assert not f(r).requires_grad
    assert abs(slope - f(r)) < 1e-12
    assert abs(slope - truth) > 0.05
    assert alone == 0

(right,) = torch.autograd.grad(torch.special.i0(r), r)  # the one of the same family that has a derivative
assert abs(right - torch.special.i1(r)) < 1e-12
PYTHON
