#!/usr/bin/env bash
# PyTorch: the Hessians of the determinants of a batch of matrices far from singular, in float64, by
# `torch.func.vmap(torch.func.hessian(det))`, as its tutorials have Hessians for each example, and by
# `torch.func.hessian(det)` of one matrix after the other.
#
# Guess before it was run: the same. vmap is a loop that runs at once.
# Seen: the first matrix's is right and all others are wrong, by up to 600 times the largest entry, without a word;
# of `slogdet` too. `jacrev(jacrev(det))` under the same vmap is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch
from torch.func import hessian, jacrev, vmap

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
angle = torch.tensor([0.1, 0.7, 1.9, 2.6])
rows = torch.stack([torch.cos(angle), torch.sin(angle), torch.cos(2 * angle)], 1)
matrices = 2 * torch.eye(3) + rows[:, :, None] * rows.roll(1, 0)[:, None, :]
functions = {
    "det": torch.linalg.det,
    "log|det|": lambda a: torch.linalg.slogdet(a)[1],
}
print("determinants", [round(float(d), 2) for d in torch.linalg.det(matrices)])
for name, f in functions.items():
    loop = torch.stack([hessian(f)(a) for a in matrices])
    batched, reverse = vmap(hessian(f))(matrices), vmap(jacrev(jacrev(f)))(matrices)
    off = (batched - loop).abs().amax((1, 2, 3, 4)) / loop.abs().max()
    print(name, "by vmap(hessian) off by", [f"{share:.2g}" for share in off.tolist()], "of the largest entry")
    assert off[0] < 1e-12
    assert (off[1:] > 0.01).all()
    assert torch.allclose(reverse, loop, rtol=1e-9)

# The truth of one entry, by differences: d2 det / da00 da11 is the entry a22.
truth = matrices[:, 2, 2]
print("d2 det / da00 da11:", truth.tolist(), "by vmap(hessian):", vmap(hessian(functions["det"]))(matrices)[:, 0, 0, 1, 1].tolist())
PYTHON
