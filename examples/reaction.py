"""On JAX: how hot a reacting layer gets, for every rate of reaction, until it ignites.

    u″ + λ eᵘ = 0 on [0, 1],   u(0) = u(1) = 0

Frank-Kamenetskii's equation (Bratu's) for the temperature u of a layer that heats itself. One
network u(x, λ) learns the cool solutions for all rates λ from 0.5 to 3.2 at once, from the equation
alone: `kc.DerivativeOutput(..., columns=[0])` gives u″, and Keras trains through it. Beyond
λ = 3.51 there is no solution: the layer ignites. The solutions are known, so that the monitor can
show the second derivative becoming right. At the end `jax.grad` and `jax.vmap` go through
`kc.laplacian` and say how the second derivative changes with the rate.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported

import argparse
import shlex
from pathlib import Path

import jax
import keras
import numpy as np
from matplotlib.figure import Figure

import keras_curvature as kc

LEAST, MOST = 0.5, 3.2  # λ; there are solutions up to 3.5138
STEPS, BATCH = 200, 256  # of the optimizer in each epoch
RATES = (1.0, 2.0, 3.0)

INK, COLOURS = "#111827", ("#0f766e", "#c2410c", "#6d28d9")


def theta(rate: np.ndarray) -> np.ndarray:
    """The smaller solution of θ = √(2λ) cosh(θ / 4), by Newton's method from below."""
    root = np.sqrt(2 * np.asarray(rate, "float64"))
    found = root.copy()
    for _ in range(50):
        excess = found - root * np.cosh(found / 4)
        found -= excess / (1 - root * np.sinh(found / 4) / 4)
    return found


def solution(points: np.ndarray) -> np.ndarray:
    """The temperature at points (x, λ): `(n, 1)`."""
    x, rate = np.asarray(points, "float64").T
    t = theta(rate)
    return 2 * np.log(np.cosh(t / 4) / np.cosh((x - 0.5) * t / 2))[:, None]


def bending(points: np.ndarray) -> np.ndarray:
    """u″ = -λ eᵘ, `(n, 1)`."""
    return -np.asarray(points, "float64")[:, 1:] * np.exp(solution(points))


def bending_by_rate(rate: np.ndarray) -> np.ndarray:
    """∂u″/∂λ in the middle, where u″ is -θ² / 2."""
    t = theta(rate)
    return -t / (rate * (2 / t - np.tanh(t / 4) / 2))


class Equation(keras.layers.Layer):
    """u″ + λ eᵘ, which is to be 0."""

    def call(self, points, u, second):
        """The residual, `(batch, 1)`."""
        return second + points[:, 1:] * keras.ops.exp(u)


def build() -> keras.Model:
    """The network u(x, λ), 0 at both ends by construction."""
    keras.utils.set_random_seed(0)
    points = keras.Input((2,))
    scaled = keras.layers.Rescaling(
        [2.0, 2 / (MOST - LEAST)], [-1.0, -2 * LEAST / (MOST - LEAST) - 1]
    )
    hidden = scaled(points)
    for _ in range(3):
        hidden = keras.layers.Dense(32, "silu")(hidden)
    x = points[:, :1]
    return keras.Model(points, 4 * x * (1 - x) * keras.layers.Dense(1)(hidden), name="u")


def grid(n: int) -> np.ndarray:
    """Points inside, `(n * n, 2)`."""
    middle = (np.arange(n) + 0.5) / n
    x, rate = np.meshgrid(middle, LEAST + (MOST - LEAST) * middle)
    return np.stack([x, rate], axis=-1).reshape(-1, 2).astype("float32")


def solve(epochs: int, out: Path) -> tuple[keras.Model, kc.CurvatureMonitor]:
    u = build()
    inputs = keras.Input((2,))
    found = kc.DerivativeOutput(u, ["value", "laplacian"], columns=[0])(inputs)
    residual = Equation()(inputs, found["value"], found["laplacian"])
    model = keras.Model(inputs, {"u": found["value"], "residual": residual})
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * STEPS)
    model.compile(keras.optimizers.Adam(rate), loss={"residual": "mse"}, steps_per_execution=STEPS)
    low, high = (0.0, LEAST), (1.0, MOST)
    points = np.random.default_rng(0).uniform(low, high, (STEPS * BATCH, 2)).astype("float32")
    probe = grid(16)
    monitor = kc.CurvatureMonitor(
        (probe, solution(probe)),
        log_dir=out,
        output="u",
        columns=[0],
        reference=lambda points: bending(points)[:, :, None],
        feature_names=["x", "rate"],
        units="raw",
    )
    print(" epoch   equation's loss   R² of u   error of u″")
    table = keras.callbacks.LambdaCallback(on_epoch_end=print_row)
    model.fit(
        points,
        {"residual": np.zeros((len(points), 1), "float32")},
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[monitor, table],
    )
    return u, monitor


def print_row(epoch: int, logs: dict[str, float]) -> None:
    print(
        f"{epoch + 1:6d}   {logs['loss']:15.2e}   {logs['curvature_r2']:7.4f}   "
        f"{logs['curvature_reference_rmse']:11.2e}",
        flush=True,
    )


def in_the_middle(u: keras.Model) -> dict[str, list[tuple[float, float]]]:
    """By name, for each of `RATES`: what the network says, and what is known."""
    points = np.array([(0.5, rate) for rate in RATES])

    def second(point):
        return kc.laplacian(u, point[None], columns=[0])[0, 0]

    by_rate = jax.jit(jax.vmap(jax.grad(second)))(points)[:, 1]
    found = kc.derivatives(u, points, ["value", "laplacian"], columns=[0], dtype="float64")
    pairs = {
        "u": (found["value"][:, 0], solution(points)[:, 0]),
        "u″": (found["laplacian"][:, 0], bending(points)[:, 0]),
        "∂u″/∂λ": (by_rate, bending_by_rate(points[:, 1])),
    }
    return {
        name: [(float(a), float(b)) for a, b in zip(*pair, strict=True)]
        for name, pair in pairs.items()
    }


def errors(u: keras.Model) -> dict[str, float]:
    """Relative errors over all x and λ, in the L2 norm."""
    points = grid(64)
    found = kc.derivatives(u, points, ["value", "laplacian"], columns=[0], dtype="float64")
    known = {"u": solution(points), "u″": bending(points)}
    return {
        name: float(np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b))
        for (name, b), a in zip(known.items(), found.values(), strict=True)
    }


def picture(u: keras.Model, monitor: kc.CurvatureMonitor) -> Figure:
    figure = Figure(figsize=(12.5, 4.6), layout="constrained", facecolor="white")
    figure.suptitle(
        "A layer that heats itself, learned from u″ + λ eᵘ = 0 alone, on JAX", fontsize=14
    )
    profiles, ignition, history = figure.subplots(1, 3)
    x = np.linspace(0, 1, 101)
    for rate, colour in zip(RATES, COLOURS, strict=True):
        points = np.stack([x, np.full_like(x, rate)], axis=-1)
        profiles.plot(x, u(points)[:, 0], color=colour, lw=2.5, label=f"λ = {rate:g}")
        profiles.plot(x, solution(points), "--", color=INK, lw=1.2)
    profiles.set_title("temperature u(x); dashed: known")
    profiles.set_xlabel("x")
    profiles.legend(frameon=False)
    rates = np.linspace(LEAST, MOST, 101)
    middle = np.stack([np.full_like(rates, 0.5), rates], axis=-1)
    second = kc.laplacian(u, middle, columns=[0])
    ignition.plot(rates, second, color=COLOURS[1], lw=2.5)
    ignition.plot(rates, bending(middle), "--", color=INK, lw=1.2)
    ignition.set_title("u″ in the middle, on the way to ignition")
    ignition.set_xlabel("rate of reaction λ")
    history.plot(
        monitor.history["step"], monitor.history["reference_rmse"], color=COLOURS[2], lw=2.5
    )
    history.set_yscale("log")
    history.set_title("error of u″, as the monitor saw it")
    history.set_xlabel("epoch")
    return figure


def main(epochs: int = 20, out: Path = Path("logs/reaction")) -> Path:
    u, monitor = solve(epochs, out)
    print(f"\n{'in the middle':16s} {'λ':>3s} {'network':>10s} {'closed form':>12s} {'error':>7s}")
    for name, pairs in in_the_middle(u).items():
        for rate, (found, known) in zip(RATES, pairs, strict=True):
            error = abs(found / known - 1)
            print(f"{name:16s} {rate:3g} {found:10.5f} {known:12.5f} {error:7.2%}")
    for name, error in errors(u).items():
        print(f"relative L2 error of {name} over all x and λ: {error:.2%}")
    path = out / "reaction.png"
    picture(u, monitor).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("logs/reaction"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
