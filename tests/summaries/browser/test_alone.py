"""The page as one file and on its own server: what TensorBoard's tab shows, without TensorBoard."""

import contextlib
import dataclasses
import io
import threading

import numpy as np
import pytest
from PIL import Image

import keras_curvature as kc
from closed_forms import parabola, quadratic_form, report
from driving import Alone, near
from keras_curvature.summaries.run_writer import RunWriter
from keras_curvature_page import one_file
from keras_curvature_page.server import HOST, server

RUNS = ["sine/relu", "wave/silu", "six/silu", "table/silu", "tiles/silu"]
MOVES = {"sine/relu": (0, 7, 30), "wave/silu": (0, 7), "six/silu": (7,), "table/silu": (7,),
         "tiles/silu": (7,)}  # fmt: skip


@pytest.fixture(scope="module")
def file(logs, tmp_path_factory):
    return kc.to_html(logs, tmp_path_factory.mktemp("file") / "report.html").as_uri()


@contextlib.contextmanager
def viewed(logdir):
    with server(logdir, 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{HOST}:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def titles(tab, run):
    """Of its charts, those that are not the beginning of another one."""
    found = tab.column(run).locator(".chart:has(canvas) h3").all_inner_texts()
    return [title for title in found if sum(title in other for other in found) == 1]


@pytest.mark.parametrize("run", RUNS)
def test_the_file_has_the_numbers_and_words_of_the_tab(open_tab, address, file, run):
    tabs = open_tab(address, runs=[run]), open_tab(file, Alone, runs=[run])
    for place in MOVES[run]:
        for tab in tabs:
            tab.move(place)
        assert len({tab.epoch for tab in tabs}) == 1
        for selector in (".verdict", ".numbers", ".diagnosis"):
            said = {tuple(tab.frame.locator(selector).all_text_contents()) for tab in tabs}
            assert len(said) == 1, selector
        assert titles(tabs[0], run) == titles(tabs[1], run)
        for title in titles(tabs[0], run):
            tables = [tab.table(run, title) for tab in tabs]
            assert tables[0].keys() == tables[1].keys()
            for name, column in tables[0].items():
                np.testing.assert_array_equal(column, tables[1][name], err_msg=f"{title} {name}")


def test_the_file_opens_without_a_network_and_saves_pictures_and_tables(context, open_tab, file):
    context.set_offline(True)
    tab = open_tab(file, Alone, runs=["sine/silu"])  # what is asked of elsewhere is an error
    name, content = tab.saved("sine/silu", "Function", "PNG")
    assert name == "sine_silu_epoch_30_Function.png"
    assert Image.open(io.BytesIO(content)).width > 300
    assert tab.page.title().startswith("Curvature: logs")


def test_the_theme_is_the_systems_until_one_is_chosen(browser, file, shots):
    page = browser.new_page(color_scheme="dark", viewport={"width": 1280, "height": 900})
    tab = Alone(page, file, runs=["sine/relu", "sine/silu"])
    backgrounds = {"light": "#ffffff", "dark": "#1e1f22"}
    for theme in ("dark", "light", "dark"):
        if tab.frame.evaluate("document.documentElement.dataset.theme") != theme:
            tab.theme(theme)
        picture = tab.picture("sine/silu", "Slope")
        assert near(picture, backgrounds[theme], 6).mean() > 0.5, theme
        tab.shoot(shots / f"file-{theme}.png", height=900)
    assert tab.wrong == []
    page.close()


def test_in_tensorboard_there_is_one_choice_of_theme(open_tab, address):
    tab = open_tab(address, runs=["sine/silu"])
    assert tab.frame.get_by_role("combobox", name="Theme").count() == 0


HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


def test_hostile_names_are_shown_and_not_obeyed(tmp_path, open_tab):
    names = (HOSTILE, '"><script>alert(2)</script>', "=1+1", "\u2028x")
    given = dataclasses.replace(quadratic_form(4), feature_names=names)
    writer = RunWriter(tmp_path / "logs" / HOSTILE.replace("/", "⁄"))
    features = {name: 1.0 + i for i, name in enumerate(names)}
    said = report(features, step=0, output=HOSTILE, sentence=f"Smooth {HOSTILE}")
    writer.write_tab(said, given)
    writer.close()
    tab = open_tab(kc.to_html(tmp_path / "logs", tmp_path / "report.html").as_uri(), Alone)
    assert tab.labels == [f"{HOSTILE.replace('/', '⁄')} · {HOSTILE}"]
    assert tab.frame.locator(".verdict").inner_text() == f"Smooth {HOSTILE}"
    assert tab.frame.locator("img, script").count() == 0


def test_the_page_may_run_no_script_but_its_own(tmp_path, logs, browser):
    path = kc.to_html(logs, tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    evil = "<script>window.run = 1</script><img src=x onerror='window.run = 1'>"
    path.write_text(text.replace("<noscript>", f"{evil}<noscript>"), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector(".plot canvas")
    assert page.evaluate("window.run") is None
    page.close()


@pytest.fixture(scope="module")
def rounded(logs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_file, "LARGE", 1000)
        return kc.to_html(logs, tmp_path_factory.mktemp("rounded") / "report.html").as_uri()


@pytest.mark.parametrize("run", RUNS)
def test_rounded_charts_are_those_of_the_exact_file(open_tab, file, rounded, run):
    tabs = open_tab(file, Alone, runs=[run]), open_tab(rounded, Alone, runs=[run])
    for place in MOVES[run]:
        for tab in tabs:
            tab.move(place)
        for title in titles(tabs[0], run):
            exact, found = (tab.table(run, title) for tab in tabs)
            assert exact.keys() == found.keys()
            spans = {name: np.ptp(c[np.isfinite(c)]) for name, c in exact.items() if is_drawn(c)}
            for name, column in exact.items():
                span = max(spans.values()) if title.startswith(MATRICES) else spans.get(name, 0)
                assert_alike(found[name], column, 1e-4 * span, f"{title}: {name}")


MATRICES = ("Which inputs act together", "Curvature by place")


def is_drawn(column):
    return column.dtype.kind == "f" and np.isfinite(column).any()


def assert_alike(found, exact, least, said):
    if not is_drawn(exact):
        np.testing.assert_array_equal(found, exact, err_msg=said)
    elif "share" in said:  # a value at the border of two bars may be counted in the other one
        assert np.abs(found - exact).sum() <= 0.02 * exact.sum(), said
    else:
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=least, err_msg=said)


def test_rounded_curves_say_so_and_are_short_decimals(tmp_path, open_tab, monkeypatch):
    x = np.random.default_rng(0).uniform(0.1, 1, (50, 1))
    measured = dataclasses.replace(
        parabola(50), x=x, value=1e3 + np.sin(x), jacobian=np.cos(x)[..., None]
    )
    writer = RunWriter(tmp_path / "logs")
    for step in range(3):
        writer.write_tab(report({"x": 1.0}, step=step), measured)
    writer.close()
    monkeypatch.setattr(one_file, "LARGE", 1000)
    tab = open_tab(kc.to_html(tmp_path / "logs", tmp_path / "report.html").as_uri(), Alone)
    assert "1/10,000" in tab.frame.locator(".note").inner_text()
    label = tab.labels[0]
    table = tab.table(label, "Function")
    single = np.sort(x[:, 0]).astype("float32")
    np.testing.assert_array_equal(table["x"].astype("float32"), single)
    true = np.float64(np.float32(1e3 + np.sin(np.sort(x[:, 0]))))
    np.testing.assert_allclose(table["model [y]"], true, rtol=0, atol=5e-5 * np.ptp(true))
    text = tab.saved(label, "Slope", "CSV")[1].decode()
    decimals = {len(line.split(",")[1].partition(".")[2]) for line in text.splitlines()[1:]}
    assert max(decimals) == 5  # of a reach between 0.2 and 1


def test_runs_of_one_name_are_told_apart(tmp_path, open_tab):
    for folder in ("a", "a/curvature"):  # as after copying an event file
        writer = RunWriter(tmp_path / "x")
        writer.write_tab(report({"x": 1.0}, step=0), parabola(20))
        writer.close()
        target = tmp_path / "logs" / folder
        target.mkdir(parents=True)
        for event_file in (tmp_path / "x" / "curvature").iterdir():
            event_file.rename(target / event_file.name)
    file = kc.to_html(tmp_path / "logs", tmp_path / "report.html").as_uri()
    tab = open_tab(file, Alone)
    listed = tab.frame.locator("aside li").all_inner_texts()
    assert listed == ["a (curvature)", "a/curvature (curvature)"]


def test_a_server_of_its_own_follows_a_training(tmp_path, open_tab):
    def write(run, steps):
        writer = RunWriter(tmp_path / run)
        for step in steps:
            writer.write_tab(report({"x": 1.0}, step=step), parabola(20))
        writer.close()

    write("run", range(4))
    with viewed(tmp_path) as address:
        tab = open_tab(address, Alone)
        assert tab.epoch == "epoch 3 of 3"
        write("run", (4, 5))
        tab.wait_for_epoch("epoch 5 of 5")
        tab.move(2)
        write("run", (6,))
        tab.wait_for_epoch("epoch 2 of 6")
        np.testing.assert_allclose(tab.table("run", "Slope")["exact [y/x]"][-1], 2.0)


def test_an_empty_folder_says_so_and_then_shows_what_comes(tmp_path, browser):
    with viewed(tmp_path) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("text=No run has curvature data yet.")
        writer = RunWriter(tmp_path / "run")
        writer.write_tab(report({"x": 1.0}, step=0), parabola(20))
        writer.close()
        page.wait_for_selector(".plot canvas", timeout=20_000)
        page.close()
