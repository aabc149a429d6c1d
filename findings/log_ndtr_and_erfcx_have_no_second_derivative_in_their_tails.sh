#!/usr/bin/env bash
# JAX and PyTorch: log_ndtr, the logarithm of the normal distribution function, and erfcx, exp(x²) erfc(x), are there for the
# tails, where log(ndtr(x)) and exp(x²) * erfc(x) are infinite or 0: probit and survival models, option prices, line shapes. Both
# write their slopes by hand. Far out log_ndtr is -x² / 2 less a logarithm, so its second derivative is -1, and erfcx is 1 / (√π x).
#
# Guess before it was run: derivatives of such functions are as careful as their values.
# Seen in float32: values to six digits everywhere. The second derivative of log_ndtr at -100 is 1.9 on JAX and -3.1 on
# PyTorch, at -1000 it is 1502 and 42453; the slope there is 5 % off on PyTorch. That of erfcx at 100 is 5 times too large. In
# float64 it begins later: at -1e4 it is -0.87 and -1.54.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install jax==0.10.2 jaxlib==0.10.2 torch==2.13.0 numpy==2.4.6
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/bin/python" - <<'PYTHON'
import math

import jax
import jax.numpy as jnp
import torch

print("jax", jax.__version__, "torch", torch.__version__)


def of_jax(x, dtype):
    f = jax.scipy.special.log_ndtr
    return [float(g(jnp.asarray(x, dtype))) for g in (f, jax.grad(f), jax.grad(jax.grad(f)))]


def of_torch(f, x, dtype):
    point = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True)
    value = f(point)
    (slope,) = torch.autograd.grad(value, point, create_graph=True)
    (bend,) = torch.autograd.grad(slope, point)
    return [value.item(), slope.item(), bend.item()]


bends = {}
for dtype, points in (("float32", (-3.0, -100.0, -1000.0)), ("float64", (-3.0, -100.0, -1e4))):
    for x in points:
        # By the continued fraction of Mills' ratio: the slope g less -x, and g' = -g (x + g).
        rest = 0.0
        for k in range(200, 0, -1):
            rest = k / (-x + rest)
        true = -(rest - x) * rest
        for name, found in (("jax", of_jax(x, dtype)), ("torch", of_torch(torch.special.log_ndtr, x, dtype))):
            bends[name, dtype, x] = found[2]
            print(f"{name} {dtype} log_ndtr({x:g}) = {found[0]:.6g}, slope {found[1]:.6g}, second derivative {found[2]:.6g}, true {true:.6g}")
            assert (abs(found[2] - true) < 1e-3) == (x == -3 or (dtype == "float64" and x == -100))
found = of_torch(torch.special.erfcx, 100.0, "float32")
true = 2 / (math.sqrt(math.pi) * 100.0**3)
print(f"torch float32 erfcx(100) = {found[0]:.6g}, second derivative {found[2]:.3g}, true {true:.3g}")
assert found[2] > 4 * true
assert bends["jax", "float32", -100.0] > 1 and bends["torch", "float32", -100.0] < -2
PYTHON
