"""Curvature that must keep its sign: option prices without arbitrage.

The price of a call is convex in its strike. Where it is not, a butterfly of three calls costs
less than nothing; the second derivative is the density that the market gives to the stock, and
it cannot be negative. A network that fits noisy quotes does not know that. Trained on with a
penalty on `kc.DerivativeOutput`'s second derivative it learns it, and the monitor's
`shape_fraction` goes to 1. (`kc.ShapePenalty` asks the same in one line: see no_arbitrage.py.)

The market is a mixture of two lognormals, so that prices and density are known.
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

CALM, FEARFUL = (0.7, 1.08, 0.10), (0.3, 0.8133, 0.25)  # weight, forward, volatility
QUOTES, NOISE = 60, 0.004
STRIKES = (0.5, 1.5)
STEPS = 100  # of the optimizer in each epoch
MARGIN = 0.05  # how convex is convex: a penalty is never met to the last digit

LABELS = {"free": "quotes alone", "convex": "then with the penalty"}
PENALTIES = {"free": 0.0, "convex": 0.01}
COLOURS = {"free": "#c2410c", "convex": "#0f766e"}
INK, GREY = "#111827", "#9ca3af"


def call_price(strike: np.ndarray) -> np.ndarray:
    """Black's formula for each part of the mixture."""

    def normal(x: np.ndarray) -> np.ndarray:
        return (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2

    def black(forward: float, volatility: float) -> np.ndarray:
        d = np.log(forward / strike) / volatility
        return forward * normal(d + volatility / 2) - strike * normal(d - volatility / 2)

    return sum(
        weight * black(forward, volatility) for weight, forward, volatility in (CALM, FEARFUL)
    )


def density(strike: np.ndarray) -> np.ndarray:
    """The second derivative of the price by the strike (Breeden, Litzenberger 1978)."""

    def lognormal(forward: float, volatility: float) -> np.ndarray:
        d = np.log(forward / strike) / volatility - volatility / 2
        return np.exp(-(d**2) / 2) / (np.sqrt(2 * np.pi) * strike * volatility)

    return sum(
        weight * lognormal(forward, volatility) for weight, forward, volatility in (CALM, FEARFUL)
    )


def strikes(n: int) -> np.ndarray:
    return np.linspace(*STRIKES, n, dtype="float32")[:, None]


def quotes() -> tuple[np.ndarray, np.ndarray]:
    k = strikes(QUOTES)
    noise = NOISE * np.random.default_rng(0).normal(size=k.shape)
    return k, (call_price(k) + noise).astype("float32")


def concavity(_, second_derivative: tf.Tensor) -> tf.Tensor:
    """The loss of a second derivative: the square of what it lacks to be `MARGIN`."""
    return keras.ops.mean(keras.ops.square(keras.ops.relu(MARGIN - second_derivative)))


@dataclass(frozen=True)
class Fitted:
    """A network, what the monitor saw, and how good it is."""

    network: keras.Model
    monitor: kc.CurvatureMonitor
    figures: dict[str, float]


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Rescaling(6.0, -6.0),
            *(keras.layers.Dense(32, activation="silu") for _ in range(3)),
            keras.layers.Dense(1),
        ]
    )


def fit(network: keras.Model, kind: str, epochs: int, out: Path) -> Fitted:
    inputs = keras.Input((1,))
    outputs = kc.DerivativeOutput(network, ["value", "laplacian"])(inputs)
    model = keras.Model(inputs, {"price": outputs["value"], "density": outputs["laplacian"]})
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, epochs * STEPS)),
        loss={"price": "mse", "density": concavity},
        loss_weights={"price": 1.0, "density": PENALTIES[kind]},
        steps_per_execution=STEPS,
    )
    k, price = quotes()
    data = tf.data.Dataset.from_tensors((k, {"price": price, "density": np.zeros_like(k)}))
    probe = strikes(201)
    monitor = kc.CurvatureMonitor(
        (probe, call_price(probe)),
        log_dir=out / kind,
        output="price",
        reference=lambda k: density(k)[..., None],
        feature_names=["strike"],
        shape={"strike": "convex"},
    )
    model.fit(
        data.repeat(),
        steps_per_epoch=STEPS,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
    )
    return Fitted(network, monitor, figures(network))


def fit_both(epochs: int, out: Path) -> dict[str, Fitted]:
    """Quotes alone; and from there on, in a network of its own, with the penalty."""
    free = fit(build(), "free", epochs, out)
    convex = build()
    convex.set_weights(free.network.get_weights())
    return {"free": free, "convex": fit(convex, "convex", epochs, out)}


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def figures(network: keras.Model) -> dict[str, float]:
    k = strikes(1001)
    found = arrays(kc.derivatives(network, k, ["value", "laplacian"]))
    price, bend = found.values()
    truth = density(k)
    return {
        "error of price": float(np.sqrt(np.mean((price - call_price(k)) ** 2))),
        "error of density": float(np.linalg.norm(bend - truth) / np.linalg.norm(truth)),
        "lowest density": float(bend.min()),
        "convex fraction": float(np.mean(bend >= 0)),
    }


def picture(fitted: dict[str, Fitted]) -> Figure:
    figure = Figure(figsize=(12.5, 4.9), layout="constrained", facecolor="white")
    figure.suptitle(
        "A network of call prices learns that it must be convex", fontsize=15, weight="bold"
    )
    fit_axes, density_axes, history_axes = figure.subplots(1, 3)
    before = 0
    line = strikes(401)
    k, price = quotes()
    fit_axes.scatter(k, price - call_price(k), s=12, color=GREY, label="quotes")
    for kind, result in fitted.items():
        found = arrays(kc.derivatives(result.network, line, ["value", "laplacian"]))
        style = {"color": COLOURS[kind], "lw": 2.2, "label": LABELS[kind]}
        fit_axes.plot(line, found["value"] - call_price(line), **style)
        density_axes.plot(line, found["laplacian"][:, 0], **style)
        history = result.monitor.history
        steps = before + np.multiply(history["step"], STEPS)
        before = steps[-1]
        history_axes.plot(steps, history["shape_fraction"], **style)
    fit_axes.axhline(0, ls="--", color=INK, lw=1.3)
    fit_axes.set_title("price, less the true one")
    density_axes.plot(line, density(line), "--", color=INK, lw=1.3, label="true density")
    bottom, top = density_axes.get_ylim()
    density_axes.axhspan(bottom, 0, color="#fee2e2", zorder=0, lw=0)
    density_axes.set_ylim(bottom, top)
    density_axes.set_title("second derivative: the density (red: arbitrage)")
    history_axes.axhline(1, ls="--", color=INK, lw=1.3, zorder=0)
    history_axes.set_title("the monitor's shape_fraction")
    history_axes.set_xlabel("step of the optimizer")
    for axes in (fit_axes, density_axes):
        axes.set_xlabel("strike")
    for axes in (fit_axes, density_axes, history_axes):
        axes.legend(frameon=False)
    return figure


def main(epochs: int = 30, out: Path = Path("logs/convex_smile")) -> Path:
    fitted = fit_both(epochs, out)
    names = list(fitted["free"].figures)
    print(f"{'':21s} " + " ".join(f"{name:>17s}" for name in names))
    for kind, result in fitted.items():
        print(f"{LABELS[kind]:21s} " + " ".join(f"{v:17.4f}" for v in result.figures.values()))
    k = strikes(1001)
    known = [0.0, 0.0, density(k).min(), 1.0]
    print(f"{'closed form':21s} " + " ".join(f"{value:17.4f}" for value in known))
    path = out / "convex_smile.png"
    picture(fitted).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("logs/convex_smile"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
