"""A monitor in a notebook: run by a kernel, shown in frames as front ends show them."""

import html

import keras
import numpy as np
import pytest

import keras_curvature as kc
from driving import PATIENCE, Framed
from keras_curvature.summaries import notebook

SETTING = """
import keras, numpy as np
import keras_curvature as kc
x = np.linspace(-1, 1, 60)[:, None]
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input((1,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
)
model.compile("adam", "mse")
monitor = kc.CurvatureMonitor((x, x**2))
"""


@pytest.fixture(scope="module")
def outputs():
    """What the cells of a notebook have put out in the end, as HTML, for each cell."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    fit = "model.fit(x, x**2, epochs=6, verbose=0, callbacks=[monitor]);"
    cells = [SETTING, "monitor", "monitor.show()", fit, "monitor"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=300).execute()
    shown = [[output.data for output in cell.outputs if "data" in output] for cell in book.cells]
    return [[data.get("text/html") for data in bundles] for bundles in shown]


def written(path, *pieces):
    path.write_text(f"<!doctype html><meta charset=utf-8>{''.join(pieces)}", encoding="utf-8")
    return path.as_uri()


def sandboxed(text):
    """As Colab shows an output: in a frame of another origin, which itself reaches nothing."""
    return (
        '<iframe sandbox="allow-scripts allow-downloads" style="width: 100%; height: 760px" '
        f'srcdoc="{html.escape(text)}"></iframe>'
    )


def test_a_monitor_is_shown_by_its_cell_and_show_is_left_with_all_of_it(
    outputs, tmp_path, open_tab
):
    assert outputs[1] == [None]  # nothing was measured yet: its text alone
    (shown, news), (last,) = outputs[2], outputs[4]
    assert news == ""
    for i, text in enumerate((shown, last)):
        tab = open_tab(written(tmp_path / f"{i}.html", text), Framed)
        assert tab.epoch == "epoch 6 of 6"
        tab.move(0)
        assert tab.epoch.startswith("before training")
        (label,) = tab.labels
        assert len(tab.table(label, "Function")["x"]) == 60


def test_within_a_sandbox_of_the_front_end(outputs, tmp_path, browser, shots):
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.goto(written(tmp_path / "colab.html", sandboxed(outputs[4][0])))
    outer = page.wait_for_selector("iframe").content_frame()
    inner = outer.wait_for_selector("iframe").content_frame()
    inner.wait_for_selector(".plot canvas", timeout=PATIENCE)
    assert inner.evaluate("window.origin") == "null"
    with page.expect_download() as download:
        inner.get_by_role("button", name="CSV").first.click()
    assert download.value.suggested_filename.endswith(".csv")
    page.screenshot(path=shots / "notebook.png")
    assert wrong == []
    page.close()


FRONT_END = """
<div id="0"></div><div id="1"></div>
<script>
// As front ends do: the output is replaced, and its scripts are made anew, so that they run.
function show(place, text) {
  const output = document.getElementById(place);
  output.innerHTML = text;
  for (const script of output.querySelectorAll("script")) {
    const made = document.createElement("script");
    made.textContent = script.textContent;
    script.replaceWith(made);
  }
}
</script>
"""


class Place:
    """The output of a cell, in a page."""

    def __init__(self, page, number, bundle):
        self.page, self.number = page, number
        self.update(bundle, raw=True)

    def update(self, bundle, *, raw):
        self.page.evaluate(
            "([place, text]) => show(place, text)", [self.number, bundle["text/html"]]
        )


@pytest.mark.parametrize("logged", [True, False], ids=["with a log", "without one"])
def test_the_output_of_show_follows_the_training(tmp_path, browser, monkeypatch, logged):
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(written(tmp_path / "front_end.html", FRONT_END))
    places = []

    def display(bundle, *, raw, display_id):
        places.append(Place(page, len(places), bundle))
        return places[-1]

    monkeypatch.setattr(notebook, "_display", lambda: display)
    monkeypatch.setattr(notebook, "PAUSE", 0.0)
    seen = []

    class Looks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            frame = page.wait_for_selector("iframe").content_frame()
            if epoch == 3:  # whoever looks back is left there
                slider = "s => { s.value = 1; s.dispatchEvent(new Event('input')); }"
                frame.locator("#epoch").evaluate(slider)
            wanted = f"epoch 1 of {epoch + 1}" if epoch > 3 else f"epoch {epoch + 1} of {epoch + 1}"
            if epoch != 3:
                told = "text => document.querySelector('.epoch')?.textContent === text"
                frame.wait_for_function(told, arg=wanted, timeout=PATIENCE)
                seen.append(frame.locator(".epoch").inner_text())
            if epoch == 1:  # a frame that is made anew, as when a notebook is scrolled, has all
                page.evaluate(
                    "() => { const f = document.querySelector('iframe'); f.srcdoc += ' '; }"
                )

    x = np.linspace(-1, 1, 40)[:, None]
    monitor = kc.CurvatureMonitor((x, x**2), tmp_path / "run" if logged else None)
    monitor.show()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x**2, epochs=6, verbose=0, callbacks=[monitor, Looks()])
    assert seen == [f"epoch {e} of {e}" for e in (1, 2, 3)] + ["epoch 1 of 5", "epoch 1 of 6"]
    frame = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_selector(".plot canvas", timeout=PATIENCE)
    assert frame.locator(".epoch").inner_text() == "epoch 6 of 6"  # a page of its own again
    model.fit(x, x**2, epochs=2, verbose=0, callbacks=[monitor])  # and goes on
    frame = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_function(
        "() => document.querySelector('.epoch')?.textContent === 'epoch 8 of 8'", timeout=PATIENCE
    )
    page.close()
