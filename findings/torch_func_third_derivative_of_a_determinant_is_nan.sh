#!/usr/bin/env bash
# PyTorch: derivatives of `t -> det(A + t B)` for 3 x 3 matrices, a cubic polynomial, at a point where the
# matrix is far from singular: by `torch.func.grad` of `torch.func.grad` of …, and by `torch.autograd.grad`
# with `create_graph=True` over and over.
#
# Guess before it was run: the same numbers by both, as both are reverse mode over reverse mode by the same
# formulas.
# Seen: the same to second order. From the third on `torch.func.grad` is NaN without a word, where
# `torch.autograd.grad` is right (30.9).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import math

import numpy as np
import torch

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
a = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0], [2.0, 1.0, 1.0]])
b = torch.tensor([[0.3, -1.0, 2.0], [1.0, 0.5, 0.0], [-2.0, 1.0, 1.0]])


def f(t):
    return torch.linalg.det(a + t * b)


ts = np.arange(4.0)
cubic = np.poly1d(np.polyfit(ts, [float(f(torch.tensor(t))) for t in ts], 3))
truth = [float(cubic.deriv(k)(0.4)) for k in (1, 2, 3)]

by_func, function = [], f
for _ in range(3):
    function = torch.func.grad(function)
    by_func.append(float(function(torch.tensor(0.4))))

t = torch.tensor(0.4, requires_grad=True)
by_autograd, y = [], f(t)
for _ in range(3):
    (y,) = torch.autograd.grad(y, t, create_graph=True)
    by_autograd.append(float(y))

for name, found in (("truth", truth), ("autograd.grad", by_autograd), ("func.grad", by_func)):
    print(f"{name:14}", *(f"{value:10.4f}" for value in found))
assert np.allclose(by_autograd, truth, rtol=1e-9)
assert np.allclose(by_func[:2], truth[:2], rtol=1e-9)
assert math.isnan(by_func[2])
PYTHON
