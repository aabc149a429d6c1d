#!/usr/bin/env bash
# TensorFlow on a CPU: a batch of small products of matrices, (256, 10, k) times (256, k, 10), as of the Jacobians of 256
# examples with their transposes, in float32.
#
# Guess before it was run: twice the k takes twice as long, or less where the call itself is most of it; where it takes
# longer, threads wait for each other.
# Seen: k = 256 takes four to seven times what k = 128 does, with two threads and with one alike. Up to 128 * 128
# multiplications in each matrix (10 * k * 10 = 12,800 here) one way of computing is taken, above it another that is
# made for large matrices. The sum of two products of 128, copies included, takes less than half of one product of 256.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install tensorflow-cpu==2.21.0 numpy==2.4.6
cat > "$folder/times.py" <<'PYTHON'
import time

import tensorflow as tf


def milliseconds(f, *tensors):
    """The best of sixty calls, in turns of its own."""
    call = tf.function(f)
    call(*tensors), call(*tensors)
    found = []
    for _ in range(60):
        begin = time.perf_counter()
        call(*tensors).numpy()
        found.append(1e3 * (time.perf_counter() - begin))
    return min(found)


def product(a):
    return tf.matmul(a, a, transpose_b=True)


def in_two(a):
    return product(a[:, :, :128]) + product(a[:, :, 128:])


narrow, wide = (tf.random.normal((256, 10, k), seed=0) for k in (128, 256))
assert float(tf.reduce_max(tf.abs(product(wide) - in_two(wide)))) < 1e-3
once, twice, halves = milliseconds(product, narrow), milliseconds(product, wide), milliseconds(in_two, wide)
print(f"k = 128: {once:.2f} ms; k = 256: {twice:.2f} ms; k = 256 as two of 128: {halves:.2f} ms")
assert twice > 2.8 * once and halves < 0.7 * twice, (once, twice, halves)
PYTHON
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3
"$folder/bin/python" -c 'import tensorflow as tf; print("tensorflow", tf.__version__)' 2> /dev/null
for threads in 2 1; do
    echo "threads: $threads"
    TF_NUM_INTRAOP_THREADS=$threads "$folder/bin/python" "$folder/times.py" 2> /dev/null
done
