#!/usr/bin/env bash
# PyTorch: derivatives of `scatter_reduce(..., "prod")`, the product of the entries of each group, by `torch.func.jacfwd`,
# `jacrev` and `torch.func.hessian`, in float64, with no entry 0.
#
# Guess before it was run: forward mode is the Jacobian that reverse mode gives, or an error that says that it is not there,
# as it is for `index_reduce`.
# Seen: the whole forward Jacobian is 0, without a word. `torch.func.hessian`, which is forward over
# reverse, is wrong too, and not 0; reverse mode is right in both orders. "sum" and "mean" are right in all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch
from torch.func import hessian, jacfwd, jacrev

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
groups = torch.tensor([0, 1, 0, 1, 1])
x = torch.tensor([1.3, 0.7, 2.1, 1.6, 0.9])
weights = torch.tensor([1.0, 0.5])
h, axes = 1e-4, torch.eye(5)


def function(reduce):
    return lambda v: weights @ torch.ones(2).scatter_reduce(0, groups, v, reduce)


for reduce in ("prod", "sum", "mean"):
    f = function(reduce)
    if reduce != "prod":
        f = lambda v, inner=f: inner(v**3)
    first = torch.stack([(f(x + h * a) - f(x - h * a)) / (2 * h) for a in axes])
    second = torch.stack([
        torch.stack([
            (f(x + h * (a + b)) - f(x + h * (a - b)) - f(x - h * (a - b)) + f(x - h * (a + b))) / (4 * h * h)
            for b in axes
        ])
        for a in axes
    ])
    found = {
        "jacfwd": (jacfwd(f)(x), first),
        "jacrev": (jacrev(f)(x), first),
        "hessian": (hessian(f)(x), second),
        "jacrev of jacrev": (jacrev(jacrev(f))(x), second),
    }
    if reduce == "prod":
        assert torch.count_nonzero(found["jacfwd"][0]) == 0
        assert torch.count_nonzero(found["hessian"][0]) > 0
    off = {name: float((a - b).norm() / b.norm()) for name, (a, b) in found.items()}
    print(f"{reduce}:", ", ".join(f"{name} off by {share:.2g}" for name, share in off.items()))
    for name, share in off.items():
        assert share > 0.3 if reduce == "prod" and name in ("jacfwd", "hessian") else share < 1e-5, name
PYTHON
