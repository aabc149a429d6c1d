"""The founding question: a network fits x**2, why is its second derivative always 0?

A ReLU network, a SiLU network and a sigmoid network learn x**2 on 1,000 points in [0, 1]
with the same recipe: Dense(1024), Dense(1), Adam 1e-3, batches of 20. The true second
derivative is 2. The monitor watches each of them, and one picture holds the answer.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
import textwrap
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_curvature as kc

X = np.linspace(0, 1, 1000).astype("float32")[:, None]
Y = X**2
TRUTH = 2.0

NETWORKS = {
    "relu": "what was asked about",
    "silu": "the same network, smooth",
    "sigmoid": "the advice found on the web",
}
COLOURS = {"relu": "#c2410c", "silu": "#0f766e", "sigmoid": "#6d28d9"}


def build(activation: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1024, activation=activation),
            keras.layers.Dense(1),
        ]
    )
    # Ten batches at a time go into one call of TensorFlow: the same training, sooner done.
    model.compile(keras.optimizers.Adam(1e-3), "mse", steps_per_execution=10)
    return model


def watch(activation: str, epochs: int, logs: Path) -> tuple[keras.Model, kc.CurvatureMonitor]:
    """Trains one network and prints its table: ten epochs one by one, then every tenth."""
    print(f"\n{activation}: {NETWORKS[activation]}")
    print(" epoch      loss   exact   at scale   zero   hidden   seconds")
    model = build(activation)
    monitor = kc.CurvatureMonitor(
        (X, Y),
        log_dir=logs / activation,
        reference=lambda x: np.full((len(x), 1, 1), TRUTH),
        logs=["mean", "scale_mean", "zero_fraction", "hidden_fraction", "seconds"],
        freq=lambda epoch: epoch < 10 or (epoch + 1) % 10 == 0,
    )
    table = keras.callbacks.LambdaCallback(on_epoch_end=print_row)
    model.fit(X, Y, epochs=epochs, batch_size=20, verbose=0, callbacks=[monitor, table])
    print(textwrap.fill(monitor.reports[""].verdict.sentence, 88))
    return model, monitor


def print_row(epoch: int, logs: dict[str, float]) -> None:
    shown = epoch < 10 or (epoch + 1) % 50 == 0
    if shown and "curvature_mean" in logs:
        print(
            f"{epoch + 1:6d}  {logs['loss']:8.1e}  {logs['curvature_mean']:6.3f}   "
            f"{logs['curvature_scale_mean']:8.3f}   {logs['curvature_zero_fraction']:4.2f}   "
            f"{logs['curvature_hidden_fraction']:6.3f}   {logs['curvature_seconds']:7.3f}",
            flush=True,
        )


def picture(trained: dict[str, tuple[keras.Model, kc.CurvatureMonitor]]) -> Figure:
    """A column per network: the fit, the curvature against x, the curvature against time."""
    figure = Figure(figsize=(12, 9.2), layout="constrained", facecolor="white")
    figure.suptitle(
        "Three networks learn x². Whose second derivative is 2?", fontsize=15, weight="bold"
    )
    grid = figure.subplots(3, len(trained), sharey="row", squeeze=False)
    for column, (activation, (model, monitor)) in zip(grid.T, trained.items(), strict=True):
        draw_fit(column[0], activation, model, monitor)
        draw_curvature(column[1], activation, model)
        draw_history(column[2], activation, monitor)
    grid[0, 0].set_ylabel("function")
    grid[1, 0].set_ylabel("second derivative")
    grid[2, 0].set_ylabel("mean second derivative")
    return figure


def draw_fit(axes, activation: str, model: keras.Model, monitor: kc.CurvatureMonitor) -> None:
    fit = monitor.history["r2"][-1]
    axes.plot(X, Y, "--", color="#111827", lw=1.2, label="x²")
    axes.plot(
        X,
        keras.ops.convert_to_numpy(model(X)),
        color=COLOURS[activation],
        lw=2.5,
        alpha=0.8,
        label="network",
    )
    kind = monitor.reports[""].verdict.kind
    axes.set_title(f"{activation}: {kind}\nfit R² = {fit:.4f}", fontsize=12)
    axes.legend(loc="upper left", frameon=False)


def draw_curvature(axes, activation: str, model: keras.Model) -> None:
    exact = keras.ops.convert_to_numpy(kc.hessian_diagonal(model, X))[:, 0, 0]
    at_scale = keras.ops.convert_to_numpy(kc.scale_curvature(model, X, scale=0.1))[:, 0, 0]
    inside = (X[:, 0] >= 0.1) & (X[:, 0] <= 0.9)
    axes.axhline(TRUTH, ls="--", color="#111827", lw=1.2, label="truth")
    axes.plot(
        X[inside],
        at_scale[inside],
        color="#9ca3af",
        lw=4,
        alpha=0.8,
        label=f"over ±0.1: mean {np.mean(at_scale[inside]):.2f}",
    )
    axes.plot(X, exact, color=COLOURS[activation], lw=2, label=f"exact: mean {np.mean(exact):.2f}")
    axes.set_xlabel("x")
    axes.legend(loc="lower center", frameon=False, fontsize=9)
    axes.set_ylim(-1.7, 2.9)


def draw_history(axes, activation: str, monitor: kc.CurvatureMonitor) -> None:
    history = monitor.history
    axes.axhline(TRUTH, ls="--", color="#111827", lw=1.2)
    axes.plot(history["step"], history["scale_mean"], color="#9ca3af", lw=4, label="at the scale")
    axes.plot(history["step"], history["mean"], color=COLOURS[activation], lw=2, label="exact")
    axes.set_xlabel("epoch")
    axes.legend(loc="center right", frameon=False, fontsize=9)


def main(epochs: int = 150, out: Path = Path("logs/quadratic")) -> Path:
    trained = {name: watch(name, epochs, out) for name in NETWORKS}
    print(f"\nWhy the ReLU network's second derivative is 0:\n\n{trained['relu'][1].diagnosis}")
    path = out / "quadratic.png"
    picture(trained).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("logs/quadratic"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
