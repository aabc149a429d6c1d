"""Whoever cannot see the page, has no mouse or a small screen: names, roles, contrast, room."""

import pytest

import keras_curvature as kc
from driving import Alone

RUNS = ["sine/relu", "wave/silu", "six/silu", "six/relu", "table/silu", "tiles/silu"]
WIDTHS = {"wide": 1280, "a phone": 375}


@pytest.fixture(scope="module")
def file(logs, tmp_path_factory):
    return kc.to_html(logs, tmp_path_factory.mktemp("file") / "report.html").as_uri()


@pytest.fixture(scope="module")
def axe():
    reason = "Needs axe-core: pip install 'keras-curvature[browser]'"
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason).Axe()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing(open_tab, file, axe, theme, width):
    tab = open_tab(file, Alone)
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.theme(theme)
    for run in RUNS:
        tab.choose(run)
        for summary in tab.frame.locator("summary").all():
            summary.click()
        found = axe.run(tab.page)
        assert found.violations_count == 0, found.generate_report()


def test_axe_finds_nothing_in_tensorboards_frame(open_tab, address, axe):
    tab = open_tab(address, runs=["sine/silu"])
    found = axe.run(tab.page, {"include": {"fromFrames": ["iframe", "body"]}})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("run", RUNS)
def test_nothing_is_cut_off_on_a_phone(open_tab, file, shots, run):
    tab = open_tab(file, Alone, runs=[run])
    tab.page.set_viewport_size({"width": 375, "height": 812})
    tab.settled()
    wide = tab.frame.evaluate(
        """() => [...document.querySelectorAll('.chart, canvas, aside, header, .verdict, select')]
          .filter((e) => e.getClientRects().length
            && (e.getBoundingClientRect().right > innerWidth || e.getBoundingClientRect().left < 0))
          .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    assert tab.frame.evaluate("document.documentElement.scrollWidth") <= 375
    tab.page.screenshot(path=shots / f"phone-{run.replace('/', '-')}.png")


def test_two_runs_stand_below_each_other_on_a_phone(open_tab, file, shots):
    tab = open_tab(file, Alone, runs=["sine/relu", "sine/silu"])
    tab.page.set_viewport_size({"width": 375, "height": 812})
    tab.settled()
    upper, lower = (box.bounding_box() for box in tab.frame.locator(".column").all())
    assert lower["y"] >= upper["y"] + upper["height"]
    assert upper["width"] > 300


def test_the_keyboard_opens_words_and_reads_numbers_aloud(open_tab, file):
    tab = open_tab(file, Alone, runs=["sine/silu"])
    for summary in tab.frame.locator("summary").all():
        summary.focus()
        tab.page.keyboard.press("Space")  # and does not play
    assert tab.frame.locator("details[open]").count() == 2
    assert tab.frame.get_by_role("button", name="Play").count() == 1
    assert "on average. Mean over the probe of" in tab.frame.locator("details").first.inner_text()
    chart = tab.chart("sine/silu", "Function")
    plot = chart.get_by_role("application")
    assert plot.get_attribute("aria-label").startswith("Function")
    plot.focus()
    tab.page.keyboard.press("ArrowRight")
    spoken = chart.locator("[role=status]").text_content()
    assert spoken.startswith("at x −")
    assert "model " in spoken


def test_all_that_can_be_reached_has_a_name(open_tab, file):
    tab = open_tab(file, Alone, runs=["wave/silu"])
    tab.frame.locator("body").click(position={"x": 1, "y": 1})
    names = set()
    for _ in range(80):
        tab.page.keyboard.press("Tab")
        told = tab.frame.evaluate(
            """() => {
              const { activeElement: e } = document;
              const label = e.getAttribute('aria-label') || e.labels?.[0]?.textContent;
              return [e.tagName, label || e.title || e.textContent];
            }"""
        )
        names.add(tuple(told))
    assert all(name.strip() for tag, name in names)
    tags = {tag for tag, _ in names}
    assert {"INPUT", "BUTTON", "SELECT", "SUMMARY", "DIV"} <= tags
