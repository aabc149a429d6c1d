#!/usr/bin/env bash
# A graph that a `tf.custom_gradient` was called in is never freed, nor is what it refers to.
#
# Guess before it was run: a traced function is garbage with the last reference to it, whatever it calls.
# Seen: TensorFlow keeps the gradient of every single call in a registry for the process, and with it
# the whole graph. `silu`, Keras's most used smooth activation, is such a function: a search that traces
# hundreds of models keeps the graphs of them all; with `tanh` it keeps none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import gc
import weakref

import keras
import tensorflow as tf

print("tensorflow", tf.__version__, "keras", keras.__version__)


def alive(activation, models=5):
    graphs = []
    for _ in range(models):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation)])
        traced = tf.function(model).get_concrete_function(tf.TensorSpec((None, 3)))
        graphs.append(weakref.ref(traced.graph))
        del model, traced
    keras.backend.clear_session()
    gc.collect()
    return sum(graph() is not None for graph in graphs)


found = {activation: alive(activation) for activation in ("tanh", "gelu", "silu")}
print("graphs of five models that are gone, still alive:", found)
assert found == {"tanh": 0, "gelu": 0, "silu": 5}
PYTHON
