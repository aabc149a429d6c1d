#!/usr/bin/env bash
# TensorFlow Probability: the second derivative of kernels of Gaussian processes, k(x, 0), at x = 0 and beside it, by
# nested tapes in float64, as for the prior of a function's slope.
#
# Guess before it was run: right. These kernels are smooth where the points meet, and the library takes care of the
# square root in a distance of 0.
# Seen: it takes care by a slope of 0, so that the second derivative of Matérn 5/2, Matérn 3/2 and the periodic kernel is
# exactly 0 there, for -5/3, -3 and -39.5: the variance of a slope, by which every such process is told, is 0.
# The exponentiated and the rational quadratic, which have no root, are right; so are all of them beside 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    numpy==2.4.6 tensorflow==2.21.0 tensorflow-probability==0.25.0 tf-keras==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 "$folder/bin/python" - <<'PYTHON'
import tensorflow as tf
import tensorflow_probability as tfp

print("tensorflow", tf.__version__, "tensorflow_probability", tfp.__version__)
one, h = tf.ones((), tf.float64), 1e-4


def by_tapes(f, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        slope = inner.gradient(y, x)
    return float(outer.gradient(slope, x)[0])


def by_differences(f, x):
    return float((f(x + h) - 2 * f(x) + f(x - h))[0] / h**2)


found = {}
for name in ("ExponentiatedQuadratic", "RationalQuadratic", "MaternThreeHalves", "MaternFiveHalves", "ExpSinSquared"):
    kernel = getattr(tfp.math.psd_kernels, name)(one)
    for place in (0.0, 0.3):
        x = tf.constant([place], tf.float64)
        f = lambda x: kernel.apply(x[:, None], tf.zeros_like(x)[:, None])
        found[name, place] = (by_tapes(f, x), by_differences(f, x))
        print(f"{name:23} at {place}: by tapes {found[name, place][0]:9.4f}, by differences {found[name, place][1]:9.4f}")
for (name, place), (tapes, truth) in found.items():
    rough = name in ("MaternThreeHalves", "MaternFiveHalves", "ExpSinSquared")
    if rough and place == 0:
        assert tapes == 0
        assert truth < -1.5
    else:
        assert abs(tapes - truth) < 1e-3 * abs(truth)
PYTHON
