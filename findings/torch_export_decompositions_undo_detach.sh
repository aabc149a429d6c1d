#!/usr/bin/env bash
# PyTorch: a module with `detach()` and one with a `torch.no_grad()` block (a target, a normalising constant), as they are,
# after `torch.export.export`, and after `run_decompositions()` of that, which converters call first.
#
# Guess before it was run: all have the same values and the same gradients.
# Seen: the exported ones have. After `run_decompositions()` the values are the same to the bit and nothing is held
# constant any more: the gradient of y * y.detach() is 2 y for y, and that of the constant comes on top, without a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 torch==2.13.0
"$folder/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)


class Detached(torch.nn.Module):
    def forward(self, x):
        y = torch.sin(x)
        return y * y.detach()


class Unrecorded(torch.nn.Module):
    def forward(self, x):
        y = torch.sin(x)
        with torch.no_grad():
            scale = (y * y).sum(1, keepdim=True)
        return y / scale


def gradient(f, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad((f(x) ** 2).sum(), x)[0]


x = torch.randn(4, 3)
for module in (Detached(), Unrecorded()):
    program = torch.export.export(module, (x,))
    exported, decomposed = program.module(), program.run_decompositions().module()
    own = gradient(module, x)
    off = [float((gradient(f, x) - own).norm() / own.norm()) for f in (exported, decomposed)]
    name = type(module).__name__
    print(f"{name}: gradient off by {off[0]:.2g} of its size after export, by {off[1]:.2g} after run_decompositions")
    assert torch.equal(exported(x), module(x))
    assert torch.equal(decomposed(x), module(x))
    assert off[0] < 1e-12
    assert off[1] > 0.3

x = torch.randn(4, 3)
ratio = gradient(torch.export.export(Detached(), (x,)).run_decompositions().module(), x) / gradient(Detached(), x)
print("of y * y.detach():", ratio.unique().tolist(), "times")
assert torch.allclose(ratio, torch.full_like(ratio, 2.0))
PYTHON
