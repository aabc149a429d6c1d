"""Hostile names, broken records, and runs that grow while the page is open."""

import dataclasses

import keras
import numpy as np
import pytest
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    Summary,
    SummaryMetadata,
)
from tensorboard.util.tensor_util import make_tensor_proto

import keras_curvature as kc
from closed_forms import parabola, quadratic_form, report, saddle
from keras_curvature.measurement.slices import Slices
from keras_curvature.summaries.event_file import EventFile
from keras_curvature.summaries.run_writer import RunWriter
from keras_curvature_page.packets import pack
from keras_curvature_page.series import series_content
from tensorboard_process import tensorboard

MARKUP = "<img src=x onerror=alert(1)>"
FORMULA = "=HYPERLINK(1)"


def write(logdir, steps, measured=None, **about):
    """Steps of a run as the monitor writes them."""
    measured = measured or parabola()
    features = {name: 1.0 + i for i, name in enumerate(measured.feature_names)}
    writer = RunWriter(logdir)
    for step in steps:
        writer.write_tab(report(features, step=step, **about), measured)
    writer.close()


@pytest.fixture
def hostile(tmp_path):
    names = [MARKUP, FORMULA, '"><script>alert(2)</script>', "\u202eevil"]
    given = dataclasses.replace(quadratic_form(4), feature_names=tuple(names))
    interactions = np.ones((4, 4))
    write(
        tmp_path / f"{MARKUP}'&", (0, 1), given, interactions=interactions,
        sentence=f"Smooth {MARKUP}", output=MARKUP,
    )  # fmt: skip
    with tensorboard(tmp_path) as address:
        yield address


def test_hostile_names_are_shown_and_not_obeyed(hostile, open_tab):
    tab = open_tab(hostile)  # a dialog would be an error
    (label,) = tab.labels
    assert label == f"{MARKUP}'& · {MARKUP}"
    assert tab.frame.locator(".verdict").inner_text() == f"Smooth {MARKUP}"
    assert tab.frame.locator("img, script").count() == 0
    table = tab.table(label, "Curvature along each input")
    # Largest first. A spreadsheet does not take the name for a formula; the mark that turns the
    # direction of writing is gone.
    assert list(table["input"]) == ["evil", '"><script>alert(2)</script>', f"'{FORMULA}", MARKUP]


def record(logdir, kind, step, blob):
    """A record as the monitor's, with anything in it, in a file that is read last."""
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(
            plugin_name="curvature", content=series_content(kind, "curvature", "")
        ),
        data_class=DATA_CLASS_BLOB_SEQUENCE,
    )
    tensor = make_tensor_proto([blob])
    value = Summary.Value(tag=f"curvature-tab/{kind}", metadata=metadata, tensor=tensor)
    file = EventFile(str(logdir / "curvature"))
    file.write(step, Summary(value=[value]))
    file.close()


RUBBISH = {
    "no packet": b"GIF89a",
    "an empty header": pack({}, {}),
    "other fields": pack({"verdict": 3, "numbers": [], "features": {}}, {"value": [1.0]}),
    "no arrays": pack(
        {"verdict": {"kind": "", "sentence": "?"}, "numbers": {}, "features": []}, {}
    ),
    "other shapes": pack(
        {"verdict": {"kind": "", "sentence": "?"}, "numbers": {}, "features": []},
        {"value": np.ones(3), "second": np.ones((9, 9)), "laplacian_quantiles": np.ones((2, 2))},
    ),
}


def test_a_broken_record_leaves_the_other_steps_and_runs_alone(tmp_path, open_tab):
    write(tmp_path / "good", range(9))
    write(tmp_path / "bad", (0, 1))
    for step, blob in enumerate(RUBBISH.values(), 2):
        record(tmp_path / "bad", "steps", step, blob)
    with tensorboard(tmp_path, runs=2) as address:
        tab = open_tab(address, runs=["good", "bad"])
        said = tab.column("bad").locator(".verdict").inner_text
        for step in range(2, 2 + len(RUBBISH)):
            tab.move(step)
            assert tab.column("good").locator(".moment").inner_text() == f"epoch {step}"
            assert tab.column("bad").locator(".moment").inner_text() == f"epoch {step}"
        tab.move(3)
        assert said() == "The record of this step cannot be read."
        assert not tab.column("bad").locator(".charts").is_visible()
        tab.move(1)
        assert said().startswith("The function bends")
        np.testing.assert_allclose(tab.table("bad", "Slope")["exact [y/x]"][-1], 2.0)


def test_a_run_of_another_format_says_so(tmp_path, open_tab):
    write(tmp_path / "new", (0,))
    record(tmp_path / "new", "probe", 1, pack({"version": 99}, {}))
    write(tmp_path / "old", (0,))
    with tensorboard(tmp_path, runs=2) as address:
        tab = open_tab(address, runs=["new", "old"])
        assert "another version" in tab.column("new").locator(".verdict").inner_text()
        assert tab.chart("old", "Slope").is_visible()


def test_a_run_that_tensorboard_itself_cannot_read_says_so(tmp_path, open_tab):
    write(tmp_path / "plain", (0,))
    write(tmp_path / 'quo"te', (0,))
    with tensorboard(tmp_path, runs=2) as address:
        tab = open_tab(address, runs=["plain", 'quo"te'])
        assert tab.labels == ["plain", 'quo"te']
        assert tab.chart("plain", "Slope").is_visible()
        said = tab.frame.locator(".verdict").all_inner_texts()
        assert said[1] == "The record of this step cannot be read."
        assert tab.epoch == "before training"


def test_beyond_the_kept_steps_the_page_says_so(tmp_path, open_tab):
    write(tmp_path / "long", range(20))
    write(tmp_path / "short", range(3))
    with tensorboard(tmp_path, "--samples_per_plugin", "curvature=6", runs=2) as address:
        tab = open_tab(address, runs=["long"])
        assert tab.epoch == "epoch 19 of 19"
        assert tab.frame.locator("#epoch").get_attribute("max") == "5"
        note = tab.frame.locator(".note").inner_text()
        assert "a sample of 6 steps" in note
        assert "--samples_per_plugin curvature=0" in note
        tab.choose("short")
        assert not tab.frame.locator(".note").is_visible()


def test_the_slice_goes_along_an_input_that_a_run_has(tmp_path, open_tab):
    for run, names in (("a", ["p", "q", "r"]), ("b", ["u", "v", "w"])):
        shape = (3, 5, 1)
        slices = Slices(np.tile(np.linspace(-1, 1, 5), (3, 1)), np.zeros(3), *[np.ones(shape)] * 3)
        given = dataclasses.replace(quadratic_form(3), feature_names=tuple(names), slices=slices)
        writer = RunWriter(tmp_path / run)
        writer.write_tab(report({name: 1.0 + i for i, name in enumerate(names)}), given)
        writer.close()
    with tensorboard(tmp_path, runs=2) as address:
        tab = open_tab(address, runs=["a"])
        choice = tab.frame.get_by_role("combobox", name="Slice along")
        assert choice.input_value() == "r"  # the most curved
        choice.select_option("p")
        tab.choose("b")
        assert choice.input_value() == "w"
        assert tab.chart("b", "Function along w").is_visible()
        tab.choose("a", "b")
        choice.select_option("q")
        tab.settled()
        assert tab.chart("a", "Function along q").is_visible()


def test_estimates_show_distances_and_say_what_is_missing(tmp_path, open_tab):
    x = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "silu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    monitor = kc.CurvatureMonitor(x, tmp_path / "wide", directions=4)
    model.fit(x, x[:, :1] ** 2, epochs=2, verbose=0, callbacks=[monitor])
    with tensorboard(tmp_path) as address:
        tab = open_tab(address)
        table = tab.table("wide", "Curvature against distance")
        assert (table["root mean square [σy/σx²]"] > 0).any()
        assert "3 inputs: the numbers are estimates" in tab.frame.locator(".charts").inner_text()


def test_the_page_follows_a_training_unless_the_slider_was_moved_back(tmp_path, open_tab):
    write(tmp_path / "run", range(4))
    with tensorboard(tmp_path) as address:
        tab = open_tab(address)
        assert tab.epoch == "epoch 3 of 3"
        write(tmp_path / "run", (4, 5))
        tab.wait_for_epoch("epoch 5 of 5")
        tab.move(2)
        write(tmp_path / "run", (6,))
        tab.wait_for_epoch("epoch 2 of 6")
        write(tmp_path / "other", (0, 1))
        tab.frame.wait_for_selector("aside li:nth-child(2)")
        assert tab.labels == ["run"]  # what was chosen stays chosen


WRITTEN = """() => {
  window.written = [];
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    window.written.push(String(text));
    return fillText.call(this, text, ...rest);
  };
}"""


@pytest.mark.parametrize("sign", [1, -1])
def test_colours_say_when_they_are_too_few(tmp_path, open_tab, sign):
    """Three points are a hundred times as curved as the others: the colours leave them out."""
    m = saddle(400)
    diagonal = m.diagonal.copy()
    diagonal[:3] = 100 * sign * np.abs(diagonal).max()
    write(tmp_path, [0, 1], dataclasses.replace(m, diagonal=diagonal))
    with tensorboard(tmp_path) as address:
        tab = open_tab(address)
        tab.frame.evaluate(WRITTEN)
        tab.move(0)
        said = set(tab.frame.evaluate("() => written"))
        assert any(text.startswith("≥" if sign > 0 else "≤") for text in said)
        assert not any(text.startswith("≤" if sign > 0 else "≥") for text in said)
        remark = tab.frame.locator(".chart", has_text="Map: Laplacian").first.locator(".remark")
        assert "3 points lie beyond the colours" in remark.inner_text()
