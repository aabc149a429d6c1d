#!/usr/bin/env bash
# Looking at one element of a shuffled dataset changes the order in which it is read afterwards.
#
# Guess before it was run: `dataset.take(1)` is a dataset of its own, with a seed that is fixed, so the
# next epochs of `dataset` are what they would have been.
# Seen: both share one counter of epochs. A callback that looks at a batch before `fit`, or a metric
# that takes a sample, moves every later epoch on by one: the watched training is another one.
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


def epochs(look):
    dataset = tf.data.Dataset.range(8).shuffle(8, seed=3)
    found = []
    for i in range(3):
        if look and i == 1:
            list(dataset.take(1).as_numpy_iterator())
        found.append([int(x) for x in dataset.as_numpy_iterator()])
    return found


alone, looked_at = epochs(look=False), epochs(look=True)
print("alone:    ", alone)
print("looked at:", looked_at)
assert epochs(look=False) == alone, "the seed is fixed"
assert looked_at[0] == alone[0] and looked_at[1] == alone[2]
PYTHON
