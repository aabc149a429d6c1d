#!/usr/bin/env bash
# TensorFlow: `tf.autodiff.ForwardAccumulator` in one process that asks many different functions for a derivative, as a
# search, a test suite or a notebook does.
#
# Guess before it was run: eager forward mode looks a rule up and runs it; what an operation takes does not depend on
# what the process has differentiated before.
# Seen: a function is traced for each operation with other attributes or shapes, all of them are kept in one cache for
# as long as the process lives, and each new one is compared with every one that is there: an operation that is new
# after 600 others costs 600 comparisons more than as the first. Nothing public empties the cache.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install tensorflow-cpu==2.21.0 numpy==2.4.6
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3
"$folder/bin/python" - <<'PYTHON' 2>&1 | grep -v -e "^I0000" -e "^WARNING: All log"
import cProfile
import pstats

import tensorflow as tf

print("tensorflow", tf.__version__)
OPS = [tf.sin, tf.cos, tf.tan, tf.exp, tf.tanh, tf.atan, tf.sinh, tf.cosh, tf.asinh, tf.math.erf, tf.math.expm1]
OPS += [tf.sigmoid, tf.square, tf.negative, tf.math.softplus, tf.nn.elu, tf.nn.selu, tf.math.log1p]
OPS += [tf.math.lgamma, tf.math.digamma, tf.abs, tf.nn.relu, tf.math.erfc]


def slope(op, size):
    """Along ones, at numbers of a shape."""
    x = tf.linspace(0.1, 0.9, size)
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
        y = op(x)
    return forward.jvp(y)


def comparisons(size):
    """Of signatures, while an operation is differentiated that none of `OPS` is."""
    profile = cProfile.Profile()
    profile.runcall(slope, tf.math.rsqrt, size)
    calls = pstats.Stats(profile).stats.items()
    return sum(row[1] for (path, _, name), row in calls if name == "is_supertype_of" and "function_type" in path)


found = [comparisons(2)]
for end in (13, 26):
    for size in range(end - 12, end + 1):
        for op in OPS:
            slope(op, size)
    found.append(comparisons(end))
print("comparisons for one operation: first of all, after half of the others, after all of them:", *found)
assert found[0] < 20 and found[1] > 200 and found[2] > 1.5 * found[1], found
PYTHON
