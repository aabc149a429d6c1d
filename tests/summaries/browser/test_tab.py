"""What is drawn, said and saved, in a real browser on real trainings."""

import io

import numpy as np
import pytest
from PIL import Image

from driving import near
from keras_curvature.report.metrics import MEANINGS
from trained import COLUMNS, EPOCHS, NAMES

EXACT = {"light": "#0072b2", "dark": "#56b4e9"}
SCALE = {"light": "#d55e00", "dark": "#ff9e4a"}
PAGE = {"light": "#ffffff", "dark": "#1e1f22"}

CURVATURE = "Curvature ∂²y/∂x²"


@pytest.fixture
def sines(open_tab, address):
    return open_tab(address, runs=["sine/relu", "sine/silu"])


def heights(mask):
    """The mean row of what is drawn in each column of pixels, NaN where there is nothing."""
    rows = np.arange(mask.shape[0])[:, None]
    count = mask.sum(axis=0)
    return np.where(count > 0, (rows * mask).sum(axis=0) / np.maximum(count, 1), np.nan)


def drawn_height(tab, label, title, colour):
    """Heights of a line above the bottom of the plot, and where along the plot, both 0 to 1."""
    left, top, width, height = tab.frame_of(label, title)
    picture = tab.picture(label, title)
    found = heights(near(picture, colour))[int(left) : int(left + width)]
    known = np.isfinite(found)
    along = (np.arange(len(found)) + 0.5) / width
    return along[known], 1 - (found[known] - top) / height


def test_the_curves_are_drawn_where_the_numbers_are(sines, shots):
    assert sines.labels == ["sine/relu", "sine/silu"]
    assert sines.epoch == f"epoch {EPOCHS['sine']} of {EPOCHS['sine']}"
    table = sines.table("sine/silu", CURVATURE)
    x, exact = table["x"], table["exact [y/x²]"]
    np.testing.assert_allclose(table["known [y/x²]"], -9 * np.sin(3 * x), atol=1e-4)  # float32
    assert np.corrcoef(exact, -9 * np.sin(3 * x))[0, 1] > 0.9  # the training is what it is
    along, height = drawn_height(sines, "sine/silu", CURVATURE, EXACT["light"])
    low, high = x.min(), x.max()
    margin = 0.02 * (high - low)
    at = low - margin + along * (high - low + 2 * margin)
    inside = (at > low) & (at < high)
    expected = np.interp(at[inside], x, exact)
    assert np.corrcoef(expected, height[inside])[0, 1] > 0.99  # lines cover each other in places
    sines.shoot(shots / "one-input.png", height=1400)


def test_the_shape_is_told_where_one_is_asked_for(open_tab, address):
    tab = open_tab(address, runs=["sine/silu", "six/silu"])
    said = [tab.column(run).locator(".shape li").all_inner_texts() for run in tab.labels]
    assert said[0] == []
    up, down = said[1]
    assert up == "increasing in straight at 100 % of the points"
    assert down.startswith("decreasing in straight at none of the points; worst: off by")
    tab.move(0)  # before training it goes up as well as down
    before = tab.column("six/silu").locator(".shape li").all_inner_texts()
    assert before[1] != down


def test_a_relu_network_is_flat_exactly_and_bends_over_a_distance(sines):
    _, flat = drawn_height(sines, "sine/relu", CURVATURE, EXACT["light"])
    _, bent = drawn_height(sines, "sine/relu", CURVATURE, SCALE["light"])
    assert np.ptp(flat) < 0.02  # one line across the plot
    assert np.ptp(bent) > 0.4
    assert set(sines.table("sine/relu", CURVATURE)["exact [y/x²]"]) == {0.0}
    verdict = sines.column("sine/relu").locator(".verdict").inner_text()
    assert verdict.startswith("Piecewise linear")


def test_the_slider_shows_each_epoch(sines):
    last = sines.picture("sine/silu", "Function")
    sines.move(0)
    assert sines.epoch.startswith("before training")
    untrained = sines.picture("sine/silu", "Function")
    assert np.abs(untrained - last).sum() > 0
    table = sines.table("sine/silu", "Function")
    assert np.ptp(table["model [y]"]) < 1.0  # nothing is learned yet of sin 3x
    seen = [untrained]
    for step in (1, 2, 3):
        sines.move(step)
        assert sines.epoch.startswith(f"epoch {step} of")
        seen.append(sines.picture("sine/silu", "Function"))
        assert np.abs(seen[-1] - seen[-2]).sum() > 0
    sines.move(EPOCHS["sine"])
    np.testing.assert_array_equal(sines.picture("sine/silu", "Function"), last)


def test_axes_stay_while_the_epoch_changes_unless_unticked(sines):
    def axis(place):
        sines.move(place)
        picture = sines.picture("sine/silu", "Slope")
        left = int(sines.frame_of("sine/silu", "Slope")[0])
        return picture[:, :left]

    np.testing.assert_array_equal(axis(0), axis(EPOCHS["sine"]))
    sines.frame.get_by_label("Same axes").uncheck()
    assert np.abs(axis(0) - axis(EPOCHS["sine"])).sum() > 0


def test_runs_stand_side_by_side_at_the_same_epoch(open_tab, address):
    tab = open_tab(address, runs=["sine/silu", "six/silu"])
    assert tab.labels == ["sine/silu", "six/silu"]
    assert tab.column("six/silu").locator(".moment").inner_text() == (
        f"epoch {EPOCHS['six']} (the last measured up to epoch {EPOCHS['sine']})"
    )
    tab.move(7)
    assert tab.frame.locator(".moment").all_inner_texts() == ["epoch 7", "epoch 7"]
    tab.choose("wave/relu")
    assert tab.labels == ["wave/relu"]
    assert tab.epoch == f"epoch 7 of {EPOCHS['wave']}"
    tab.choose()
    assert "Choose a run" in tab.frame.locator("main .note").inner_text()
    tab.choose("wave/relu")
    assert not tab.frame.locator(".note").is_visible()


def test_the_theme_is_tensorboards(sines, shots):
    sines.move(20)
    for theme in ("dark", "light"):
        sines.theme(theme.capitalize())
        assert sines.epoch.startswith("epoch 20 ")
        picture = sines.picture("sine/silu", CURVATURE)
        assert near(picture, PAGE[theme], 6).mean() > 0.5
        assert near(picture, EXACT[theme]).sum() > 200
        assert near(picture, SCALE[theme]).sum() > 20
        other = "light" if theme == "dark" else "dark"
        assert near(picture, PAGE[other], 6).mean() < 0.01
        if theme == "dark":
            sines.shoot(shots / "one-input-dark.png", height=1400)


def test_two_inputs_are_a_map_coloured_by_its_numbers(open_tab, address, shots):
    tab = open_tab(address, runs=["wave/relu", "wave/silu"])
    title = "Map: Laplacian over ±h"
    table = tab.table("wave/silu", title)
    x, y, value = (table[name] for name in ("width", "height", f"{title[5:]} [y/x²]"))
    left, top, width, height = tab.frame_of("wave/silu", title)
    picture = tab.picture("wave/silu", title)

    def place(v, size):
        room = 0.03 * np.ptp(v)
        return (v - v.min() + room) / (np.ptp(v) + 2 * room) * size

    columns = (left + place(x, width)).astype(int)
    rows = (top + height - place(y, height)).astype(int)
    redness = picture[rows, columns, 0] - picture[rows, columns, 2]
    strong = np.abs(value) > np.nanmax(np.abs(value)) / 3
    assert strong.sum() > 20
    assert (np.sign(redness) == np.sign(value))[strong].mean() > 0.95  # points cover each other
    tab.shoot(shots / "two-inputs.png")
    tab.frame.get_by_role("combobox", name="Map").select_option("mixed")
    tab.settled()
    mixed = tab.table("wave/silu", "Map: ∂²y/∂width∂height")
    truth = 3 * np.cos(3 * mixed["width"])
    assert np.corrcoef(mixed["∂²y/∂width∂height [y/x²]"], truth)[0, 1] > 0.8
    tab.theme("Dark")
    tab.shoot(shots / "two-inputs-dark.png")


def test_colours_reach_as_far_as_each_map_needs(open_tab, address):
    tab = open_tab(address, runs=["wave/relu"])  # exactly 0 everywhere, and not over a distance
    for map_ in ("laplacian", "scale", "value"):
        tab.frame.get_by_role("combobox", name="Map").select_option(map_)
        tab.settled()
        remarks = tab.frame.locator(".chart", has_text="Map: ").locator(".remark").all_inner_texts()
        assert not any("beyond" in remark for remark in remarks), map_
        kinks = any("exactly 0 at every point" in remark for remark in remarks)
        assert kinks == (map_ == "laplacian")
    title = "Map: Laplacian over ±h"
    values = tab.table("wave/relu", title)[f"{title[5:]} [y/x²]"]
    drawn = tab.picture("wave/relu", title)
    left, top, width, height = (int(n) for n in tab.frame_of("wave/relu", title))
    plot = drawn[top : top + height, left : left + width]
    strongest = near(plot, "#b2182b", 60) | near(plot, "#2166ac", 60)
    # Few points are as curved as the most curved one, so few places have the last colours.
    assert np.mean(np.abs(values) > 0.8 * np.nanmax(np.abs(values))) < 0.1
    assert strongest.mean() < 0.1


def test_many_inputs_have_bars_a_heat_map_and_a_slice(open_tab, address, shots):
    tab = open_tab(address, runs=["six/silu"])
    bars = tab.table("six/silu", "Curvature along each input")
    assert set(bars["input"]) == set(NAMES)
    left, top, _, height = tab.frame_of("six/silu", "Curvature along each input")
    drawn = near(tab.picture("six/silu", "Curvature along each input"), EXACT["light"])
    rows = [int(top + (i + 0.32) * height / 6) for i in range(6)]  # the upper one of two bars
    lengths = np.array([drawn[row, int(left) :].sum() for row in rows])
    numbers = bars["mean |second derivative| [σy/σx²]"]
    np.testing.assert_allclose(lengths / lengths[0], numbers / numbers[0], atol=0.02)  # pixels

    heat = tab.table("six/silu", "Which inputs act together")
    matrix = np.array([heat[f"{name} [σy/σx²]"] for name in NAMES])
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-4)  # float32
    mixed = np.where(np.eye(6, dtype=bool), 0, matrix)
    assert set(np.unravel_index(mixed.argmax(), mixed.shape)) == {1, 2}  # left times right

    tab.frame.get_by_role("combobox", name="Slice along").select_option("straight")
    tab.settled()
    straight = tab.table("six/silu", "Curvature along straight")
    tab.frame.get_by_role("combobox", name="Slice along").select_option("square")
    tab.settled()
    square = tab.table("six/silu", "Curvature along square")
    assert np.abs(square["exact [σy/σx²]"]).mean() > 3 * np.abs(straight["exact [σy/σx²]"]).mean()
    tab.shoot(shots / "many-inputs.png")
    tab.theme("Dark")
    tab.shoot(shots / "many-inputs-dark.png")


def test_features_at_a_glance_are_a_table_that_sorts(open_tab, address, shots):
    tab = open_tab(address, runs=["six/silu"])
    table = tab.frame.get_by_role("table", name="Features at a glance")
    head = [cell.inner_text() for cell in table.get_by_role("columnheader").all()]
    assert head[0] == "input"
    assert head[1:] == ["impact", "volatility", "nonlinearity", "interaction", "archetype"]

    def column(name):
        place = head.index(name)
        rows = [row.inner_text().split("\t") for row in table.get_by_role("row").all()[1:]]
        return [row[place] for row in rows]

    def pressed(name):
        table.get_by_role("button", name=name).focus()
        tab.page.keyboard.press("Enter")
        (sorted_by,) = table.locator("[aria-sort]").all()
        assert sorted_by.inner_text() == name
        return sorted_by.get_attribute("aria-sort")

    assert set(column("input")) == set(NAMES)
    assert column("input") == [cell.inner_text() for cell in table.get_by_role("rowheader").all()]
    impact = [float(number) for number in column("impact")]
    assert impact == sorted(impact, reverse=True)
    for order in ("descending", "ascending"):
        assert pressed("interaction") == order
        found = [float(number) for number in column("interaction")]
        assert found == sorted(found, reverse=order == "descending")
    assert pressed("input") == "ascending"
    assert column("input") == sorted(NAMES)
    assert all(column("archetype"))
    tab.shoot(shots / "features.png")


def test_a_relu_network_has_bars_over_a_distance_and_words_for_a_matrix(open_tab, address, shots):
    tab = open_tab(address, runs=["six/relu"])
    title = "Curvature along each input"
    bars = tab.table("six/relu", title)
    exact, over = (bars[f"mean |second derivative|{which} [σy/σx²]"] for which in ("", ", over ±h"))
    assert not exact.any()
    assert (over > 0).all()
    assert (np.diff(over) <= 0).all()
    left, top, _, height = tab.frame_of("six/relu", title)
    drawn = near(tab.picture("six/relu", title), SCALE["light"])
    rows = [int(top + (i + 0.68) * height / 6) for i in range(6)]
    lengths = np.array([drawn[row, int(left) :].sum() for row in rows])
    np.testing.assert_allclose(lengths / lengths[0], over / over[0], atol=0.02)  # pixels
    words = tab.chart("six/relu", "Which inputs act together").inner_text()
    assert "Every entry of the exact Hessian is 0. All curvature sits in kinks" in words
    assert tab.chart("six/relu", "Which inputs act together").locator("canvas").count() == 0
    tab.shoot(shots / "kinks.png")


def test_inputs_of_two_values_have_bars_of_their_own(open_tab, address, shots):
    tab = open_tab(address, runs=["table/silu"])
    numbers = tab.table("table/silu", "Curvature along each input")
    assert set(numbers["input"]) == set(COLUMNS[3:])
    changes = tab.table("table/silu", "Change along inputs of two values")
    assert changes["input"][0] == "sex"  # 2 of it are in the output
    assert set(changes["input"]) == set(COLUMNS[:3])
    chart = tab.chart("table/silu", "Change along inputs of two values")
    box = chart.locator(".u-over").bounding_box()
    tab.page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 6)
    said = chart.locator("figcaption").inner_text()
    assert "sex from 0 to 1; 107 points at 0, 93 at 1: " in said
    tab.shoot(shots / "two-values.png")


def test_a_pair_with_an_input_of_two_values_is_said_to_be_a_change(open_tab, address):
    tab = open_tab(address, runs=["table/silu", "six/silu"])
    change = "the change of a slope from one value to the other, over their difference"
    plain = tab.chart("six/silu", "Which inputs act together: mean |Hessian|")
    assert change not in plain.locator("figcaption").inner_text()
    heat = tab.chart("table/silu", "Which inputs act together: mean |mixed derivative|")
    remark = heat.locator("figcaption .remark").inner_text()
    assert remark == f"with an input of two values, {change}"
    heat.locator(".plot").scroll_into_view_if_needed()
    box = heat.locator(".u-over").bounding_box()
    for j, with_two_values in ((0, True), (5, False)):
        tab.page.mouse.move(
            box["x"] + (j + 0.5) / 7 * box["width"], box["y"] + 5.5 / 7 * box["height"]
        )
        told = heat.locator("figcaption .position").inner_text()
        assert told.startswith(f"bmi × {COLUMNS[j]}"), told
        assert (change in told) == with_two_values


def test_a_long_name_is_whole_where_the_mouse_is(open_tab, address):
    tab = open_tab(address, runs=["table/silu"])
    for title, side in (("Curvature along each input", "y"), ("Which inputs act together", "x")):
        chart = tab.chart("table/silu", title)
        box = chart.locator(".u-over").bounding_box()
        chart.locator(".plot").scroll_into_view_if_needed()
        box = chart.locator(".u-over").bounding_box()
        seen = set()
        for i in range(7):
            if side == "y":
                tab.page.mouse.move(box["x"] - 20, box["y"] + (i + 0.5) / 4 * box["height"])
            else:
                x = box["x"] + (i + 0.5) / 7 * box["width"]
                tab.page.mouse.move(x, box["y"] + box["height"] + 4)
            seen.add(chart.locator(".plot").get_attribute("title"))
        assert {COLUMNS[3], COLUMNS[4]} <= seen, title


def test_every_headline_number_is_explained_where_the_mouse_is(sines):
    numbers = sines.column("sine/silu").locator(".numbers div")
    for i in range(numbers.count()):
        name = numbers.nth(i).locator("dt").inner_text()
        first, sentence, formula = numbers.nth(i).get_attribute("title").splitlines()
        assert first.split(" [")[0] == name
        assert (sentence, formula) == (MEANINGS[name].sentence, MEANINGS[name].formula)


def test_an_image_is_an_image(open_tab, address, shots):
    tab = open_tab(address, runs=["tiles/silu"])
    titles = tab.column("tiles/silu").locator("h3").all_inner_texts()
    assert not any("act together" in title or "each input" in title for title in titles)
    for which in ("exact", "over ±h, kinks included"):
        found = tab.table("tiles/silu", f"Curvature by place, {which}")
        grid = np.array([found[f"column {j} [σy/σx²]"] for j in range(8)]).T
        assert np.unravel_index(grid.argmax(), grid.shape) == (2, 5)
        title = f"Curvature by place, {which}"
        left, top, width, height = tab.frame_of("tiles/silu", title)
        drawn = tab.picture("tiles/silu", title)
        at = [(int(top + (i + 0.5) * height / 8), int(left + (j + 0.5) * width / 8))
              for i, j in np.ndindex(8, 8)]  # fmt: skip
        bluest = np.argmin([drawn[place][0] for place in at])
        assert np.unravel_index(bluest, (8, 8)) == (2, 5)
    tab.shoot(shots / "pixels.png")


def test_the_border_where_windows_leave_the_range_has_no_colour(open_tab, address):
    tab = open_tab(address, runs=["wave/silu"])
    title = "Map: Laplacian over ±h"
    table = tab.table("wave/silu", title)
    x, y, value = (table[name] for name in ("width", "height", "Laplacian over ±h [y/x²]"))
    left_out = np.isnan(value)
    for v in (x, y):
        assert left_out[v < v.min() + 0.1].all()  # h is a quarter of 0.58
        assert left_out[v > v.max() - 0.1].all()
    assert not left_out[(np.abs(x) < 0.8) & (np.abs(y) < 0.8)].any()
    left, top, _, height = (int(n) for n in tab.frame_of("wave/silu", title))
    edge = tab.picture("wave/silu", title)[top + 4 : top + height - 4, left + 4 : left + 9]
    assert np.ptp(edge, axis=-1).max() < 12  # the page, the grid and the probe's points: no hue


def test_a_map_of_a_function_of_the_users(open_tab, address, shots):
    tab = open_tab(address, runs=["wave/silu"])
    menu = tab.frame.get_by_role("combobox", name="Map")
    assert menu.locator("option").all_inner_texts() == [
        "Laplacian", "∂²y/∂width²", "∂²y/∂height²", "∂²y/∂width∂height", "Laplacian over ±h",
        "function", "function − data", "∂²y/∂width² − known", "∂²y/∂height² − known", "quadrants",
    ]  # fmt: skip
    menu.select_option(label="quadrants")
    tab.settled()
    table = tab.table("wave/silu", "Map: quadrants")
    np.testing.assert_allclose(table["quadrants"], table["width"] * table["height"], atol=1e-6)
    left, top, width, height = (int(n) for n in tab.frame_of("wave/silu", "Map: quadrants"))
    drawn = tab.picture("wave/silu", "Map: quadrants")
    for across, down, sign in ((0.9, 0.1, 1), (0.1, 0.9, 1), (0.1, 0.1, -1), (0.9, 0.9, -1)):
        red, _, blue = drawn[top + int(down * height), left + int(across * width)]
        assert np.sign(red - blue) == sign
    tab.shoot(shots / "own-map.png")


@pytest.mark.parametrize(("entry", "name"), [("error0", "width"), ("error1", "height")])
def test_a_map_of_the_error_against_what_is_known(open_tab, address, entry, name):
    tab = open_tab(address, runs=["wave/silu"])
    menu = tab.frame.get_by_role("combobox", name="Map")
    found = []
    for key in (f"second{entry[-1]}", entry):
        menu.select_option(key)
        tab.settled()
        title = f"∂²y/∂{name}²" + (" − known" if key == entry else "")
        table = tab.table("wave/silu", f"Map: {title}")
        found.append(table[f"{title} [y/x²]"])
    truth = -9 * np.sin(3 * table["width"]) * table["height"] if name == "width" else 0.0
    np.testing.assert_allclose(found[0] - found[1], truth + np.zeros(400), atol=1e-4)


def test_colours_are_shared_by_runs_only_when_asked(open_tab, address):
    tab = open_tab(address, runs=["wave/relu", "wave/silu"])
    title = "Map: Laplacian over ±h"

    def scale(run):
        left, _, width, _ = (int(n) for n in tab.frame_of(run, title))
        return tab.picture(run, title)[:, left + width + 10 :]

    apart = [scale(run) for run in ("wave/relu", "wave/silu")]
    assert np.abs(apart[0] - apart[1]).sum() > 0
    tab.frame.get_by_label("Same colours").check()
    tab.settled()
    np.testing.assert_array_equal(scale("wave/relu"), scale("wave/silu"))


def test_the_distribution_is_that_of_the_probe(sines):
    table = sines.table("sine/silu", "Distribution of the Laplacian")
    assert abs(table["share, exact [%]"].sum() - 100) < 2.5  # what lies beyond the axis is left out
    exact = sines.table("sine/silu", CURVATURE)["exact [y/x²]"]
    middle = (table["from [y/x²]"] + table["to [y/x²]"]) / 2
    width = middle[1] - middle[0]
    assert abs((middle * table["share, exact [%]"]).sum() / 100 - exact.mean()) < width
    note = sines.chart("sine/silu", "Distribution").locator(".remark").inner_text()
    assert "median" in note


def test_the_keyboard_is_enough(open_tab, address):
    tab = open_tab(address, runs=["sine/silu"])
    tab.frame.locator("#epoch").focus()
    for key, expected in (
        ("Home", "before training"), ("ArrowRight", "epoch 1 "), ("PageUp", "epoch 11 "),
        ("ArrowLeft", "epoch 10 "), ("PageDown", "before training"), ("End", "epoch 30 "),
    ):  # fmt: skip
        tab.page.keyboard.press(key)
        tab.settled()
        assert tab.epoch.startswith(expected), key
    tab.page.keyboard.press("Space")  # plays from the beginning
    tab.frame.wait_for_function("Number(document.querySelector('#epoch').value) === 3")
    assert tab.frame.get_by_role("button", name="Pause").count() == 1
    tab.page.keyboard.press("Space")
    tab.frame.wait_for_selector("button[aria-label=Play]")

    chart = tab.chart("sine/silu", "Function")
    chart.locator(".plot").focus()
    for _ in range(3):
        tab.page.keyboard.press("ArrowRight")
    table = tab.table("sine/silu", "Function")
    said = chart.locator("figcaption").inner_text()
    assert _shown(table["x"][2]) in said
    assert _shown(table["model [y]"][2]) in said
    tab.page.keyboard.press("Escape")


def test_values_are_read_where_the_mouse_is(sines):
    chart = sines.chart("sine/silu", "Slope")
    box = chart.locator(".u-over").bounding_box()
    sines.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 30)
    said = chart.locator("figcaption").inner_text()
    table = sines.table("sine/silu", "Slope")
    shown = [i for i, x in enumerate(table["x"]) if _shown(x) in said]
    assert shown, said
    assert any(_shown(table["exact [y/x]"][i]) in said for i in shown)


def test_nothing_moves_where_values_are_read(open_tab, address):
    tab = open_tab(address, runs=["sine/relu"])
    box = tab.chart("sine/relu", CURVATURE).locator(".u-over").bounding_box()
    height = tab.frame.locator("main").evaluate("main => main.scrollHeight")
    tab.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 30)
    assert "at x" in tab.chart("sine/relu", CURVATURE).locator("figcaption").inner_text()
    assert tab.frame.locator("main").evaluate("main => main.scrollHeight") == height


def test_a_chart_is_saved_as_a_picture_with_its_title(sines):
    sines.move(5)
    name, content = sines.saved("sine/silu", "Function", "PNG")
    assert name == "sine_silu_epoch_5_Function.png"
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=int)
    assert near(picture, EXACT["light"]).sum() > 100
    assert near(picture[:60], PAGE["light"], 6).mean() < 0.995  # there are words above it


def test_a_saved_picture_says_what_its_lines_mean(sines):
    for title, wanted in (
        ("Distribution", ("#5ba3cd", SCALE["light"])),  # bars, of which 35 % is the page
        ("Curvature against distance", (EXACT["light"], SCALE["light"])),
        (CURVATURE, (EXACT["light"], SCALE["light"])),
    ):
        content = sines.saved("sine/relu", title, "PNG")[1]
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=int)
        plot = sines.chart("sine/relu", title).locator("canvas").evaluate("c => c.height")
        legend = picture[60 + plot :, :40]
        for colour in wanted:
            assert near(legend, colour).sum() > 10, (title, colour)


def test_nothing_is_cut_off_in_a_narrow_window(open_tab, address):
    tab = open_tab(address, runs=["six/silu"])
    tab.page.set_viewport_size({"width": 400, "height": 800})
    tab.settled()
    assert tab.frame.evaluate(
        """() => [...document.querySelectorAll('.chart, canvas, aside, header, .verdict')]
          .filter(e => e.getBoundingClientRect().right > innerWidth
            || e.getBoundingClientRect().left < 0).length"""
    ) == 0  # fmt: skip


def _shown(number):
    """As the page writes a number: four digits, a true minus sign."""
    text = f"{number:.4g}"
    return text.replace("-", "−")
