#!/usr/bin/env bash
# A tf.custom_gradient whose gradient calls another one has no second derivative inside tf.cond.
#
# Guess before it was run: the second derivative is that of the second function's gradient, in a branch as anywhere.
# Seen: an AssertionError without a word from cond_v2, at the second tape. The argument that the
# gradient holds is a tensor of the branch; tf.identity around the arguments is enough to mend it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import tensorflow as tf

print("tensorflow", tf.__version__)


@tf.custom_gradient
def slope_of_cube(x):
    return 3 * x**2, lambda upstream: upstream * 6 * x


@tf.custom_gradient
def cube(x):
    return x**3, lambda upstream: upstream * slope_of_cube(x)


@tf.custom_gradient
def cube_of_copies(x):
    return x**3, lambda upstream: upstream * slope_of_cube(tf.identity(x))


def second(function, in_branch):
    @tf.function(autograph=False)
    def compute(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.cond(x > 0, lambda: function(x), lambda: x) if in_branch else function(x)
            slope = inner.gradient(y, x)
        return outer.gradient(slope, x)

    return float(compute(tf.constant(2.0)))


print("outside of a condition:", second(cube, False))
try:
    inside = second(cube, True)
except AssertionError as error:
    inside = f"AssertionError({str(error)!r})"
print("in a branch:", inside)
copies = second(lambda x: cube_of_copies(tf.identity(x)), True)
print("in a branch, with tf.identity around both arguments:", copies)
assert second(cube, False) == 12.0 and inside == "AssertionError('')"
assert copies == 12.0
PYTHON
