#!/usr/bin/env bash
# PyTorch: torch.as_strided_scatter(x, new, size, stride) is x with `new` in the place of some entries. What was there before
# is gone, so the result does not depend on it. slice_scatter and select_scatter do the same for slices.
#
# Guess before it was run: the gradient by what was overwritten is 0, as that of its two sisters.
# Seen: it is the whole gradient by the result, as if the old entry had been added to the new one. Of a square with a cube
# in its place the slope is that of their sum, and the second derivative too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install torch==2.13.0 numpy==2.4.6
"$folder/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)
WAYS = {
    "as_strided_scatter": lambda x: torch.as_strided_scatter(x**2, x[:1] ** 3, (1,), (1,)),
    "slice_scatter": lambda x: torch.slice_scatter(x**2, x[:1] ** 3, 0, 0, 1),
    "select_scatter": lambda x: torch.select_scatter(x**2, x[0] ** 3, 0, 0),
}
x = torch.tensor([0.3, 0.6], dtype=torch.float64, requires_grad=True)
found = {}
for name, way in WAYS.items():
    value = way(x)[0]
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    (bend,) = torch.autograd.grad(slope[0], x)
    found[name] = value.item(), slope[0].item(), bend[0].item()
    print(f"{name}: value {found[name][0]:.4f}, slope {found[name][1]:.4f}, second derivative {found[name][2]:.4f}")
print(f"x³ at 0.3: {0.3**3:.4f}, {3 * 0.3**2:.4f}, {6 * 0.3:.4f}; x³ + x² has the slope {3 * 0.3**2 + 0.6:.4f}")
right = torch.tensor([0.027, 0.27, 1.8])
for name in ("slice_scatter", "select_scatter"):
    assert torch.allclose(torch.tensor(found[name]), right)
assert torch.allclose(torch.tensor(found["as_strided_scatter"]), right + torch.tensor([0.0, 0.6, 2.0]))
PYTHON
