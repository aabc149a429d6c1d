"""A physics-informed network: solve -Δu = f on the unit square, u = 0 on its edge.

The network never sees u. Its loss is the equation, at random points: `kc.DerivativeOutput`
gives the Laplacian, and Keras trains through it. The solution is known,

    u(x, y) = sin(πx) sin(πy) + sin(2πx) sin(3πy) / 2,

so that the monitor can show the second derivatives becoming right while the network trains.
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

MODES = [(1.0, 1, 1), (0.5, 2, 3)]  # amplitude, half waves in x, half waves in y
STEPS = 100  # of the optimizer in each epoch
BATCH = 512
PIXELS = 128


def waves(x: np.ndarray, weight) -> np.ndarray:
    """The modes added up, each times `weight(m, n)`, at points `(n, 2)`."""
    p = np.pi * x
    return sum(weight(m, n) * a * np.sin(m * p[:, :1]) * np.sin(n * p[:, 1:]) for a, m, n in MODES)


def solution(x: np.ndarray) -> np.ndarray:
    return waves(x, lambda m, n: 1.0)


def source(x: np.ndarray) -> np.ndarray:
    return waves(x, lambda m, n: np.pi**2 * (m**2 + n**2))


def second_derivatives(x: np.ndarray) -> np.ndarray:
    """Along x and along y, `(n, 1, 2)`."""
    along = [lambda m, n: -((np.pi * m) ** 2), lambda m, n: -((np.pi * n) ** 2)]
    return np.stack([waves(x, weight) for weight in along], axis=-1)


def grid(n: int) -> np.ndarray:
    middle = (np.arange(n) + 0.5) / n
    return np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2).astype("float32")


def build() -> keras.Model:
    """The network u, 0 on the edge by construction."""
    keras.utils.set_random_seed(0)
    x = keras.Input((2,))
    hidden = keras.layers.Rescaling(2.0, -1.0)(x)
    for _ in range(3):
        hidden = keras.layers.Dense(48, activation="tanh")(hidden)
    edge = 16 * x[:, :1] * (1 - x[:, :1]) * x[:, 1:] * (1 - x[:, 1:])
    return keras.Model(x, edge * keras.layers.Dense(1)(hidden), name="u")


def solve(epochs: int, out: Path) -> tuple[keras.Model, kc.CurvatureMonitor]:
    u = build()
    inputs = keras.Input((2,))
    model = keras.Model(inputs, kc.DerivativeOutput(u, ["value", "laplacian"])(inputs))
    rate = keras.optimizers.schedules.CosineDecay(5e-3, epochs * STEPS)
    model.compile(keras.optimizers.Adam(rate), loss={"laplacian": "mse"}, steps_per_execution=STEPS)
    points = np.random.default_rng(0).uniform(size=(STEPS * BATCH, 2)).astype("float32")
    probe = grid(16)
    monitor = kc.CurvatureMonitor(
        (probe, solution(probe)),
        log_dir=out,
        output="value",
        reference=second_derivatives,
        units="raw",
    )
    print(" epoch   equation's loss   error of u   error of its second derivatives")
    table = keras.callbacks.LambdaCallback(on_epoch_end=print_row)
    model.fit(
        points,
        {"laplacian": -source(points)},
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[monitor, table],
    )
    return u, monitor


def print_row(epoch: int, logs: dict[str, float]) -> None:
    print(
        f"{epoch + 1:6d}   {logs['loss']:15.2e}   {error_of_u(logs['curvature_r2']):10.2%}   "
        f"{logs['curvature_reference_rmse']:31.2e}",
        flush=True,
    )


def error_of_u(r2: float) -> float:
    """The monitor's R² as an error relative to u: u's mean over the square is small."""
    return float(np.sqrt(1 - r2))


def relative(found: np.ndarray, known: np.ndarray) -> float:
    return float(np.linalg.norm(found - known) / np.linalg.norm(known))


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def compare(u: keras.Model) -> dict[str, tuple[float, float]]:
    """By name: what the network says, and what is known."""
    middle = np.array([[0.5, 0.5]])
    centre = arrays(kc.derivatives(u, middle, ["value", "laplacian"]))
    slope = keras.ops.convert_to_numpy(kc.jacobian(u, grid(64)))
    energy = sum(np.pi**2 / 4 * a**2 * (m**2 + n**2) for a, m, n in MODES)
    return {
        "u at (1/2, 1/2)": (float(centre["value"][0, 0]), solution(middle).item()),
        "Δu at (1/2, 1/2)": (float(centre["laplacian"][0, 0]), -source(middle).item()),
        "energy ∫|∇u|²": (float(np.mean(np.sum(slope**2, axis=-1))), energy),
    }


def errors(u: keras.Model) -> dict[str, float]:
    """Relative errors over the whole square, in the L2 norm."""
    x = grid(64)
    found = arrays(kc.derivatives(u, x, ["value", "laplacian"]))
    return {
        "u": relative(found["value"], solution(x)),
        "Δu": relative(found["laplacian"], -source(x)),
    }


def picture(u: keras.Model, monitor: kc.CurvatureMonitor) -> Figure:
    figure = Figure(figsize=(11, 8.6), layout="constrained", facecolor="white")
    figure.suptitle("A network solves −Δu = f from the equation alone", fontsize=15, weight="bold")
    u_map, error_map, residual_map, history = figure.subplots(2, 2).ravel()
    x = grid(PIXELS)
    found = arrays(kc.derivatives(u, x, ["value", "laplacian"]))
    error, residual = found["value"] - solution(x), found["laplacian"] + source(x)
    largest = np.abs(source(x)).max()
    draw_map(figure, u_map, found["value"], "u, as the network has it")
    draw_map(figure, error_map, error, f"error of u: {errors(u)['u']:.2%} in the L2 norm")
    draw_map(figure, residual_map, residual, f"residual Δu + f, where |f| reaches {largest:.0f}")
    draw_history(history, monitor.history)
    return figure


def draw_map(figure, axes, values, title: str) -> None:
    values = np.asarray(values).reshape(PIXELS, PIXELS)
    limit = np.abs(values).max()
    image = axes.imshow(
        values, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    axes.set_title(title)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    figure.colorbar(image, ax=axes, shrink=0.85)


def draw_history(axes, history: dict[str, list[float]]) -> None:
    scale = float(np.sqrt(np.mean(second_derivatives(grid(16)) ** 2)))
    steps = np.multiply(history["step"], STEPS)
    curvature = np.divide(history["reference_rmse"], scale)
    axes.plot(steps, [error_of_u(r2) for r2 in history["r2"]], color="#0f766e", lw=2, label="u")
    axes.plot(steps, curvature, color="#c2410c", lw=2, label="∂²u/∂x², ∂²u/∂y²")
    axes.axhline(0.01, ls="--", color="#111827", lw=1, label="1 %")
    axes.set_yscale("log")
    axes.set_title("relative error, as the monitor saw it")
    axes.set_xlabel("step of the optimizer")
    axes.legend(frameon=False)


def main(epochs: int = 20, out: Path = Path("logs/poisson")) -> Path:
    u, monitor = solve(epochs, out)
    print(f"\n{'':16s} {'network':>11s} {'closed form':>12s} {'error':>7s}")
    for name, (found, known) in compare(u).items():
        print(f"{name:16s} {found:11.5f} {known:12.5f} {abs(found / known - 1):7.2%}")
    for name, error in errors(u).items():
        print(f"relative L2 error of {name} over the square {error:>{11 - len(name)}.2%}")
    path = out / "poisson.png"
    picture(u, monitor).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("logs/poisson"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
