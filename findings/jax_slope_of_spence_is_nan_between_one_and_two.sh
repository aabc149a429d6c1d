#!/usr/bin/env bash
# JAX: Spence's function, the integral of log(t) / (1 - t) from 1 on, as of dilogarithms in Feynman integrals and in the
# entropy of Fermi gases. Its derivative is log(x) / (1 - x), which is smooth: -1 at 1.
#
# Guess before it was run: the derivative where there is a value, NaN perhaps at 1 itself.
# Seen: values are right, and the slope is NaN for every x above 1 up to 2, at 1 itself 0. Below 1 and above 2 it is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/bin/python" - <<'PYTHON'
import math

import jax
import numpy as np
from jax.scipy.special import spence

print("jax", jax.__version__)
points = [0.3, 0.9, 1.0, 1.001, 1.5, 2.0, 2.1, 5.0]
slopes = {}
for x in points:
    true = -1.0 if x == 1 else math.log(x) / (1 - x)
    step = 1e-5
    difference = float(spence(x + step) - spence(x - step)) / (2 * step)
    slopes[x] = float(jax.grad(spence)(x))
    print(f"x = {x}: slope {slopes[x]:.6f}, by differences of its values {difference:.6f}, true {true:.6f}")
    assert abs(difference - true) < 1e-6
assert all(np.isnan(slopes[x]) for x in (1.001, 1.5, 2.0)) and slopes[1.0] == 0
assert not any(np.isnan(slopes[x]) for x in (0.3, 0.9, 2.1, 5.0))
PYTHON
