"""Prices of calls without arbitrage in strike and maturity, from forty noisy quotes.

A call costs less the higher its strike, is convex in it, and costs more the longer it runs; whoever
quotes otherwise gives money away. A network that fits noisy quotes knows nothing of that.
`kc.ShapePenalty` asks it to keep that shape, at the quotes and between them, and
`CurvatureMonitor(shape=...)` says at which share of a grid it does. Asked for a shape that is true,
the network is nearer to the true prices too, here those of Black and Scholes.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
from dataclasses import dataclass
from math import erf
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import keras_curvature as kc

VOLATILITY = 0.25  # spot 1, no interest
STRIKES, MATURITIES = (0.6, 1.5), (0.1, 2.0)
QUOTES, NOISE = 40, 0.01
STEPS = 100  # of the optimizer in each epoch

INPUTS = ["strike", "maturity"]
SHAPE = {"strike": ("convex", "decreasing"), "maturity": "increasing"}

LABELS = {"free": "quotes alone", "kept": "with ShapePenalty"}
COLOURS = {"free": "#c2410c", "kept": "#0f766e"}
INK, GREY = "#111827", "#9ca3af"


def call_price(x: np.ndarray) -> np.ndarray:
    """Black and Scholes, of strike and maturity `(n, 2)`."""

    def normal(z: np.ndarray) -> np.ndarray:
        return (1 + np.vectorize(erf)(z / np.sqrt(2))) / 2

    strike, maturity = np.split(x.astype(float), 2, axis=1)
    width = VOLATILITY * np.sqrt(maturity)
    d = -np.log(strike) / width + width / 2
    return normal(d) - strike * normal(d - width)


def quotes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    low, high = np.transpose([STRIKES, MATURITIES])
    x = rng.uniform(low, high, size=(QUOTES, 2)).astype("float32")
    price = call_price(x) + NOISE * rng.normal(size=(QUOTES, 1))
    return x, price.astype("float32")


def grid(strikes: int, maturities: int) -> np.ndarray:
    """Strikes by maturities, a little inside of where the quotes are."""
    axes = np.linspace(0.65, 1.45, strikes), np.linspace(0.15, 1.95, maturities)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2).astype("float32")


@dataclass(frozen=True)
class Fitted:
    """A network, what the monitor saw, and how good it is."""

    network: keras.Model
    monitor: kc.CurvatureMonitor
    error: float
    shape_fraction: float


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    means, variances = [1.05, 1.05], [0.07, 0.3]
    return keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Normalization(mean=means, variance=variances),
            *(keras.layers.Dense(32, activation="silu") for _ in range(2)),
            keras.layers.Dense(1),
        ]
    )


def fit(kind: str, epochs: int, out: Path) -> Fitted:
    network = build()
    strength = {"free": 0.0, "kept": 1.0}[kind]
    penalty = kc.ShapePenalty(network, SHAPE, strength, feature_names=INPUTS, seed=0)
    model = keras.Sequential([keras.Input((2,)), penalty])
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * STEPS)
    model.compile(keras.optimizers.Adam(rate), "mse", steps_per_execution=STEPS)
    probe = grid(25, 15)
    monitor = kc.CurvatureMonitor(
        (probe, call_price(probe)), out / kind, shape=SHAPE, feature_names=INPUTS, units="std"
    )
    model.fit(
        tf.data.Dataset.from_tensors(quotes()).repeat(),
        steps_per_epoch=STEPS,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
    )
    error = np.sqrt(np.mean((network.predict(probe, verbose=0) - call_price(probe)) ** 2))
    return Fitted(network, monitor, float(error), monitor.history["shape_fraction"][-1])


def fit_both(epochs: int, out: Path) -> dict[str, Fitted]:
    return {kind: fit(kind, epochs, out) for kind in LABELS}


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def broken(network: keras.Model, x: np.ndarray) -> np.ndarray:
    """Where the slopes or the second derivative by the strike have a wrong sign."""
    found = arrays(kc.derivatives(network, x, ["jacobian", "hessian_diagonal"]))
    slope, bend = (values[:, 0] for values in found.values())
    return (slope[:, 0] > 0) | (slope[:, 1] < 0) | (bend[:, 0] < 0)


def picture(fitted: dict[str, Fitted]) -> Figure:
    figure = Figure(figsize=(14.5, 4.6), layout="constrained", facecolor="white")
    figure.suptitle(
        f"Prices of calls from {QUOTES} noisy quotes, without and with no-arbitrage",
        fontsize=15,
        weight="bold",
    )
    free_axes, kept_axes, density_axes, history_axes = figure.subplots(1, 4)
    counts = 121, 91
    x = grid(*counts)
    extent = [*x[:, 0][[0, -1]], *x[:, 1][[0, -1]]]
    for axes, (kind, result) in zip((free_axes, kept_axes), fitted.items(), strict=True):
        where = broken(result.network, x).reshape(counts).T
        axes.imshow(
            np.where(where[..., None], [0.98, 0.7, 0.7], [0.9, 0.97, 0.95]),
            origin="lower",
            extent=extent,
            aspect="auto",
        )
        axes.scatter(*quotes()[0].T, s=10, color=INK)
        axes.set_xlim(STRIKES)
        axes.set_ylim(MATURITIES)
        axes.set_title(f"{LABELS[kind]}: shape kept at {result.shape_fraction:.0%}")
        axes.set_xlabel("strike")
        axes.set_ylabel("maturity (red: arbitrage; dots: quotes)")
    line = np.stack([np.linspace(0.65, 1.45, 161), np.full(161, 0.5)], axis=1).astype("float32")
    for kind, result in fitted.items():
        style = {"color": COLOURS[kind], "lw": 2.2, "label": LABELS[kind]}
        difference = result.network.predict(line, verbose=0) - call_price(line)
        density_axes.plot(line[:, 0], difference, **style)
        history = result.monitor.history
        history_axes.plot(np.multiply(history["step"], STEPS), history["shape_fraction"], **style)
    density_axes.axhline(0, ls="--", color=INK, lw=1.3)
    density_axes.set_title("price at half a year, less the true one")
    density_axes.set_xlabel("strike")
    history_axes.axhline(1, ls="--", color=GREY, lw=1.3, zorder=0)
    history_axes.set_ylim(0, 1.03)
    history_axes.set_title("the monitor's shape_fraction")
    history_axes.set_xlabel("step of the optimizer")
    for axes in (density_axes, history_axes):
        axes.legend(frameon=False)
    return figure


def main(epochs: int = 60, out: Path = Path("logs/no_arbitrage")) -> Path:
    fitted = fit_both(epochs, out)
    print(f"{'':18s} {'shape kept':>11s} {'error of price':>15s}")
    for kind, result in fitted.items():
        print(f"{LABELS[kind]:18s} {result.shape_fraction:11.1%} {result.error:15.5f}")
    for kind, result in fitted.items():
        print(f"\n{LABELS[kind]}:")
        for entry in result.monitor.reports[""].shape:
            print(f"  {entry}")
    path = out / "no_arbitrage.png"
    picture(fitted).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("logs/no_arbitrage"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
