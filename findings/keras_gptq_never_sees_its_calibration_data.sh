#!/usr/bin/env bash
# Keras: `model.quantize("gptq")` to 4 bits of one model after two different sets of calibration data: all of the twenty words,
# and a single word over and over.
#
# Guess before it was run: two different models. GPTQ rounds the weights so that the outputs on these data move least;
# with a Hessian of rank one it can move nearly all of the error out of that word's way.
# Seen: the same weights to the bit. The data are read, cut and run through the model, and nothing is made of them: the
# layer is told that it is quantised first, and from then on its calls go by the function that the calibration does not
# listen to. The Hessian stays 0, and what comes out is plain rounding, without a word; the calibrated word is off by as
# much as the others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install keras==3.15.1 numpy==2.4.6 torch==2.13.0
export KERAS_BACKEND=torch
"$folder/bin/python" -W ignore - <<'PYTHON'
import keras
import numpy as np

print("keras", keras.__version__)
words = np.arange(20, dtype="int32").reshape(-1, 1)


class Tokens:
    """The data are numbers already."""

    def tokenize(self, text):
        return text


def quantised(data):
    keras.utils.set_random_seed(0)
    embedding = keras.layers.Embedding(20, 16, embeddings_initializer="normal")
    dense = keras.layers.Dense(16)
    model = keras.Sequential([keras.Input((1,), dtype="int32"), embedding, dense])
    before = keras.ops.convert_to_numpy(model(words))
    model.quantize("gptq", config=keras.quantizers.GPTQConfig(
        dataset=list(data), tokenizer=Tokens(), weight_bits=4, num_samples=16, sequence_length=8, group_size=-1,
        quantization_layer_structure={"pre_block_layers": [embedding], "sequential_blocks": [dense]},
    ))
    off = np.abs(keras.ops.convert_to_numpy(model(words)) - before).max((1, 2)) / np.abs(before).max()
    return [keras.ops.convert_to_numpy(w) for w in dense.weights], off


every = np.random.default_rng(0).integers(0, 20, (40, 8), dtype="int32")
alone = np.full((40, 8), 7, dtype="int32")
(weights, off), (weights_alone, off_alone) = quantised(every), quantised(alone)
same = all(map(np.array_equal, weights, weights_alone))
print("weights after both sets of data are the same to the bit:", same)
print(f"calibrated by word 7 alone, it is off by {off_alone[7]:.3f}, the twenty by {off_alone.mean():.3f} in the mean")
assert same and np.array_equal(off, off_alone)
assert off_alone[7] > 0.5 * off_alone.mean() > 0.005
PYTHON
