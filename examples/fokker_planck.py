"""The density of ten correlated rates, from the Fokker-Planck equation in eleven variables.

    p_t = a Σ ∂(x_i p)/∂x_i + ½ Σ C_ij ∂²p/∂x_i∂x_j,   p normal with covariance I at t = 0

Ten rates return to their means at the speed a while three factors (level, slope and curvature) move
them: a process of Ornstein and Uhlenbeck, of covariance C. C has rank 3, so that
`kc.laplacian(..., weights=C)` takes three directions for the 55 second derivatives. A density in
ten dimensions spans many powers of ten; the network is its logarithm u, right at the start by
construction, whose equation is

    u_t = a (10 + x·∇u) + ½ Σ C_ij u_ij + ½ ∇uᵀ C ∇u.

The density stays normal, with a covariance that is known, so that the monitor can show the second
derivatives becoming right.
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

RATES, RETURN, DURATION = 10, 0.5, 1.0  # how many, a, and until when
ALONG = np.linspace(-1, 1, RATES)  # the maturities, short to long
FACTORS = np.column_stack([np.full(RATES, 0.6), 0.7 * ALONG, 0.5 * np.cos(np.pi * ALONG)])
COVARIANCE = FACTORS @ FACTORS.T
COLUMNS = list(range(1, RATES + 1))  # of the points (t, x)
STEPS, BATCH = 200, 512  # of the optimizer in each epoch

INK, COLOURS = "#111827", ("#0f766e", "#c2410c", "#6d28d9")


def spread(t: np.ndarray) -> np.ndarray:
    """The covariance at times `(n,)`: `(n, 10, 10)`."""
    left = np.exp(-2 * RETURN * np.asarray(t, "float64"))[:, None, None]
    return left * np.eye(RATES) + (1 - left) / (2 * RETURN) * COVARIANCE


def solution(points: np.ndarray) -> np.ndarray:
    """Log p at points (t, x): `(n, 1)`."""
    points = np.asarray(points, "float64")
    of, x = spread(points[:, 0]), points[:, 1:]
    squares = np.einsum("ni,ni->n", x, np.linalg.solve(of, x[..., None])[..., 0])
    return (-squares / 2 - np.linalg.slogdet(2 * np.pi * of)[1] / 2)[:, None]


def second_derivatives(points: np.ndarray) -> np.ndarray:
    """Along each rate, `(n, 1, 10)`."""
    inverse = np.linalg.inv(spread(np.asarray(points)[:, 0]))
    return -np.diagonal(inverse, axis1=-2, axis2=-1)[:, None, :]


def diffusion(points: np.ndarray) -> np.ndarray:
    """Σ C_ij u_ij, `(n, 1)`."""
    inverse = np.linalg.inv(spread(np.asarray(points)[:, 0]))
    return -np.einsum("ij,nij->n", COVARIANCE, inverse)[:, None]


class Equation(keras.layers.Layer):
    """The equation's two sides' difference, which is to be 0."""

    def __init__(self, log_density: keras.Model) -> None:
        super().__init__()
        self.log_density = log_density

    def call(self, points, slope):
        """The residual, `(batch, 1)`."""
        by_time, by_rates = slope[:, :, 0], slope[:, :, 1:]
        drift = RETURN * (RATES + keras.ops.sum(points[:, None, 1:] * by_rates, axis=-1))
        along = keras.ops.matmul(by_rates, FACTORS.astype("float32"))
        bends = kc.laplacian(self.log_density, points, weights=COVARIANCE, columns=COLUMNS)
        return by_time - drift - bends / 2 - keras.ops.sum(along**2, axis=-1) / 2


def build() -> keras.Model:
    """The network log p(t, x), right at t = 0 by construction."""
    keras.utils.set_random_seed(0)
    points = keras.Input((1 + RATES,))
    hidden = keras.layers.Rescaling([2.0, *RATES * [0.5]], [-1.0, *RATES * [0.0]])(points)
    for _ in range(2):
        hidden = keras.layers.Dense(64, activation="silu")(hidden)
    squares = keras.ops.sum(points[:, 1:] ** 2, axis=-1, keepdims=True)
    start = -squares / 2 - RATES / 2 * float(np.log(2 * np.pi))
    change = points[:, :1] * keras.layers.Dense(1)(hidden)
    return keras.Model(points, start + change, name="log_density")


def draw(n: int, seed: int) -> np.ndarray:
    """Times, and rates as they are likely then: `(n, 11)`."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, DURATION, size=n)
    left = np.exp(-2 * RETURN * t)[:, None]
    moved = rng.normal(size=(n, FACTORS.shape[1])) @ FACTORS.T
    x = np.sqrt(left) * rng.normal(size=(n, RATES)) + np.sqrt((1 - left) / (2 * RETURN)) * moved
    return np.hstack([t[:, None], x]).astype("float32")


def solve(epochs: int, out: Path) -> tuple[keras.Model, kc.CurvatureMonitor]:
    log_density = build()
    inputs = keras.Input((1 + RATES,))
    slope = kc.DerivativeOutput(log_density, "jacobian")(inputs)
    residual = Equation(log_density)(inputs, slope)
    model = keras.Model(inputs, {"residual": residual})
    rate = keras.optimizers.schedules.CosineDecay(1e-2, epochs * STEPS)
    model.compile(keras.optimizers.Adam(rate), loss={"residual": "mse"}, steps_per_execution=STEPS)
    points, probe = draw(STEPS * BATCH, 0), draw(128, 1)
    monitor = kc.CurvatureMonitor(
        (probe, solution(probe)),
        log_dir=out,
        model=log_density,
        columns=COLUMNS,
        reference=second_derivatives,
        feature_names=["t", *(f"rate {i}" for i in COLUMNS)],
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
    return log_density, monitor


def print_row(epoch: int, logs: dict[str, float]) -> None:
    print(
        f"{epoch + 1:6d}   {logs['loss']:15.2e}   {logs['curvature_r2']:7.4f}   "
        f"{logs['curvature_reference_rmse']:31.2e}",
        flush=True,
    )


def relative(found: np.ndarray, known: np.ndarray) -> float:
    return float(np.linalg.norm(found - known) / np.linalg.norm(known))


def errors(log_density: keras.Model) -> dict[str, float]:
    """Relative errors where the rates are likely, in the L2 norm."""
    points = draw(4096, 2)
    found, known = log_density.predict(points, verbose=0), solution(points)
    start = solution(np.hstack([np.zeros((len(points), 1)), points[:, 1:]]))
    bends = kc.laplacian(log_density, points, weights=COVARIANCE, columns=COLUMNS)
    return {
        "log p": relative(found, known),
        "log p - log p(0)": relative(found - start, known - start),
        "Σ C_ij u_ij": relative(keras.ops.convert_to_numpy(bends), diffusion(points)),
    }


def covariance(log_density: keras.Model, t: np.ndarray) -> np.ndarray:
    """What the network's Hessian at the mean says the covariance is, `(n, 10, 10)`."""
    points = np.zeros((len(t), 1 + RATES), "float32")
    points[:, 0] = t
    hessian = keras.ops.convert_to_numpy(kc.hessian(log_density, points, columns=COLUMNS))[:, 0]
    return np.linalg.inv(-hessian.astype("float64"))


def compare(log_density: keras.Model) -> dict[str, tuple[float, float]]:
    """By name, at the end: what the network says, and what is known."""
    end = np.array([DURATION])
    pairs = covariance(log_density, end)[0], spread(end)[0]
    return {
        "variance of the shortest rate": tuple(float(c[0, 0]) for c in pairs),
        "variance of the mean of all": tuple(float(c.mean()) for c in pairs),
        "covariance of two neighbours": tuple(float(c[4, 5]) for c in pairs),
        "log p at the mean": tuple(
            float(keras.ops.convert_to_numpy(f(np.array([[DURATION, *RATES * [0.0]]])))[0, 0])
            for f in (log_density, solution)
        ),
    }


def picture(log_density: keras.Model, monitor: kc.CurvatureMonitor) -> Figure:
    figure = Figure(figsize=(12.5, 8.2), layout="constrained", facecolor="white")
    title = "The density of ten correlated rates, from the Fokker-Planck equation"
    figure.suptitle(title, fontsize=15)
    maps, lower = figure.subfigures(2, 1)
    end = np.array([DURATION])
    found, known = covariance(log_density, end)[0], spread(end)[0]
    bound = np.abs(known).max()
    three = maps.subplots(1, 3)
    titles = ("the network's covariance at the end", "known", "difference, ten times as bright")
    for axes, values, title, scale in zip(
        three, (found, known, found - known), titles, (1, 1, 10), strict=True
    ):
        image = axes.imshow(values, cmap="RdBu_r", vmin=-bound / scale, vmax=bound / scale)
        axes.set_title(title)
        axes.set_xlabel("rate")
        axes.set_xticks([0, 9], ["short", "long"])
        axes.set_yticks([0, 9], ["short", "long"])
        maps.colorbar(image, ax=axes, shrink=0.8)
    variances, density, history = lower.subplots(1, 3)
    draw_variances(variances, log_density)
    points = draw(1000, 2)
    density.plot(solution(points), log_density(points), ".", ms=3, color=COLOURS[2])
    ends = [float(np.min(solution(points))), float(np.max(solution(points)))]
    density.plot(ends, ends, "--", color=INK, lw=1.2)
    density.set_title(f"log p, error {errors(log_density)['log p']:.2%}")
    density.set_xlabel("known")
    density.set_ylabel("network")
    draw_history(history, monitor.history)
    return figure


def draw_variances(axes, log_density: keras.Model) -> None:
    t = np.linspace(0, DURATION, 41)
    found, known = covariance(log_density, t), spread(t)
    for name, factor, colour in zip(
        ("level", "slope", "curvature"), FACTORS.T, COLOURS, strict=True
    ):
        along = factor / np.linalg.norm(factor)
        axes.plot(t, found @ along @ along, color=colour, lw=2.5, label=name)
        axes.plot(t, known @ along @ along, "--", color=INK, lw=1.2)
    axes.set_title("variances along the factors; dashed: known")
    axes.set_xlabel("t")
    axes.legend(frameon=False)


def draw_history(axes, history: dict[str, list[float]]) -> None:
    probe = draw(128, 1)
    steps = np.multiply(history["step"], STEPS)
    value, second = solution(probe), second_derivatives(probe)
    deviation = np.std(value) / np.sqrt(np.mean(value**2))
    of_u = deviation * np.sqrt(1 - np.array(history["r2"]))
    of_second = np.divide(history["reference_rmse"], np.sqrt(np.mean(second**2)))
    axes.plot(steps, of_second, color=COLOURS[1], lw=2, label="second derivatives of log p")
    axes.plot(steps, of_u, color=COLOURS[0], lw=2, label="log p")
    axes.axhline(0.01, ls="--", color=INK, lw=1, label="1 %")
    axes.set_yscale("log")
    axes.set_title("relative error, as the monitor saw it")
    axes.set_xlabel("step of the optimizer")
    axes.legend(frameon=False)


def main(epochs: int = 20, out: Path = Path("logs/fokker_planck")) -> Path:
    log_density, monitor = solve(epochs, out)
    print(f"\n{'at the end':30s} {'network':>9s} {'closed form':>12s} {'error':>7s}")
    for name, (found, known) in compare(log_density).items():
        print(f"{name:30s} {found:9.4f} {known:12.4f} {abs(found / known - 1):7.2%}")
    for name, error in errors(log_density).items():
        print(f"relative L2 error of {name:16s} {error:7.2%}")
    path = out / "fokker_planck.png"
    picture(log_density, monitor).savefig(path, dpi=110)
    print(f"\nPicture:      {path}")
    print(f"TensorBoard:  tensorboard --logdir {shlex.quote(str(out))}")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("logs/fokker_planck"))
    arguments = parser.parse_args()
    main(arguments.epochs, arguments.out)
