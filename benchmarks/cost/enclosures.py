"""Whether bounds hold: random networks, boxes and points, and how wide bounds are, by method.

    python benchmarks/cost/enclosures.py --numbers 100000000
    python benchmarks/cost/enclosures.py --widths

`--numbers` compares so many values, slopes and second derivatives that `kc.derivatives` computes in
float64 at points of boxes, corners among them, with the bounds of `kc.enclose`, and exits with 1
where one is outside. `--widths` prints the median widths of bounds by intervals alone, with affine
forms of values, with those of derivatives besides, and with Taylor models, all carried from the
inputs to the results. Of values alone `backward_bounds.py` tells, beside CROWN.
"""

from __future__ import annotations

import argparse
import sys
import time

import keras
import numpy as np
from keras import layers

import keras_curvature as kc
from keras_curvature.enclosures import encloser, taylor_model
from keras_curvature.engines.api import Options

NAMES = ["value", "jacobian", "hessian"]
ACTIVATIONS = (
    *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu"),
    *("log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax"),
    *("soft_shrink", "softplus", "softsign", "squareplus", "tanh", "tanh_shrink"),
)
"""Of Keras, but for what jumps."""


def numbers(x: object) -> np.ndarray:
    """In NumPy."""
    return np.asarray(keras.ops.convert_to_numpy(x))


def network(rng: np.random.Generator) -> tuple[keras.Model, str]:
    """A random one: widths, depth, activations, what lies between, the size of its weights."""
    width, depth, inputs = (
        int(rng.integers(2, 17)),
        int(rng.integers(1, 4)),
        int(rng.integers(1, 5)),
    )
    words = [str(rng.choice(ACTIVATIONS)) for _ in range(depth)]
    model = keras.Sequential([keras.Input((inputs,))])
    for word in words:
        model.add(layers.Dense(width, word))
        if rng.uniform() < 0.15:
            model.add(layers.BatchNormalization())
        if rng.uniform() < 0.1:
            model.add(layers.LayerNormalization(epsilon=0.1))
    model.add(layers.Dense(int(rng.integers(1, 4))))
    size = rng.choice([0.3, 1.0, 2.0])
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, size / np.sqrt(weight.shape[0]), weight.shape))
    return model, f"{inputs} inputs, {depth} x {width}, {words}, weights of {size}"


def check(count: int, seed: int, seconds: float) -> int:
    """How many of so many numbers are outside of their bounds."""
    rng, done, outside, start, networks = np.random.default_rng(seed), 0, 0, time.time(), 0
    while done < count and time.time() - start < seconds:
        keras.utils.clear_session()
        model, words = network(rng)
        networks += 1
        inputs = model.input_shape[1]
        low = rng.uniform(-2, 2, (200, inputs))
        width = rng.choice([0.0, 1e-6, 0.01, 0.1, 1.0], (200, 1))
        high = low + width * rng.uniform(size=low.shape)
        bounds = kc.enclose(model, low, high, NAMES)
        shares = rng.uniform(size=(300, *low.shape))
        shares[:60] = rng.integers(0, 2, (60, *low.shape))
        x = np.clip(low + shares * (high - low), low, high).reshape(-1, inputs)
        found = kc.derivatives(model, x, NAMES, dtype="float64")
        for name in NAMES:
            y = numbers(found[name]).reshape(300, *bounds[name][0].shape)
            bad = (y < bounds[name][0]) | (y > bounds[name][1])
            done += y.size
            if bad.any():
                outside += int(bad.sum())
                print(f"{name}: {bad.sum()} outside, {words}", flush=True)
    print(
        f"{outside} of {done:,} numbers outside of their bounds, {networks} networks, "
        f"{time.time() - start:.0f} s, on {keras.config.backend()}"
    )
    return outside


METHODS = {
    "intervals": (0, 0, 0),
    "affine values": (16, 0, 0),
    "affine derivatives": (16, 64, 0),
    "Taylor models": (16, 64, 6),
}
"""How many inputs, and slopes of derivatives, have affine forms, and inputs Taylor models."""


def widths() -> None:
    """By method, activation and width of the box."""
    rng = np.random.default_rng(0)
    print(f"{'network':22} {'box':>5}  " + "  ".join(f"{m:>38}" for m in METHODS))
    print(
        " " * 30
        + "  ".join(f"{'value':>9} {'slope':>9} {'second':>9} {'us/box':>8}" for _ in METHODS)
    )
    for word, inputs, width, depth in (
        ("softplus", 4, 64, 4), ("gelu", 4, 64, 4), ("tanh", 3, 16, 2), ("silu", 2, 32, 2),
    ):  # fmt: skip
        keras.utils.set_random_seed(0)
        inside = [layers.Dense(width, word) for _ in range(depth)]
        model = keras.Sequential([keras.Input((inputs,)), *inside, layers.Dense(1)])
        for side in (1.0, 0.3, 0.1, 0.03):
            low = rng.uniform(-1, 1 - side, (1000, inputs))
            cells = []
            for encloser.FEW, encloser.DEEP, taylor_model.MOST in METHODS.values():
                ours = encloser.encloser(model, low[:1], Options(dtype="float64"))
                names = ["value", "partial 0", "partial 0 0"]
                begin = time.perf_counter()
                found = ours._forwards(low, low + side, names, None)
                each = 1e9 * (time.perf_counter() - begin) / len(low) / 1e3
                middle = [np.median(found[n][1] - found[n][0]) for n in names]
                cells.append(" ".join(f"{m:9.3g}" for m in middle) + f" {each:8.0f}")
            print(f"{word:9} {inputs} {depth}x{width:<8} {side:5}  " + "  ".join(cells), flush=True)


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--widths", action="store_true")
    asked = parser.parse_args()
    if asked.widths:
        widths()
    if asked.numbers:
        sys.exit(min(1, check(asked.numbers, asked.seed, asked.seconds)))


if __name__ == "__main__":
    main()
