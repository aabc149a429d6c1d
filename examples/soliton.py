"""A wave that keeps its shape: the Korteweg-de Vries equation, of third order, from its equation.

    u_t + 6 u u_x + u_xxx = 0 on [0, 1] × [-7, 7]

In shallow water, steepening (6 u u_x) and dispersion (u_xxx) can balance, and a single hump, a
soliton, travels at constant speed c: u = c/2 sech²(√c/2 (x - c t - x₀)). The network is given the
hump at t = 0, by construction, and the equation, whose terms `kc.DerivativeOutput` outputs under
the equation's own names. The monitor shows the second derivatives becoming right, and the picture
how the three terms cancel.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_curvature as kc

SPEED, START = 4.0, -2.0  # c and x₀
DECAY = SPEED**0.5 / 2  # √c/2
DURATION, EDGE = 1.0, 7.0  # where u is below 2e-4 of its height
STEPS, BATCH = 200, 512  # of the optimizer in each epoch
TERMS = {"u": "value", "u_t": (0,), "u_x": (1,), "u_xxx": (1, 1, 1)}

INK, COLOURS = "#111827", ("#0f766e", "#c2410c", "#6d28d9")


def solution(points: np.ndarray) -> np.ndarray:
    """The soliton at points (t, x): `(n, 1)`."""
    t, x = np.asarray(points, "float64").T
    return (SPEED / 2 / np.cosh(DECAY * (x - SPEED * t - START)) ** 2)[:, None]


def terms(points: np.ndarray) -> dict[str, np.ndarray]:
    """The closed forms of `TERMS`, `(n, 1)` each."""
    t, x = np.asarray(points, "float64").T
    u = solution(points)
    u_x = -2 * DECAY * u * np.tanh(DECAY * (x - SPEED * t - START))[:, None]
    return {"u": u, "u_t": -SPEED * u_x, "u_x": u_x, "u_xxx": (SPEED - 6 * u) * u_x}


def second_derivatives(points: np.ndarray) -> np.ndarray:
    """Along t and along x, `(n, 1, 2)`: u_xx = c u - 3 u², and u_tt is c² times that."""
    u = solution(points)
    return (SPEED * u - 3 * u**2)[:, :, None] * np.array([SPEED**2, 1.0])


class Equation(keras.layers.Layer):
    """u_t + 6 u u_x + u_xxx, which is to be 0."""

    def call(self, of):
        """The residual, `(batch, 1)`."""
        return of["u_t"] + 6 * of["u"] * of["u_x"] + of["u_xxx"]


def build() -> keras.Model:
    """The network u(t, x): the hump at t = 0, and u(-7) = u(7) = u_x(7) = 0, by construction."""
    keras.utils.set_random_seed(0)
    points = keras.Input((2,))
    t, x = points[:, :1], points[:, 1:]
    hidden = keras.layers.Rescaling([2 / DURATION, 1 / 2], [-1.0, 0.0])(points)
    for _ in range(3):
        hidden = keras.layers.Dense(48, activation="tanh")(hidden)
    hump = SPEED / 2 / keras.ops.cosh(DECAY * (x - START)) ** 2
    edges = (1 + x / EDGE) * (1 - x / EDGE) ** 2
    return keras.Model(points, hump + t * edges * keras.layers.Dense(1)(hidden), name="u")


def grid(n: int) -> np.ndarray:
    """Points (t, x) inside, `(n * n, 2)`, t outermost."""
    middle = (np.arange(n) + 0.5) / n
    t, x = np.meshgrid(DURATION * middle, EDGE * (2 * middle - 1), indexing="ij")
    return np.stack([t, x], axis=-1).reshape(-1, 2).astype("float32")


def line(t: float) -> np.ndarray:
    """Points at a time, `(281, 2)`."""
    x = np.linspace(-EDGE, EDGE, 281)
    return np.stack([np.full_like(x, t), x], axis=-1)


def solve(epochs: int, out: Path) -> tuple[keras.Model, kc.CurvatureMonitor]:
    u = build()
    inputs = keras.Input((2,))
    of = kc.DerivativeOutput(u, TERMS)(inputs)
    model = keras.Model(inputs, {"residual": Equation()(of)})
    rate = keras.optimizers.schedules.CosineDecay(7e-3, epochs * STEPS)
    model.compile(keras.optimizers.Adam(rate), loss={"residual": "mse"}, steps_per_execution=STEPS)
    low, high = (0.0, -EDGE), (DURATION, EDGE)
    points = np.random.default_rng(0).uniform(low, high, (STEPS * BATCH, 2)).astype("float32")
    probe = grid(24)
    monitor = kc.CurvatureMonitor(
        (probe, solution(probe)),
        log_dir=out,
        model=u,
        reference=second_derivatives,
        feature_names=["t", "x"],
        units="raw",
    )
    print(" epoch   equation's loss   R² of u   error of its second derivatives")
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
        f"{logs['curvature_reference_rmse']:31.2e}",
        flush=True,
    )


def compare(u: keras.Model) -> dict[str, tuple[float, float]]:
    """By name, at the end: what the network says, and what is known."""
    points = line(DURATION)
    x, found = points[:, 1], u.predict(points, verbose=0)[:, 0].astype("float64")
    top = int(np.argmax(found))
    curve, slope, height = np.polyfit(x[top - 2 : top + 3] - x[top], found[top - 2 : top + 3], 2)
    crest = x[top] - slope / (2 * curve)
    return {
        "height": (height - slope**2 / (4 * curve), SPEED / 2),
        "speed": ((crest - START) / DURATION, SPEED),
        "mass ∫u dx": (np.trapezoid(found, x), 4 * DECAY),
        "momentum ∫u² dx": (np.trapezoid(found**2, x), 2 / 3 * SPEED**1.5),
    }


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def errors(u: keras.Model) -> dict[str, float]:
    """Relative errors over all t and x, in the L2 norm."""
    points = grid(96)
    found, known = arrays(kc.derivatives(u, points, TERMS)), terms(points)
    return {
        name: float(np.linalg.norm(found[name] - known[name]) / np.linalg.norm(known[name]))
        for name in TERMS
    }


def picture(u: keras.Model, monitor: kc.CurvatureMonitor) -> Figure:
    figure = Figure(figsize=(11, 8.6), layout="constrained", facecolor="white")
    figure.suptitle("A soliton, learned from u_t + 6 u u_x + u_xxx = 0 alone", fontsize=15)
    u_map, waves, balance, history = figure.subplots(2, 2).ravel()
    draw_map(figure, u_map, u)
    for t, colour in zip((0.0, DURATION / 2, DURATION), COLOURS, strict=True):
        points = line(t)
        waves.plot(
            points[:, 1],
            u.predict(points, verbose=0)[:, 0],
            color=colour,
            lw=2.5,
            label=f"t = {t:g}",
        )
        waves.plot(points[:, 1], solution(points), "--", color=INK, lw=1.2)
    waves.set_title(f"u, error {errors(u)['u']:.2%}; dashed: known")
    waves.set_xlabel("x")
    waves.legend(frameon=False)
    draw_terms(balance, u)
    draw_history(history, monitor.history)
    return figure


def draw_map(figure, axes, u: keras.Model) -> None:
    n = 128
    values = u.predict(grid(n), verbose=0).reshape(n, n)
    image = axes.imshow(
        values,
        origin="lower",
        extent=(-EDGE, EDGE, 0, DURATION),
        aspect="auto",
        cmap="viridis",
    )
    axes.plot([START, START + SPEED * DURATION], [0, DURATION], "--", color="white", lw=1.2)
    axes.set_title(f"u; dashed: a crest of speed {SPEED:g}")
    axes.set_xlabel("x")
    axes.set_ylabel("t")
    figure.colorbar(image, ax=axes)


def draw_terms(axes, u: keras.Model) -> None:
    points = line(DURATION / 2)
    of = arrays(kc.derivatives(u, points, TERMS))
    parts = {"u_t": of["u_t"], "6 u u_x": 6 * of["u"] * of["u_x"], "u_xxx": of["u_xxx"]}
    for (name, values), colour in zip(parts.items(), COLOURS, strict=True):
        axes.plot(points[:, 1], values, color=colour, lw=2.2, label=name)
    axes.plot(points[:, 1], sum(parts.values()), color=INK, lw=1.5, label="their sum")
    axes.set_title(f"the terms at t = {DURATION / 2:g} cancel")
    axes.set_xlabel("x")
    axes.legend(frameon=False)


def draw_history(axes, history: dict[str, list[float]]) -> None:
    probe = grid(24)
    steps = np.multiply(history["step"], STEPS)
    value, second = solution(probe), second_derivatives(probe)
    spread = np.std(value) / np.sqrt(np.mean(value**2))
    of_u = spread * np.sqrt(1 - np.array(history["r2"]))
    of_second = np.divide(history["reference_rmse"], np.sqrt(np.mean(second**2)))
    axes.plot(steps, of_second, color=COLOURS[1], lw=2, label="u_tt, u_xx")
    axes.plot(steps, of_u, color=COLOURS[0], lw=2, label="u")
    axes.axhline(0.01, ls="--", color=INK, lw=1, label="1 %")
    axes.set_yscale("log")
    axes.set_title("relative error, as the monitor saw it")
    axes.set_xlabel("step of the optimizer")
    axes.legend(frameon=False)


def main(epochs: int = 24, out: Path = Path("logs/soliton")) -> Path:
    u, monitor = solve(epochs, out)
    print(f"\n{'at the end':16s} {'network':>9s} {'closed form':>12s} {'error':>7s}")
    for name, (found, known) in compare(u).items():
        print(f"{name:16s} {found:9.4f} {known:12.4f} {abs(found / known - 1):7.2%}")
    for name, error in errors(u).items():
        print(f"relative L2 error of {name} over all t and x {error:>{13 - len(name)}.2%}")
    path = out / "soliton.png"
    picture(u, monitor).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("logs/soliton"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
