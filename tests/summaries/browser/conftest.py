"""A real TensorBoard, a real browser, and log directories that real trainings wrote."""

import os
import pathlib
import shutil

import pytest

from driving import Tab
from tensorboard_process import tensorboard
from trained import EPOCHS, sine, six, table, tiles, wave

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
    """Opens the tab of a TensorBoard; afterwards nothing may have gone wrong in the console.

    With `kind=` another page of `driving`.
    """
    tabs = []

    def opened(address, kind=Tab, **kwargs):
        tabs.append(kind(context.new_page(), address, **kwargs))
        return tabs[-1]

    yield opened
    assert not [message for tab in tabs for message in tab.wrong]


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """One training of each kind and activation."""
    logdir = tmp_path_factory.mktemp("logs")
    for train, activations in (
        (sine, ("relu", "silu")),
        (wave, ("relu", "silu")),
        (six, ("relu", "silu")),
        (table, ("silu",)),
        (tiles, ("silu",)),
    ):
        for activation in activations:
            name = train.__name__
            train(str(logdir / name / activation), activation, EPOCHS[name])
    return logdir


@pytest.fixture(scope="session")
def address(logs):
    with tensorboard(logs, runs=10) as found:
        yield found
