"""The Sine-Gordon equation in a ball of a hundred dimensions, or a thousand, from 16 directions.

    Δu + sin u = g in the unit ball,   u = 0 on its surface

A Laplacian in d inputs takes d directions; `kc.DerivativeOutput(..., directions=16)` estimates it
from 16 random ones, new at every step. The square of an estimate has its variance in it, which
`halves=True` and `kc.losses.UnbiasedSquare` leave out. The problem is that of Shi, Hu, Lin and
Kawaguchi (Stochastic Taylor derivative estimator, arXiv 2412.00088, appendix I.1), in which no
coordinate stands alone:

    u(x) = (1 - |x|²) Σ c_i sin(x_i + cos x_{i+1} + x_{i+1} cos x_i),   c normal,

with g from it, 100 points a step and a tanh network of width 128. What is hard is not the bowl
(1 - |x|²) but what rests on it: the error of the best multiple of the bowl is printed too.

Relative L2 errors of u after 1,000 steps, with one c, from 16 directions, beside those of the
authors' script `sine_gordon.py` (github.com/sail-sg/stde, its defaults otherwise), run on the same
two cores. More differs than the library: here the network's output is √d times a layer's, the
learning rate falls as a cosine, and the loss is without bias. None of it was tried alone.

    dimensions   here     authors' script   the best bowl
           100   0.45 %            0.51 %          3.79 %
          1000   0.12 %            0.76 %          0.72 %

By default the script trains for 10,000 steps; in 100 dimensions it is at 0.47 % after 9,000.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_curvature as kc

DIRECTIONS = 16
STEPS, BATCH = 100, 100  # of the optimizer in each epoch

INK, COLOURS = "#111827", ("#0f766e", "#c2410c", "#6d28d9")


def terms(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of w = Σ c sin s at points `(n, d)`: w, x·∇w and Δw, `(n, 1)` each."""
    x = np.asarray(x, "float64")
    c = np.random.default_rng(0).normal(size=x.shape[1] - 1)
    here, there = x[:, :-1], x[:, 1:]
    s = here + np.cos(there) + there * np.cos(here)
    by_here, by_there = 1 - there * np.sin(here), np.cos(here) - np.sin(there)
    bends = -there * np.cos(here) - np.cos(there)
    w = np.sin(s) @ c
    along = (np.cos(s) * (here * by_here + there * by_there)) @ c
    laplacian = (np.cos(s) * bends - np.sin(s) * (by_here**2 + by_there**2)) @ c
    return w[:, None], along[:, None], laplacian[:, None]


def solution(x: np.ndarray) -> np.ndarray:
    """u, `(n, 1)`."""
    return (1 - np.sum(np.square(x, dtype="float64"), axis=1, keepdims=True)) * terms(x)[0]


def laplacian(x: np.ndarray) -> np.ndarray:
    """Δu, `(n, 1)`."""
    w, along, of_w = terms(x)
    inside = 1 - np.sum(np.square(x, dtype="float64"), axis=1, keepdims=True)
    return inside * of_w - 4 * along - 2 * x.shape[1] * w


def source(x: np.ndarray) -> np.ndarray:
    """g, `(n, 1)`."""
    return laplacian(x) + np.sin(solution(x))


def ball(n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Points of even radius, `(n, d)`."""
    x = rng.normal(size=(n, dimensions))
    radius = rng.uniform(size=(n, 1))
    return (radius * x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")


class Points(keras.utils.PyDataset):
    """New points at every step, with g."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions, self.rng = dimensions, np.random.default_rng(1)

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int):
        x = ball(BATCH, self.dimensions, self.rng)
        return x, {"residual": source(x).astype("float32")}


class SineGordon(keras.layers.Layer):
    """Δu + sin u, from two estimates of Δu."""

    def call(self, of):
        """The equation's left side, `(batch, 1, 2)`."""
        return of["laplacian"] + keras.ops.sin(of["value"])


def build(dimensions: int) -> keras.Model:
    """The network u(x), 0 on the surface by construction."""
    keras.utils.set_random_seed(0)
    x = keras.Input((dimensions,))
    hidden = x
    for _ in range(3):
        hidden = keras.layers.Dense(128, activation="tanh")(hidden)
    inside = 1 - keras.ops.sum(x**2, axis=-1, keepdims=True)
    return keras.Model(x, inside * dimensions**0.5 * keras.layers.Dense(1)(hidden), name="u")


@dataclass(frozen=True)
class Learned:
    """The network u(x), Keras's history and what the monitor saw."""

    network: keras.Model
    history: dict[str, list[float]]
    monitor: kc.CurvatureMonitor


def solve(epochs: int, dimensions: int, out: Path) -> Learned:
    u = build(dimensions)
    inputs = keras.Input((dimensions,))
    layer = kc.DerivativeOutput(
        u, ["value", "laplacian"], directions=DIRECTIONS, halves=True, name="derivatives"
    )
    model = keras.Model(inputs, {"residual": SineGordon()(layer(inputs))})
    rate = keras.optimizers.schedules.CosineDecay(1e-3, epochs * STEPS)
    model.compile(
        keras.optimizers.Adam(rate),
        loss={"residual": kc.losses.UnbiasedSquare()},
        steps_per_execution=STEPS,
    )
    probe = ball(128, dimensions, np.random.default_rng(2))
    monitor = kc.CurvatureMonitor(
        (probe, solution(probe)), log_dir=out, model=u, directions=DIRECTIONS, units="raw"
    )
    table = keras.callbacks.LambdaCallback(on_epoch_end=print_row)
    print(" epoch   equation's loss   R² of u   standard error of Δu")
    history = model.fit(Points(dimensions), epochs=epochs, verbose=0, callbacks=[monitor, table])
    return Learned(u, history.history, monitor)


def print_row(epoch: int, logs: dict[str, float]) -> None:
    print(
        f"{epoch + 1:6d}   {logs['loss']:15.2e}   {logs['curvature_r2']:7.4f}   "
        f"{logs['derivatives_laplacian_standard_error']:20.2e}",
        flush=True,
    )


def relative(found: np.ndarray, known: np.ndarray) -> float:
    return float(np.linalg.norm(found - known) / np.linalg.norm(known))


def errors(u: keras.Model) -> dict[str, float]:
    """Relative errors in the ball, in the L2 norm."""
    x = ball(2000, u.input_shape[1], np.random.default_rng(3))
    known, inside = solution(x), 1 - np.sum(x**2, axis=1, keepdims=True)
    bowl = inside * (inside * known).sum() / (inside**2).sum()
    return {
        "u": relative(u.predict(x, verbose=0), known),
        "Δu": relative(keras.ops.convert_to_numpy(kc.laplacian(u, x[:200])), laplacian(x[:200])),
        "the best a (1 - |x|²)": relative(bowl, known),
    }


def picture(learned: Learned) -> Figure:
    u = learned.network
    dimensions = u.input_shape[1]
    figure = Figure(figsize=(12.5, 4.6), layout="constrained", facecolor="white")
    figure.suptitle(
        f"The Sine-Gordon equation in {dimensions} dimensions, from {DIRECTIONS} random directions",
        fontsize=15,
    )
    values, walk, history = figure.subplots(1, 3)
    x = ball(1000, dimensions, np.random.default_rng(3))
    known = solution(x)
    values.plot(known, u.predict(x, verbose=0), ".", ms=4, color=COLOURS[0])
    ends = [float(known.min()), float(known.max())]
    values.plot(ends, ends, "--", color=INK, lw=1.2)
    values.set_title(f"u at random points, error {errors(u)['u']:.2%}")
    values.set_xlabel("known")
    values.set_ylabel("network")
    draw_walk(walk, u)
    steps = STEPS * (1 + np.arange(len(learned.history["loss"])))
    scale = float(np.sqrt(np.mean(source(x) ** 2)))
    noise = np.divide(learned.history["derivatives_laplacian_standard_error"], scale)
    watched = learned.monitor.history
    probe = solution(ball(128, dimensions, np.random.default_rng(2)))
    spread = np.std(probe) / np.sqrt(np.mean(probe**2))
    of_u = spread * np.sqrt(1 - np.array(watched["r2"]))
    history.plot(steps, noise, color=COLOURS[1], lw=2, label="standard error of Δu / |g|")
    history.plot(np.multiply(watched["step"], STEPS), of_u, color=COLOURS[0], lw=2, label="u")
    history.axhline(0.01, ls="--", color=INK, lw=1, label="1 %")
    history.set_yscale("log")
    history.set_title("relative errors while it trained")
    history.set_xlabel("step of the optimizer")
    history.legend(frameon=False)
    return figure


def draw_walk(axes, u: keras.Model) -> None:
    """Along three diameters, what is left of u when the bowl (1 - |x|²) is taken out."""
    dimensions = u.input_shape[1]
    t = np.linspace(-0.99, 0.99, 101)[:, None]
    ends = np.random.default_rng(4).normal(size=(3, dimensions))
    for end, colour in zip(ends, COLOURS, strict=True):
        x = (t * end / np.linalg.norm(end)).astype("float32")
        inside = 1 - t**2
        axes.plot(t, u.predict(x, verbose=0) / inside, color=colour, lw=2.5)
        axes.plot(t, solution(x) / inside, "--", color=INK, lw=1.2)
    axes.set_title("u / (1 - |x|²) on three diameters")
    axes.set_xlabel("distance from the centre")


def main(epochs: int = 10, out: Path = Path("logs/high_dimension"), dimensions: int = 100) -> Path:
    learned = solve(epochs, dimensions, out)
    print()
    for name, error in errors(learned.network).items():
        print(f"relative L2 error of {name:22s} {error:7.2%}")
    path = out / "high_dimension.png"
    picture(learned).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--dimensions", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("logs/high_dimension"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out, arguments.dimensions)
