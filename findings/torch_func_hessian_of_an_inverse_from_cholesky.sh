#!/usr/bin/env bash
# PyTorch: the Hessian of an entry of `torch.cholesky_inverse(L)`, the inverse of L L', by the factor L, in float64:
# by `torch.func.hessian`, which is forward over reverse, and by reverse over reverse.
#
# Guess before it was run: the same to rounding.
# Seen: `torch.func.hessian` is off by 40 % of its size, without a word. Reverse over reverse is
# right, as differences say, and so is either through `torch.linalg.inv(L @ L.mT)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch
from torch.func import hessian, jacrev

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
factor = torch.tensor([[1.2, 0.0, 0.0], [0.3, 0.9, 0.0], [-0.4, 0.2, 1.1]])
below = torch.tril(torch.ones(3, 3)).nonzero().unbind(1)


def by_cholesky(entries):
    return torch.cholesky_inverse(torch.zeros(3, 3).index_put(below, entries))[0, 0]


def by_inverse(entries):
    lower = torch.zeros(3, 3).index_put(below, entries)
    return torch.linalg.inv(lower @ lower.mT)[0, 0]


x = factor[below]
h, axes = 1e-4, torch.eye(6)
truth = torch.stack([
    torch.stack([
        (by_cholesky(x + h * (a + b)) - by_cholesky(x + h * (a - b)) - by_cholesky(x - h * (a - b))
         + by_cholesky(x - h * (a + b))) / (4 * h * h)
        for b in axes
    ])
    for a in axes
])
size = truth.norm()
off = {
    "cholesky_inverse by torch.func.hessian": hessian(by_cholesky)(x),
    "cholesky_inverse by jacrev(jacrev)": jacrev(jacrev(by_cholesky))(x),
    "inv by torch.func.hessian": hessian(by_inverse)(x),
}
off = {name: float((found - truth).norm() / size) for name, found in off.items()}
for name, share in off.items():
    print(f"{name}: off by {share:.2g} of its size")
wrong, *right = off.values()
assert wrong > 0.1
assert max(right) < 1e-5
PYTHON
