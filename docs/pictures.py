"""Draws the pictures of the pages, light and dark: `make pictures` (about half a minute).

python docs/pictures.py [--out docs/images]
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import argparse
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_curvature as kc
from keras_curvature.figures.style import THEMES, Theme, styled

X = np.linspace(0, 1, 1000).astype("float32")[:, None]
Y = X**2
SCALE = 0.05
DPI = 130


def train(*layers: keras.Layer, epochs: int, monitor: kc.CurvatureMonitor | None = None):
    """The tutorial's network."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    callbacks = [] if monitor is None else [monitor]
    model.fit(X, Y, epochs=epochs, batch_size=20, verbose=0, callbacks=callbacks)
    return model


def standardise() -> keras.Layer:
    return keras.layers.Normalization(mean=X.mean(), variance=X.var())


def three_panels(theme: Theme):
    figure = Figure(figsize=(10, 3), layout="constrained", facecolor=theme.page)
    return figure, figure.subplots(1, 3)


def staircase(relu: keras.Model) -> Callable[[Theme], Figure]:
    """A ReLU network from near: straight pieces, a slope in steps, and no second derivative."""
    low, high = 0.45, 0.55
    t = np.linspace(low, high, 2001)[:, None]
    value = np.asarray(relu(t))[:, 0]
    slope = kc.jacobian(relu, t, dtype="float64")[:, 0, 0]
    second = kc.hessian_diagonal(relu, t, dtype="float64")[:, 0, 0]
    found = kc.kinks(relu, low, high)

    def draw(theme: Theme) -> Figure:
        figure, (left, middle, right) = three_panels(theme)
        left.plot(t, t**2, "--", color=theme.target, lw=1.5, label="x²")
        left.plot(t, value, color=theme.exact, lw=2, label="network")
        left.set_title("The function")
        middle.plot(t, 2 * t, "--", color=theme.target, lw=1.5, label="2x")
        middle.plot(t, slope, color=theme.exact, lw=1.5, label="network")
        middle.set_title("Its slope")
        right.axhline(2, ls="--", color=theme.target, lw=1.5, label="2")
        right.plot(t, second, color=theme.exact, lw=2, label="network, exact: 0")
        shown = {"color": theme.scale, "lw": 1, "alpha": 0.7}
        right.vlines(found.positions, -0.12, 0.12, **shown, label="kinks")
        right.set_title("Its second derivative")
        right.set_ylim(-0.5, 2.9)
        for axes in (left, middle, right):
            axes.set_xlabel("x")
            axes.legend(loc="upper left")
        right.legend(loc="center left", bbox_to_anchor=(0, 0.45))
        return figure

    return draw


def answer(relu: keras.Model, silu: keras.Model) -> Callable[[Theme], Figure]:
    """What the exact derivative sees, and what a distance sees."""
    inside = (X[:, 0] >= SCALE) & (X[:, 0] <= 1 - SCALE)
    curves = {
        "ReLU": (kc.hessian_diagonal(relu, X), kc.scale_curvature(relu, X, SCALE)),
        "SiLU": (kc.hessian_diagonal(silu, X), kc.scale_curvature(silu, X, SCALE)),
    }
    fits = {"ReLU": relu(X), "SiLU": silu(X)}

    def draw(theme: Theme) -> Figure:
        figure, (fit, *rest) = three_panels(theme)
        fit.plot(X, Y, color=theme.target, lw=6, alpha=0.5, label="x²")
        for (name, values), line in zip(fits.items(), ("-", ":"), strict=True):
            fit.plot(X, values, line, color=theme.ink, lw=1.6, label=f"{name} network")
        fit.set_title("Both networks fit x²")
        fit.legend(loc="upper left")
        fit.set_xlabel("x")
        for axes, (name, (exact, wide)) in zip(rest, curves.items(), strict=True):
            e, w = exact[:, 0, 0], wide[:, 0, 0]
            axes.axhline(2, ls="--", color=theme.target, lw=1.5, label="truth: 2")
            axes.plot(
                X[inside],
                w[inside],
                color=theme.scale,
                lw=2.2 if name == "ReLU" else 5,
                alpha=1 if name == "ReLU" else 0.45,
                label=f"over ±{SCALE}: mean {np.mean(w[inside]):.2f}",
            )
            axes.plot(
                X, e, color=theme.exact, lw=1.8, label=f"exact derivative: mean {np.mean(e):.2f}"
            )
            axes.set_title(f"Second derivative, {name}")
            axes.set_ylim(-0.4, 4.9)
            axes.set_xlabel("x")
            axes.legend(loc="upper center")
        return figure

    return draw


def watched() -> kc.CurvatureMonitor:
    """A regression with two inputs, as in the page on the monitor."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(1000, 2)).astype("float32")
    y = np.sin(3 * x[:, :1]) * x[:, 1:]
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(32, "silu") for _ in range(2)]
    model = keras.Sequential([keras.Input((2,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    monitor = kc.CurvatureMonitor((x[:200], y[:200]), feature_names=["angle", "arm"])
    model.fit(x, y, epochs=40, verbose=0, callbacks=[monitor])
    return monitor


def of_monitor(monitor: kc.CurvatureMonitor, picture: str) -> Callable[[str], Figure]:
    return lambda theme: monitor.plot(picture=picture, theme=theme)


def proof(model: keras.Model) -> Callable[[str], Figure]:
    """Where in its box that regression is convex, and where it rises."""
    found = kc.prove(
        model,
        [-1.0, -1.0],
        [1.0, 1.0],
        {"angle": "convex", "arm": "increasing"},
        feature_names=["angle", "arm"],
        verbose=False,
    )
    return lambda theme: found.plot(theme=theme)


def main(out: Path = Path(__file__).parent / "images") -> list[Path]:
    relu = train(keras.layers.Dense(1024, "relu"), epochs=40)
    silu = train(standardise(), keras.layers.Dense(1024, "silu"), epochs=40)
    ours = {"staircase": staircase(relu), "answer": answer(relu, silu)}
    multiscale = kc.CurvatureMonitor((X, Y))
    train(keras.layers.Dense(1024, "relu"), epochs=10, monitor=multiscale)
    regression = watched()
    monitors = {
        "distances": of_monitor(multiscale, "distances"),
        "shape": of_monitor(regression, "shape"),
        "proof": proof(regression.model),
    }
    written = []
    for theme, ending in (("light", ""), ("dark", "-dark")):
        with styled(THEMES[theme]):
            for name, draw in ours.items():
                written.append(out / f"{name}{ending}.png")
                draw(THEMES[theme]).savefig(written[-1], dpi=DPI, transparent=True)
        for name, plot in monitors.items():
            written.append(out / f"{name}{ending}.png")
            plot(theme).savefig(written[-1], dpi=DPI, transparent=True)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    for path in main(parser.parse_args().out):
        print(path)
