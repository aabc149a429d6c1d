"""Gamma from a pricing network, trained on prices only, and on prices and deltas.

A call on the geometric mean of three stocks, which Black and Scholes price in closed form. As
for any product without a formula, the labels come from simulation: 256 states of the market,
100 paths each. Differentiating the paths gives the deltas with the prices, for little more.
Both networks are the same and see the same states; the second one learns the deltas too,
through `kc.DerivativeOutput` (Huge, Savine, Differential machine learning, arXiv 2005.02347).
Gamma, the second derivative, is in no label of either.
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

STOCKS, STRIKE, VOLATILITY, CORRELATION = 3, 1.0, 0.3, 0.5  # one year, no interest
BASKET_VOLATILITY = VOLATILITY * np.sqrt((1 + (STOCKS - 1) * CORRELATION) / STOCKS)
STATES, PATHS = 256, 100
STEPS = 100  # of the optimizer in each epoch

LABELS = {"prices": "prices only", "deltas": "prices and deltas"}
COLOURS = {"prices": "#c2410c", "deltas": "#0f766e"}
INK = "#111827"


def forward(s: np.ndarray) -> np.ndarray:
    """Of the geometric mean, `(n, 1)`, for stocks `(n, 3)`."""
    drift = (BASKET_VOLATILITY**2 - VOLATILITY**2) / 2
    return np.exp(np.log(s).mean(axis=1, keepdims=True) + drift)


def d1(s: np.ndarray) -> np.ndarray:
    return np.log(forward(s) / STRIKE) / BASKET_VOLATILITY + BASKET_VOLATILITY / 2


def normal(x: np.ndarray) -> np.ndarray:
    return (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2


def price(s: np.ndarray) -> np.ndarray:
    return forward(s) * normal(d1(s)) - STRIKE * normal(d1(s) - BASKET_VOLATILITY)


def delta(s: np.ndarray) -> np.ndarray:
    """`(n, 1, 3)`."""
    return (normal(d1(s)) * forward(s) / (STOCKS * s))[:, None]


def gamma(s: np.ndarray) -> np.ndarray:
    """All second derivatives, `(n, 1, 3, 3)`."""
    density = np.exp(-(d1(s) ** 2) / 2) / np.sqrt(2 * np.pi)
    both = (normal(d1(s)) + density / BASKET_VOLATILITY) / STOCKS
    alone = np.eye(STOCKS) * normal(d1(s))[..., None]
    scale = forward(s)[..., None] / (STOCKS * s[:, :, None] * s[:, None, :])
    return (scale * (both[..., None] - alone))[:, None]


def gamma_diagonal(s: np.ndarray) -> np.ndarray:
    return np.diagonal(gamma(s), axis1=-2, axis2=-1)


def simulate() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, prices and deltas, the latter two as means over the paths of each state."""
    rng = np.random.default_rng(1)
    s = rng.uniform(0.7, 1.3, size=(STATES, STOCKS))
    root = np.linalg.cholesky(CORRELATION + (1 - CORRELATION) * np.eye(STOCKS))
    shocks = (rng.normal(size=(STATES, PATHS, STOCKS)) @ root.T).mean(axis=2)
    basket = np.exp(np.log(s).mean(axis=1, keepdims=True) - VOLATILITY**2 / 2 + VOLATILITY * shocks)
    payoff = np.maximum(basket - STRIKE, 0).mean(axis=1, keepdims=True)
    slope = np.where(basket > STRIKE, basket, 0).mean(axis=1, keepdims=True) / (STOCKS * s)
    return tuple(a.astype("float32") for a in (s, payoff, slope[:, None]))


def states_to_test(n: int = 400) -> np.ndarray:
    return np.random.default_rng(2).uniform(0.75, 1.25, size=(n, STOCKS)).astype("float32")


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((STOCKS,)),
            keras.layers.Rescaling(5.0, -5.0),
            *(keras.layers.Dense(64, activation="silu") for _ in range(3)),
            keras.layers.Dense(1),
        ]
    )


@dataclass(frozen=True)
class Trained:
    """A network, what the monitor saw, and its relative errors in the L2 norm."""

    network: keras.Model
    monitor: kc.CurvatureMonitor
    errors: dict[str, float]


def train(labels: str, epochs: int, out: Path) -> Trained:
    s, payoff, slope = simulate()
    network = build()
    inputs = keras.Input((STOCKS,))
    model = keras.Model(inputs, kc.DerivativeOutput(network, ["value", "jacobian"])(inputs))
    weight = {"prices": 0.0, "deltas": 1.0}[labels]
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, epochs * STEPS)),
        loss={"value": "mse", "jacobian": "mse"},
        loss_weights={"value": 1.0, "jacobian": weight},
        steps_per_execution=STEPS,
    )
    data = tf.data.Dataset.from_tensors((s, {"value": payoff, "jacobian": slope})).repeat()
    probe = states_to_test(100)
    monitor = kc.CurvatureMonitor(
        (probe, price(probe)),
        out / labels,
        output="value",
        reference=gamma_diagonal,
        units="raw",
        freq=2,
    )
    model.fit(
        data,
        steps_per_epoch=STEPS,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[monitor],
    )
    return Trained(network, monitor, errors(network))


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def errors(network: keras.Model) -> dict[str, float]:
    s = states_to_test()
    found = arrays(kc.derivatives(network, s, ["value", "jacobian", "hessian"]))
    known = {"price": price(s), "delta": delta(s), "gamma": gamma(s)}
    return {
        name: float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for (name, b), a in zip(known.items(), found.values(), strict=True)
    }


def picture(trained: dict[str, Trained]) -> Figure:
    figure = Figure(figsize=(12.5, 4.9), layout="constrained", facecolor="white")
    figure.suptitle(
        f"Gamma learned from {STATES} simulated prices, without and with their deltas",
        fontsize=15,
        weight="bold",
    )
    line, scatter, history = figure.subplots(1, 3)
    draw_line(line, trained)
    draw_scatter(scatter, trained)
    draw_history(history, trained)
    return figure


def draw_line(axes, trained: dict[str, Trained]) -> None:
    """Gamma of a move of all stocks together: the curvature along (1, 1, 1)."""
    level = np.linspace(0.7, 1.3, 201, dtype="float32")
    s = np.repeat(level[:, None], STOCKS, axis=1)
    together = np.ones(STOCKS, dtype="float32")
    for labels, result in trained.items():
        found = keras.ops.convert_to_numpy(kc.directional_curvature(result.network, s, together))
        axes.plot(level, found, color=COLOURS[labels], lw=2.2, label=LABELS[labels])
    axes.plot(level, gamma(s).sum(axis=(1, 2, 3)), "--", color=INK, lw=1.4, label="Black–Scholes")
    axes.set_title("gamma of all stocks together")
    axes.set_xlabel("level of the stocks (strike 1)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="lower center")


def draw_scatter(axes, trained: dict[str, Trained]) -> None:
    s = states_to_test()
    known = gamma(s).ravel()
    for labels, result in trained.items():
        found = keras.ops.convert_to_numpy(kc.hessian(result.network, s)).ravel()
        label = f"{LABELS[labels]}: error {result.errors['gamma']:.0%}"
        axes.scatter(known, found, s=6, color=COLOURS[labels], alpha=0.4, lw=0, label=label)
    ends = [known.min(), known.max()]
    axes.plot(ends, ends, "--", color=INK, lw=1.4)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.2 * (top - bottom))  # room for the legend
    axes.set_title("all gammas, of one stock and of pairs")
    axes.set_xlabel("Black–Scholes")
    axes.set_ylabel("network")
    axes.legend(frameon=False, loc="upper left", markerscale=4)


def draw_history(axes, trained: dict[str, Trained]) -> None:
    probe = states_to_test(100)
    scale = np.sqrt(np.mean(gamma_diagonal(probe) ** 2))
    for labels, result in trained.items():
        history = result.monitor.history
        steps = np.multiply(history["step"], STEPS)
        relative = np.divide(history["reference_rmse"], scale)
        axes.plot(steps, relative, color=COLOURS[labels], lw=2.2, label=LABELS[labels])
    axes.set_yscale("log")
    axes.set_yticks([0.1, 0.2, 0.5, 1, 2])
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.minorticks_off()
    axes.set_title("the monitor's error of gamma, per stock")
    axes.set_xlabel("step of the optimizer")
    axes.legend(frameon=False)


def main(epochs: int = 20, out: Path = Path("logs/black_scholes_gamma")) -> Path:
    trained = {}
    print(f"{'relative L2 error of':24s} {'price':>8s} {'delta':>8s} {'gamma':>8s}")
    for labels, text in LABELS.items():
        trained[labels] = train(labels, epochs, out)
        shown = " ".join(f"{error:8.2%}" for error in trained[labels].errors.values())
        print(f"{text:24s} {shown}", flush=True)
    before, after = (trained[labels].errors for labels in LABELS)
    print(
        f"{'times more accurate':24s} "
        + " ".join(f"{before[name] / after[name]:8.1f}" for name in before)
    )
    path = out / "black_scholes_gamma.png"
    picture(trained).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("logs/black_scholes_gamma"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
