"""A real TensorBoard, a real browser, and log directories that real trainings wrote."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest

import keras_curvature as kc
from driving import Tab

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WINDOW = {"width": 1440, "height": 1120}
PATIENCE = 60.0  # seconds until TensorBoard has started and read its directory


def pytest_collection_modifyitems(items):
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shots():
    """Where screenshots are kept."""
    folder = pathlib.Path(os.environ.get("SCREENSHOTS", "build/screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def chromium():
    """The path of an installed Chromium."""
    given = os.environ.get("CHROMIUM")
    found = shutil.which(given) if given else next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not found:
        looked = f"at CHROMIUM={given}" if given else f"among {', '.join(CHROMIUM)}"
        pytest.skip(
            f"The browser tests need Chromium, and there is none {looked}. Install it (Debian: "
            "apt-get install chromium), or say where it is: "
            "make test-browser CHROMIUM=/path/to/chromium"
        )
    return found


@pytest.fixture(scope="session")
def browser(chromium):
    reason = "The browser tests need Playwright: pip install 'keras-curvature[browser]'"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def context(browser):
    """A browser without a past: TensorBoard keeps the theme from one visit to the next."""
    made = browser.new_context(viewport=WINDOW, accept_downloads=True)
    yield made
    made.close()


@pytest.fixture
def open_tab(context):
    """Opens the tab of a TensorBoard; afterwards nothing may have gone wrong in the console."""
    tabs = []

    def opened(address, **kwargs):
        tabs.append(Tab(context.new_page(), address, **kwargs))
        return tabs[-1]

    yield opened
    assert not [message for tab in tabs for message in tab.wrong]


@contextlib.contextmanager
def tensorboard(logdir, *flags, command=("-m", "tensorboard.main"), runs=1):
    """A TensorBoard that has read `runs` runs; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [sys.executable, *command, *arguments, "--reload_interval", "1", *flags],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/data/runs", runs, process)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(address, runs, process):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(address).read().count(b'"') >= 2 * runs:
                return
        time.sleep(0.2)
    raise RuntimeError(f"TensorBoard has not read {runs} run(s) in {PATIENCE:.0f} s.")


def network(inputs, activation, rate):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, activation) for _ in range(2)]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


def sine(log_dir, activation, epochs):
    """`sin 3x`, whose second derivative is known."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-1, 1, size=(500, 1)), axis=0)
    y = np.sin(3 * x) + 0.03 * rng.normal(size=x.shape)
    monitor = kc.CurvatureMonitor(
        (x[::2], y[::2]), log_dir, reference=-9 * np.sin(3 * x[::2])[..., None]
    )
    board = keras.callbacks.TensorBoard(log_dir)
    network(1, activation, 1e-2).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[board, monitor]
    )


def wave(log_dir, activation, epochs):
    """`sin(3 width) * height`."""
    x = np.random.default_rng(0).uniform(-1, 1, size=(1500, 2))
    y = np.sin(3 * x[:, :1]) * x[:, 1:]
    names = ["width", "height"]
    monitor = kc.CurvatureMonitor((x[:400], y[:400]), log_dir, feature_names=names)
    network(2, activation, 3e-3).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[monitor]
    )


NAMES = ["wave", "left", "right", "square", "straight", "noise"]


def six(log_dir, activation, epochs):
    """A sum of a wave, a product, a square and a straight line, in standard deviations."""
    x = np.random.default_rng(0).normal(size=(1500, 6))
    y = np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + x[:, 3:4] ** 2 / 2 + x[:, 4:5]
    monitor = kc.CurvatureMonitor((x[:200], y[:200]), log_dir, feature_names=NAMES, units="std")
    network(6, activation, 3e-3).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[monitor]
    )


EPOCHS = {"sine": 30, "wave": 24, "six": 20}


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """One training of each kind and activation."""
    logdir = tmp_path_factory.mktemp("logs")
    for train, activations in (
        (sine, ("relu", "silu")),
        (wave, ("relu", "silu")),
        (six, ("silu",)),
    ):
        for activation in activations:
            name = train.__name__
            train(str(logdir / name / activation), activation, EPOCHS[name])
    return logdir


@pytest.fixture(scope="session")
def address(logs):
    with tensorboard(logs, runs=7) as found:
        yield found
