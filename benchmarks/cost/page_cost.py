"""What the page of a long training costs as one file: bytes, and time to write, open and move.

Two networks are trained for a thousand epochs with a monitor at 200 points, one of ReLU and one of
tanh; `keras_curvature.to_html` writes their log, and a Chromium (`CHROMIUM=/path` if it is not
found) opens the file. Opened is when the last epoch of both is drawn; a move is from the slider's
event to the end of drawing, at 40 places far from each other, at first and then once more.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from playwright.sync_api import Page, sync_playwright

import keras_curvature as kc

POINTS, UNITS, MOVES = 200, 64, 40
INPUTS = (1, 2, 10)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

SPENT = """from => performance.getEntriesByName("curvature move").slice(from)
    .map(({ duration }) => duration)"""
REACHED = "([name, count]) => performance.getEntriesByName(name).length >= count"
"""A function: the page's own policy forbids it to evaluate text."""
MOVE = "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input')); }"


def train(inputs: int, epochs: int, log_dir: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(2 * POINTS, inputs))
    y = np.sin(3 * x[:, :1]) * (1 if inputs == 1 else x[:, 1:2]) + 0.03 * rng.normal(size=(400, 1))
    for activation in ("relu", "tanh"):
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(UNITS, activation) for _ in range(2)]
        model = keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(3e-3), "mse")
        monitor = kc.CurvatureMonitor((x[:POINTS], y[:POINTS]), log_dir / activation)
        model.fit(x, y, epochs=epochs, batch_size=100, verbose=0, callbacks=[monitor])


def moved(page: Page, places: list[int]) -> str:
    """Median and longest of some moves, in milliseconds."""
    before = len(page.evaluate(SPENT, 0))
    for i, place in enumerate(places, 1):
        page.locator("#epoch").evaluate(MOVE, place)
        page.wait_for_function(REACHED, arg=["curvature move", before + i])
    spent = page.evaluate(SPENT, before)
    return f"{statistics.median(spent):5.1f} ms, {max(spent):5.1f} ms"


def measure(inputs: int, epochs: int, chromium: str, folder: Path) -> str:
    logs = folder / f"logs{inputs}"
    train(inputs, epochs, logs)
    begin = time.perf_counter()
    path = kc.to_html(logs, folder / f"{inputs}.html")
    written = time.perf_counter() - begin
    places = np.random.default_rng(0).integers(0, epochs, MOVES).tolist()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1120})
        page.goto("about:blank")
        begin = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_function(REACHED, arg=["curvature load", 1])
        opened = time.perf_counter() - begin
        first, again = moved(page, places), moved(page, places)
        browser.close()
    return (
        f"{path.stat().st_size / 1e6:6.2f} MB {written:7.1f} s {opened:8.2f} s   {first}   {again}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--inputs", type=int, nargs="*", default=INPUTS)
    arguments = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        parser.error("Needs Chromium: install it, or say where it is with CHROMIUM=/path.")
    print(f"{arguments.epochs} epochs, 2 runs, {POINTS} points; of moves median and longest")
    print(f"{'':10s}      file   written    opened   moved: first          again")
    with tempfile.TemporaryDirectory() as folder:
        for inputs in arguments.inputs:
            found = measure(inputs, arguments.epochs, chromium, Path(folder))
            print(f"{inputs:2d} input{'s' * (inputs > 1):1s}  {found}", flush=True)


if __name__ == "__main__":
    main()
