#!/usr/bin/env bash
# Keras on TensorFlow: `keras.ops.associative_scan`, as of a recurrence that is linear in its state, in a model that is
# traced, as `fit`, `predict` and `tf.function` do.
#
# Guess before it was run: all shapes are known, (2, 4), so the result's is (2, 4) in a graph as it is eagerly; it has as
# many numbers as it was given.
# Seen: the values are right. In a graph the result has no known rank, whatever the signature says, not even if it has
# the batch; `result.ndim` is -1 there, so that `if result.ndim:` takes it for a tensor with axes and `range(result.ndim)`
# for one without. A layer behind it cannot be traced: Dense says "as_list() is not defined on an unknown TensorShape",
# and names no scan. The eager model is right, `tf.ensure_shape` mends the other. `keras.ops.cumsum` keeps its shape.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON' 2>&1 | grep -v -e "^I0000" -e "^WARNING: All log"
import keras
import numpy as np
import tensorflow as tf
from keras import ops

print("keras", keras.__version__, "tensorflow", tf.__version__)
x = np.arange(1.0, 9.0).reshape(2, 4)


def scanned(x):
    return ops.associative_scan(ops.add, x, axis=1)


eager = scanned(tf.constant(x))
assert np.array_equal(eager, np.cumsum(x, axis=1))
print("eagerly: shape", eager.shape, "and right")
WAYS = {"associative_scan": scanned, "cumsum": lambda x: ops.cumsum(x, axis=1)}
ranks = []
for name, f in WAYS.items():

    @tf.function(autograph=False)
    def noting(x):
        y = f(x)
        ranks.append(y.ndim)
        return y

    for batch in (2, None):
        traced = noting.get_concrete_function(tf.TensorSpec((batch, 4), "float64"))
        assert np.array_equal(traced(tf.constant(x)), eager)
        shape = traced.output_shapes
        print(f"{name} in a graph of ({batch}, 4): shape {shape}, ndim {ranks[-1]}, values right")
        assert (shape.rank is None) == (name == "associative_scan")
        assert ranks[-1] == (-1 if shape.rank is None else 2)

dense = keras.layers.Dense(1, dtype="float64")
dense.build((None, 4))
right = dense(scanned(tf.constant(x)))
BETWEEN = {"nothing": lambda y: y, "ensure_shape": lambda y: tf.ensure_shape(y, (2, 4))}
for name, between in BETWEEN.items():
    model = tf.function(lambda x: dense(between(scanned(x))), autograph=False)
    try:
        found = model(tf.constant(x))
    except ValueError as error:
        assert name == "nothing"
        said = next(line for line in str(error).splitlines() if "TensorShape" in line)
        print(f"Dense behind it, with {name} between: {type(error).__name__}: {said.strip()}")
        assert "as_list() is not defined on an unknown TensorShape" in said
    else:
        assert name == "ensure_shape"
        print(f"Dense behind it, with {name} between: right")
        assert np.allclose(found, right)
PYTHON
