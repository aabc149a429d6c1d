"""Measures how long proofs of convexity take, and what they leave open.

Networks of Black-Scholes prices: of the strike; of strike and volatility; of strike, volatility and
maturity; and a larger one of spot, strike, volatility and maturity, all inputs scaled to [-1, 1].
They are trained here, for three minutes, unless a folder is given that keeps them. Each is asked
for without a tolerance and, where a point refutes that, with a tolerance a little beyond the worst
of 20,000 points, with which it may hold.

    python benchmarks/cost/proofs.py [FOLDER]
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_curvature as kc

NAMES = ("strike", "volatility", "maturity", "spot")
LOW, HIGH = np.array([0.6, 0.1, 0.2, 0.6]), np.array([1.4, 0.4, 2.0, 1.4])
USUAL = np.array([1.0, 0.25, 1.0, 1.0])
"""What an input is where the network does not have it."""

NETWORKS = {
    "1 input, softplus 2x32": (1, "softplus", (32, 32)),
    "1 input, tanh 2x32": (1, "tanh", (32, 32)),
    "2 inputs, softplus 2x32": (2, "softplus", (32, 32)),
    "2 inputs, tanh 2x32": (2, "tanh", (32, 32)),
    "3 inputs, softplus 2x32": (3, "softplus", (32, 32)),
    "3 inputs, tanh 2x16": (3, "tanh", (16, 16)),
    "4 inputs, softplus 4x64": (4, "softplus", (64, 64, 64, 64)),
}
SECONDS, OPEN = {4: 60.0}, {4: 1e-2}
"""That a proof may take, and may leave open, of 4 inputs; 5 s and 0.1 % of fewer."""


def normal_cdf(x):
    """Of a standard normal variable, to 7 digits: these are data to be fitted."""
    return np.asarray(keras.ops.erf(x / np.sqrt(2)) / 2 + 0.5, np.float64)


def prices(x):
    """Of calls, by the formula of Black and Scholes, without interest."""
    full = np.tile(USUAL, (len(x), 1))
    full[:, : x.shape[1]] = x
    strike, volatility, maturity, spot = full.T
    deviation = volatility * np.sqrt(maturity)
    up = np.log(spot / strike) / deviation + deviation / 2
    return (spot * normal_cdf(up) - strike * normal_cdf(up - deviation))[:, None]


def trained(inputs, activation, widths, path):
    """A network of prices, from a file if it is there."""
    if path is not None and path.exists():
        return keras.models.load_model(path)
    keras.utils.set_random_seed(0)
    scaled = np.random.default_rng(0).uniform(-1, 1, (20_000, inputs))
    low, high = LOW[:inputs], HIGH[:inputs]
    y = prices(low + (scaled + 1) / 2 * (high - low))
    layers = [keras.layers.Dense(width, activation) for width in widths]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, 40 * 157)
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(scaled, y, batch_size=128, epochs=40, verbose=0)
    print(f"  fitted to {np.sqrt(model.evaluate(scaled, y, verbose=0)):.1e}")
    if path is not None:
        model.save(path)
    return model


def prove(model, inputs, tolerance, worst):
    """Proves convexity in the strike, and prints how that went."""
    seconds, wanted = SECONDS.get(inputs, 5.0), OPEN.get(inputs, 1e-3)
    begin = time.process_time()
    proof = kc.prove(
        model, -1.0, 1.0, {"strike": "convex"}, tolerance=tolerance, seconds=seconds,
        feature_names=NAMES[:inputs], verbose=False,
    )  # fmt: skip
    spent = time.process_time() - begin
    (found,) = proof.claims.values()
    met = "met" if found.open <= wanted and found.seconds <= 1.1 * seconds else "MISSED"
    print(
        f"  tolerance {tolerance:.4g}: {found.verdict}, proved {100 * found.proved:.2f} %, refuted "
        f"{100 * found.refuted:.2f} %, open {100 * found.open:.3f} % (goal {100 * wanted:g} %: "
        f"{met}), {found.boxes:,} boxes, {found.seconds:.1f} s of the clock, {spent:.1f} s of all "
        f"cores with the slice for the picture; least of 20,000 points {worst:.4g}, bound "
        f"{found.bound:.4g}",
        flush=True,
    )


def main(folder):
    """Trains, proves, prints."""
    for name, (inputs, activation, widths) in NETWORKS.items():
        print(name, flush=True)
        path = None if folder is None else folder / f"{name.replace(' ', '_')}.keras"
        model = trained(inputs, activation, widths, path)
        points = np.random.default_rng(1).uniform(-1, 1, (20_000, inputs))
        bend = kc.derivatives(model, points, {"s": (0, 0)}, dtype="float64")["s"]
        worst = float(np.min(keras.ops.convert_to_numpy(bend)))
        tolerances = [0.0] if worst > 0 else [0.0, 1e-3 - 1.05 * worst]
        for tolerance in tolerances:
            prove(model, inputs, tolerance, worst)
    print(f"Load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"Peak memory of the process, Keras and training included: {peak:.2f} GiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
