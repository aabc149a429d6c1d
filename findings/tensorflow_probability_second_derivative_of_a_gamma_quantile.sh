#!/usr/bin/env bash
# TensorFlow Probability: derivatives of the quantile of a gamma distribution by its shape, q(a) with P(a, q) = 0.4, as for a
# network that says a and is judged by quantiles; by tapes in float64.
#
# Guess before it was run: right to first order, and an error to second, as TensorFlow has no derivative of that of the
# incomplete gamma function by its shape.
# Seen: the first is right (0.870). The second is a number, without a word, and wrong: 0.443 for 0.067. By the
# probability it is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    numpy==2.4.6 scipy==1.17.1 tensorflow==2.21.0 tensorflow-probability==0.25.0 tf-keras==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 "$folder/bin/python" - <<'PYTHON'
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

print("tensorflow", tf.__version__, "tensorflow_probability", tfp.__version__)
a, p, h = 1.5, 0.4, 1e-3


def tapes(f, at):
    x = tf.constant(at, tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        slope = inner.gradient(y, x)
    return float(slope), float(outer.gradient(slope, x))


def differences(f, at):
    ahead, here, behind = f(at + h), f(at), f(at - h)
    return (ahead - behind) / (2 * h), (ahead - 2 * here + behind) / h**2


one = tf.ones((), tf.float64)
cases = {
    "by the shape": (lambda a: tfp.distributions.Gamma(a, one).quantile(p * one),
                     lambda a: scipy.stats.gamma.ppf(p, a), a),
    "by the probability": (lambda p: tfp.distributions.Gamma(a * one, one).quantile(p),
                           lambda p: scipy.stats.gamma.ppf(p, a), p),
}
off = {}
for name, (f, truth, at) in cases.items():
    found, known = tapes(f, at), differences(truth, at)
    off[name] = [abs(x - y) / abs(y) for x, y in zip(found, known)]
    print(f"{name}: tapes {found[0]:.4f}, {found[1]:.4f}; SciPy's values {known[0]:.4f}, {known[1]:.4f}")
assert max(off["by the probability"]) < 1e-3
assert off["by the shape"][0] < 1e-3
assert off["by the shape"][1] > 1
PYTHON
