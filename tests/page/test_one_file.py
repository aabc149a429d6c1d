"""The page as one file: what stands in it, and what happens to files that are there."""

import base64
import hashlib
import html
import json
import os
import re
import warnings

import keras
import numpy as np
import pytest

import keras_curvature as kc
from closed_forms import parabola, report
from keras_curvature.monitor import page as page_module
from keras_curvature.summaries import in_memory
from keras_curvature.summaries.run_writer import RunWriter
from keras_curvature_page import one_file, records, script

HOSTILE = "</script><!--<script>alert(1)</script>\"'&\u2028"


def write(logdir, steps=(0, 1, 2), output=""):
    writer = RunWriter(logdir)
    for step in steps:
        writer.write_tab(report({"x": 1.0}, step=step, output=output), parabola(20))
    writer.close()


@pytest.fixture
def logs(tmp_path):
    write(tmp_path / "logs" / "run1")
    return tmp_path / "logs"


def told(text):
    """What stands in the page."""
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(data[1])


def test_it_holds_all_runs_and_needs_nothing_else(logs, tmp_path):
    write(logs / "run2", (0, 5))
    path = kc.to_html(logs, tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    text = path.read_text(encoding="utf-8")
    assert [s["run"] for s in told(text)["series"]] == ["run1/curvature", "run2/curvature"]
    assert [s["steps"] for s in told(text)["series"]] == [[0, 1, 2], [0, 5]]
    library = script.text_of("uplot/uPlot.esm.js")
    assert not re.search(r"<link|<img|\bsrc=|\bimport\(|@import|url\(", text)
    addresses = r"https?://[\w.]+"  # in comments of the library
    assert set(re.findall(addresses, text)) == set(re.findall(addresses, library))
    assert "Copyright (c)" in text
    (code,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    checksum = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{checksum}'" in text
    assert oct(path.stat().st_mode & 0o777) == oct(0o666 & ~_mask())


def test_of_what_a_monitor_writes_nothing_is_broken(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 2)).astype("float32")
    hidden = keras.layers.Dense(4, "tanh")
    model = keras.Sequential([keras.Input((2,)), hidden, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = kc.CurvatureMonitor((x, x[:, :1]), tmp_path / "logs")
    model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[monitor])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = kc.to_html(tmp_path / "logs", tmp_path / "report.html").read_text(encoding="utf-8")
    assert told(text)["broken"] == []


def test_a_broken_record_is_named_and_all_others_are_there(logs, tmp_path):
    (path,) = (logs / "run1" / "curvature").glob("*tfevents*")
    whole, begun = path.read_bytes(), [start for start, _, _ in records.read(path)]

    def damaged(place):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)

    damaged(begun[-2] + 500)  # step 1 of 0, 1 and 2
    with pytest.warns(UserWarning, match=f"broken(.|\n)*{path.name}.*record .*checksum"):
        text = kc.to_html(logs, tmp_path / "report.html").read_text(encoding="utf-8")
    (said,) = told(text)["broken"]
    assert path.name in said
    assert told(text)["series"][0]["steps"] == [0, 2]
    damaged(begun[1] + 500)  # the probe, without which nothing can be drawn
    with pytest.raises(ValueError, match="broken records and no whole run"):
        kc.to_html(logs, tmp_path / "report.html", force=True)


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_no_module_is_left_out_of_the_script():
    files = {name.removeprefix("/static/") for name in script.static_files()}
    modules = {name for name in files if name.endswith(".js")}
    written = set(re.findall(r"^// ([\w/.]+\.js)$", script.one_script("embedded.js"), re.MULTILINE))
    others = {"index.js", "view.js", "server_source.js"}  # which load modules, or ask a server
    assert written == modules - others
    assert "</script" not in script.one_script("embedded.js")
    with pytest.raises(ValueError, match=r"import\.meta"):
        script.one_script("index.js")


def test_hostile_names_end_nothing(tmp_path):
    write(tmp_path / "logs" / HOSTILE.replace("/", "⁄"), output=HOSTILE)
    text = kc.to_html(tmp_path / "logs", tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert "<!--" not in text
    (series,) = told(text)["series"]
    assert series["output"] == HOSTILE
    folder = tmp_path / "<b>&\"'"
    write(folder)
    text = kc.to_html(folder, tmp_path / "another.html").read_text(encoding="utf-8")
    assert f"<title>Curvature: {html.escape(folder.name)}</title>" in text


def test_a_large_page_rounds_its_curves_and_a_small_one_nothing(logs, tmp_path, monkeypatch):
    for limit, rounded in ((one_file.LARGE, False), (1000, True)):
        monkeypatch.setattr(one_file, "LARGE", limit)
        text = kc.to_html(logs, tmp_path / "report.html", force=True).read_text(encoding="utf-8")
        found = {c["tag"].rpartition("/")[2]: c["rounded"] for c in told(text)["chunks"]}
        assert found == {"steps": rounded, "probe": False}


def test_nothing_is_written_over_unless_asked_for(logs, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"force=True.*Received"):
        kc.to_html(logs, path)
    assert path.read_text() == "mine"
    kc.to_html(logs, path, force=True)
    assert len(path.read_text(encoding="utf-8")) > 100_000
    dangling = tmp_path / "dangling.html"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        kc.to_html(logs, dangling)


def test_a_fault_on_the_way_leaves_what_was_there(logs, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("mine")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        kc.to_html(logs, path, force=True)
    assert path.read_text() == "mine"
    assert {found.name for found in tmp_path.iterdir()} == {"logs", "report.html"}


def _no_logs(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty", tmp_path / "report.html"


def _foreign(tmp_path):
    keras.callbacks.TensorBoard(tmp_path / "tb")  # writes nothing yet
    (tmp_path / "tb").mkdir(exist_ok=True)
    (tmp_path / "tb" / "events.out.tfevents.1.v2").write_bytes(b"")
    return tmp_path / "tb", tmp_path / "report.html"


WRONG = {
    "an empty directory": (_no_logs, ValueError, "there are no event files"),
    "logs of others": (_foreign, ValueError, "there are event files of others"),
    "a directory as a file": (lambda p: (p / "logs", p), IsADirectoryError, "must be the path of"),
    "no such folder": (lambda p: (p / "logs", p / "a/b.html"), FileNotFoundError, "make .* first"),
    "no path": (lambda p: (p / "logs", None), ValueError, "`path` must be"),
    "an empty path": (lambda p: (p / "logs", " "), ValueError, "`path` must be"),
    "NUL": (lambda p: (p / "logs", "a\0.html"), ValueError, "`path` must be"),
}


@pytest.mark.parametrize(("given", "error", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_said(logs, tmp_path, given, error, said):
    with pytest.raises(error, match=said) as raised:
        kc.to_html(*given(tmp_path))
    assert "Received" in str(raised.value)
    assert not (tmp_path / "report.html").exists()


X = np.linspace(-1, 1, 24)[:, None]


def trained(monitor, epochs=2, width=1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.repeat(X, width, axis=1)
    model.fit(x, X**2, epochs=epochs, verbose=0, callbacks=[monitor])
    return model


@pytest.mark.parametrize("logged", [True, False], ids=["with a log", "without one"])
def test_a_monitor_is_a_page(tmp_path, logged):
    monitor = kc.CurvatureMonitor((X, X**2), tmp_path / "run1" if logged else None)
    assert monitor._repr_html_() is None
    with pytest.raises(ValueError, match="Nothing has been measured"):
        monitor.to_html(tmp_path / "report.html")
    trained(monitor)
    text = monitor.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    (series,) = told(text)["series"]
    assert series["steps"] == [0, 1, 2]
    assert series["run"] == ("run1/curvature" if logged else "curvature")
    assert ("diagnosis_steps" in series) == logged
    frame = monitor._repr_html_()
    assert frame.startswith("<iframe ")
    assert "allow-same-origin" not in frame
    inside = html.unescape(re.search(r'srcdoc="(.*?)"', frame, re.DOTALL)[1])
    assert told(inside) == told(text)


def test_what_was_measured_at_no_step_is_shown_alone(tmp_path):
    monitor = kc.CurvatureMonitor(X)
    monitor.measure(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    text = monitor.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert [s["steps"] for s in told(text)["series"]] == [[-1]]


def test_a_log_that_was_deleted_is_not_asked_for(tmp_path):
    monitor = kc.CurvatureMonitor(X, tmp_path / "run1")
    trained(monitor)
    for file in (tmp_path / "run1" / "curvature").iterdir():
        file.unlink()
    text = monitor.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert told(text)["series"][0]["steps"] == [2]  # what is known without it


def test_without_a_log_a_diagnosis_that_was_asked_for_is_there(tmp_path):
    monitor = kc.CurvatureMonitor((X, X**2))

    class Asks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            monitor.diagnose()

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X**2, epochs=1, verbose=0, callbacks=[monitor, Asks()])
    text = monitor.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert told(text)["series"][0]["diagnosis_steps"] == [1]


def test_memory_is_bounded_and_a_backup_forgotten(monkeypatch):
    memory = in_memory.InMemory("curvature")
    monkeypatch.setattr(in_memory, "MOST_BYTES", 40_000)
    for step in range(60):
        memory.add(report({"x": 1.0}, step=step), parabola(20))
    steps = next(found for series, found in memory.steps().items() if series.kind == "steps")
    assert (steps[0], steps[-1]) == (0, 59)
    assert 8 < len(steps) < 40
    assert max(np.diff(steps)) <= 8  # spread over all of the training
    memory.forget_after(30)
    assert all(max(found) <= 30 for found in memory.steps().values())


def test_a_run_on_another_machine_is_kept_in_memory(tmp_path):
    for directory, kept in ((None, 1), ("gs://bucket/run1/curvature", 1), (str(tmp_path), 0)):
        page = page_module.Page("curvature")
        page.begin(directory)
        found = page_module.Found({"": parabola(20)}, {"": report({"x": 1.0}, step=0)})
        page.take(found)
        assert (len(page._memory.steps()) > 0) == kept, directory
