#!/usr/bin/env bash
# PyTorch: a module with a `torch.autograd.Function` of its own gradient, as for a rounding that is differentiated straight
# through or a spike with a smooth slope, as it is and after `torch.export.export(...).module()`.
#
# Guess before it was run: the exported one has the same gradient, or export refuses the function.
# Seen: neither. Export writes down what `forward` computes and forgets `backward`: values agree to the bit, and the
# gradient is that of the rounding, exactly 0, without a word: nothing before it learns any more. The second derivative
# is gone likewise.
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


class Rounded(torch.autograd.Function):
    """Rounds to quarters; its gradient is that of a tanh."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.round(4 * torch.tanh(x)) / 4

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(x) ** 2)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 8), torch.nn.Linear(8, 1)

    def forward(self, x):
        return self.last(Rounded.apply(self.first(x)))


net, x = Net(), torch.randn(5, 3)
exported = torch.export.export(net, (x,)).module()
assert torch.equal(net(x), exported(x))


def gradients(f):
    point = x.clone().requires_grad_()
    found = f(point).sum()
    weights = dict(f.named_parameters())["first.weight"]
    by_x, by_weights = torch.autograd.grad(found, (point, weights), create_graph=True, allow_unused=True, materialize_grads=True)
    second = torch.zeros(())
    if by_x.requires_grad:
        (second,) = torch.autograd.grad(by_x.sum(), point, allow_unused=True, materialize_grads=True)
    return [float(g.detach().norm()) for g in (by_x, by_weights, second)]


own, after = gradients(net), gradients(exported)
for name, one, other in zip(("by the input", "by the first weights", "second, by the input"), own, after):
    print(f"gradient {name}: {one:.4f}, of the exported module {other:.4f}")
assert min(own) > 0.01
assert max(after) == 0
PYTHON
