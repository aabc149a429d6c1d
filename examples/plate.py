"""The lowest tone of a clamped plate, and its shape: an equation of fourth order with an unknown.

    Δ²u = k⁴ u inside the unit disc,   u = ∂u/∂n = 0 on its edge,   u = 1 in the middle

Kirchhoff's equation for a thin plate that vibrates with the frequency k² √(D/ρ), in which D is its
stiffness and ρ its mass per area. `"biharmonic"` of `kc.DerivativeOutput` is Δ²u, and Keras trains
through it; the factor (1 - r²)² clamps the edge by construction. A layer holds k, and Adam learns
shape and k together. The shape is known, J₀(kr) / J₀(k) - I₀(kr) / I₀(k) but for a factor, and
k² = 10.216 (Leissa, Vibration of Plates, NASA SP-160, 1969), so that the monitor can show the
second derivatives, of which the bending moments are made, becoming right.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import shlex
from dataclasses import dataclass
from math import factorial
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from numpy.polynomial import Polynomial

import keras_curvature as kc

TONE = 3.1962206165825  # k, the first zero of J₀(k) I₁(k) + I₀(k) J₁(k)
GUESS = 2.5
POISSON = 0.3  # how much a metal narrows when it is stretched
STEPS, BATCH = 100, 512  # of the optimizer in each epoch
PIXELS = 200

INK, COLOURS = "#111827", ("#0f766e", "#c2410c", "#6d28d9")


def known() -> Polynomial:
    """The shape as a polynomial in r², Bessel's series to 20 terms: sixteen digits."""
    i = np.array([(TONE / 2) ** (2 * m) / factorial(m) ** 2 for m in range(20)])
    j = i * (-1.0) ** np.arange(20)
    shape = j / j.sum() - i / i.sum()
    return Polynomial(shape / shape[0])


def squares(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x² and y² with r², of points `(n, 2)`: `(n, 2)` and `(n, 1)`."""
    of = np.asarray(points, "float64") ** 2
    return of, of.sum(axis=-1, keepdims=True)


def solution(points: np.ndarray) -> np.ndarray:
    """The shape at points (x, y): `(n, 1)`."""
    return known()(squares(points)[1])


def second_derivatives(points: np.ndarray) -> np.ndarray:
    """u_xx and u_yy, `(n, 1, 2)`."""
    of, r2 = squares(points)
    return (2 * known().deriv()(r2) + 4 * of * known().deriv(2)(r2))[:, None, :]


def moment(second: np.ndarray) -> np.ndarray:
    """The bending moment -u_xx - 0.3 u_yy, of `(n, 1, 2)`: `(n, 1)`."""
    return -second @ np.array([1.0, POISSON])


class Vibration(keras.layers.Layer):
    """Δ²u - k⁴ u, which is to be 0, with k to be learned."""

    def __init__(self) -> None:
        super().__init__()
        start = keras.initializers.Constant(GUESS)
        self.tone = self.add_weight(shape=(), initializer=start, name="k")

    def call(self, of):
        """The residual, `(batch, 1)`."""
        return of["biharmonic"] - self.tone**4 * of["value"]

    def found(self) -> float:
        """The present k."""
        return float(keras.ops.convert_to_numpy(self.tone))


@dataclass(frozen=True)
class Learned:
    """The network u(x, y), k after each epoch, and what the monitor saw."""

    network: keras.Model
    tones: list[float]
    monitor: kc.CurvatureMonitor


def build() -> keras.Model:
    """The network u(x, y): 1 in the middle, flat and level on the edge, by construction."""
    keras.utils.set_random_seed(0)
    points = keras.Input((2,))
    hidden = points
    for _ in range(3):
        hidden = keras.layers.Dense(32, activation="tanh")(hidden)
    r2 = keras.ops.sum(points**2, axis=-1, keepdims=True)
    bent = 1 + r2 * keras.layers.Dense(1)(hidden)
    return keras.Model(points, (1 - r2) ** 2 * bent, name="u")


def disc(n: int) -> np.ndarray:
    """Points drawn evenly from the disc, `(n, 2)`."""
    rng = np.random.default_rng(0)
    radius, angle = np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * np.pi, size=n)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return points.astype("float32")


def learn(epochs: int, out: Path) -> Learned:
    u = build()
    inputs = keras.Input((2,))
    of = kc.DerivativeOutput(u, ["value", "biharmonic"])(inputs)
    equation = Vibration()
    model = keras.Model(inputs, {"residual": equation(of)})
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * STEPS)
    model.compile(keras.optimizers.Adam(rate), {"residual": "mse"}, steps_per_execution=STEPS)
    points, probe = disc(STEPS * BATCH), disc(256)
    monitor = kc.CurvatureMonitor(
        (probe, solution(probe)),
        log_dir=out,
        model=u,
        reference=second_derivatives,
        feature_names=["x", "y"],
        units="raw",
    )
    tones = [equation.found()]

    def note(epoch: int, logs: dict[str, float]) -> None:
        tones.append(equation.found())
        print(
            f"{epoch + 1:6d}   {logs['loss']:15.2e}   {tones[-1] ** 2:7.4f}   "
            f"{logs['curvature_r2']:7.5f}   {logs['curvature_reference_rmse']:31.2e}",
            flush=True,
        )

    print(" epoch   equation's loss        k²   R² of u   error of its second derivatives")
    model.fit(
        points,
        {"residual": np.zeros((len(points), 1), "float32")},
        batch_size=BATCH,
        epochs=epochs,
        verbose=0,
        callbacks=[monitor, keras.callbacks.LambdaCallback(on_epoch_end=note)],
    )
    return Learned(u, tones, monitor)


def arrays(found: dict) -> dict[str, np.ndarray]:
    """Derivatives as arrays of NumPy, on every backend."""
    return {name: keras.ops.convert_to_numpy(values) for name, values in found.items()}


def errors(u: keras.Model) -> dict[str, float]:
    """Relative errors over the disc, in the L2 norm."""
    points = disc(4096)
    found = arrays(kc.derivatives(u, points, ["value", "hessian_diagonal", "biharmonic"]))
    pairs = {
        "u": (found["value"], solution(points)),
        "moment": (moment(found["hessian_diagonal"]), moment(second_derivatives(points))),
        "Δ²u": (found["biharmonic"], TONE**4 * solution(points)),
    }
    return {
        name: float(np.linalg.norm(a - b) / np.linalg.norm(b)) for name, (a, b) in pairs.items()
    }


def picture(learned: Learned) -> Figure:
    figure = Figure(figsize=(11, 8.6), layout="constrained", facecolor="white")
    figure.suptitle("The lowest tone of a clamped plate, learned from Δ²u = k⁴ u", fontsize=15)
    shape, bent, profile, history = figure.subplots(2, 2).ravel()
    side = np.linspace(-1, 1, PIXELS)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype("float32")
    found = arrays(kc.derivatives(learned.network, points, ["value", "hessian_diagonal"]))
    draw_map(figure, shape, found["value"], points, "its shape, as the network has it")
    moments = moment(found["hessian_diagonal"])
    draw_map(figure, bent, moments, points, "bending moment −u_xx − 0.3 u_yy")
    draw_profile(profile, learned.network)
    draw_history(history, learned)
    return figure


def draw_map(figure, axes, values, points: np.ndarray, title: str) -> None:
    values = np.where(squares(points)[1] > 1, np.nan, values)
    bound = np.nanmax(np.abs(values))
    image = axes.imshow(
        values.reshape(PIXELS, PIXELS),
        origin="lower",
        extent=(-1, 1, -1, 1),
        cmap="RdBu_r",
        vmin=-bound,
        vmax=bound,
    )
    axes.set_title(title)
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.85)


def draw_profile(axes, u: keras.Model) -> None:
    x = np.linspace(-1, 1, 201)
    points = np.stack([x, np.zeros_like(x)], axis=-1).astype("float32")
    found = arrays(kc.derivatives(u, points, ["value", "hessian_diagonal"]))
    deflection, bent = found["value"], moment(found["hessian_diagonal"])
    axes.plot(x, deflection, color=COLOURS[0], lw=2.5, label="shape u")
    axes.plot(x, bent, color=COLOURS[1], lw=2.5, label="moment")
    axes.plot(x, solution(points), "--", color=INK, lw=1.2)
    axes.plot(x, moment(second_derivatives(points)), "--", color=INK, lw=1.2, label="known")
    axes.set_title(f"at y = 0; error of the moment {errors(u)['moment']:.2%}")
    axes.set_xlabel("x")
    axes.legend(frameon=False)


def draw_history(axes, learned: Learned) -> None:
    history, probe = learned.monitor.history, disc(256)
    steps = np.multiply(history["step"], STEPS)
    value, second = solution(probe), second_derivatives(probe)
    spread = np.std(value) / np.sqrt(np.mean(value**2))
    of_u = spread * np.sqrt(1 - np.array(history["r2"]))
    of_second = np.divide(history["reference_rmse"], np.sqrt(np.mean(second**2)))
    of_tone = np.abs(np.square(learned.tones) / TONE**2 - 1)
    square = learned.tones[-1] ** 2
    axes.plot(steps, of_second, color=COLOURS[1], lw=2, label="u_xx, u_yy")
    axes.plot(steps, of_u, color=COLOURS[0], lw=2, label="u")
    axes.plot(steps, of_tone, color=COLOURS[2], lw=2, label=f"k², which ends at {square:.3f}")
    axes.axhline(0.01, ls="--", color=INK, lw=1, label="1 %")
    axes.set_yscale("log")
    axes.set_title("relative error, as the monitor saw it")
    axes.set_xlabel("step of the optimizer")
    axes.legend(frameon=False)


def main(epochs: int = 10, out: Path = Path("logs/plate")) -> Path:
    learned = learn(epochs, out)
    found = learned.tones[-1] ** 2
    print(f"\n{'':12s} {'network':>9s} {'known':>9s} {'error':>8s}")
    print(f"{'k²':12s} {found:9.4f} {TONE**2:9.4f} {found / TONE**2 - 1:+8.3%}")
    for name, error in errors(learned.network).items():
        print(f"relative L2 error of {name} over the disc {error:>{13 - len(name)}.2%}")
    path = out / "plate.png"
    picture(learned).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("logs/plate"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
