import dataclasses
import os
import random
from html.parser import HTMLParser

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from closed_forms import parabola, report
from keras_curvature import figures
from keras_curvature.diagnosis.results import Diagnosis, Finding
from keras_curvature.measurement.change import Change
from keras_curvature.report.data import ScaleProfile
from keras_curvature.summaries import markdown
from keras_curvature.summaries.run_writer import RunWriter, scalar

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b",
    "c\nd",
    "e/f",
    "e_f",
    "[g](http://example.org)",
    "![h](http://example.org/h.png)",
    "`i` *j* __k__ # l ~~m~~ &amp;",
    "\x00\x1b[31m\ud800",
    "温度",
]


class Events:
    """What TensorBoard finds in a directory."""

    def __init__(self, directory):
        self.accumulator = EventAccumulator(str(directory), size_guidance={"tensors": 0})
        self.accumulator.Reload()
        self.tags = self.accumulator.Tags()["tensors"]

    def series(self, tag):
        return [(e.step, tf.make_ndarray(e.tensor_proto)) for e in self.accumulator.Tensors(tag)]

    def last(self, tag):
        return self.series(tag)[-1][1]

    def description(self, tag):
        return self.accumulator.SummaryMetadata(tag).summary_description

    def plugin(self, tag):
        return self.accumulator.SummaryMetadata(tag).plugin_data.plugin_name


@pytest.fixture
def writer(tmp_path):
    return RunWriter(tmp_path)


def events(tmp_path, run="curvature"):
    return Events(tmp_path / run)


def as_tensorboard_sorts(tags):
    # tf-backend/vz-sorting: a slash, an underscore and a digit are breaks, all alike, and
    # come before any other character.
    return sorted(tags, key=lambda tag: tag.replace("/", "\0").replace("_", "\0"))


def test_numbers_are_in_a_run_of_their_own_under_tags_in_groups(writer, tmp_path):
    writer.write_numbers(report({"age": 40.5, "bmi": 41.5}))
    writer.close()
    assert os.listdir(tmp_path) == ["curvature"]
    found = events(tmp_path)
    shown = report()
    groups = {
        "curvature": shown.headline,
        "curvature-reference": shown.reference,
        "curvature-detail": shown.detail,
        "curvature-feature": {"age": 40.5, "bmi": 41.5},
    }
    expected = {f"{g}/{name}": value for g, ns in groups.items() for name, value in ns.items()}
    assert {tag: float(found.last(tag)) for tag in found.tags} == expected
    assert {found.plugin(tag) for tag in found.tags} == {"scalars"}
    assert sum(tag.startswith("curvature/") for tag in found.tags) <= 8


def test_tensorboard_shows_the_headline_first(writer, tmp_path):
    writer.write_numbers(report())
    writer.close()
    tags = as_tensorboard_sorts(events(tmp_path).tags)
    count = len(report().headline)
    assert all(tag.startswith("curvature/") for tag in tags[:count])


def test_steps_are_those_of_the_reports(writer, tmp_path):
    for step in (0, 1, 5):
        writer.write_numbers(report(step=step))
    writer.close()
    assert [step for step, _ in events(tmp_path).series("curvature/mean")] == [0, 1, 5]


def test_the_name_of_an_output_stands_in_between(writer, tmp_path):
    for output in ("price", "risk/<b>"):
        writer.write_numbers(report(output=output))
        writer.write_summary(report(output=output))
    writer.close()
    tags = events(tmp_path).tags
    assert {"curvature/price/mean", "curvature/risk__b_/mean"} <= set(tags)
    assert {"curvature-detail/price/p50", "curvature-summary/price/in_words"} <= set(tags)


@pytest.mark.parametrize(("units", "unit"), [("raw", "y/x²"), ("std", "σy/σx²")])
def test_a_scalar_says_what_it_means(tmp_path, units, unit):
    writer = RunWriter(tmp_path)
    writer.write_numbers(report(units=units))
    writer.close()
    found = events(tmp_path)
    assert all(found.description(tag) for tag in found.tags)
    description = found.description("curvature/mean")
    assert "second derivatives" in description
    assert f"Unit: {unit}." in description
    assert "Unit: σy/σx²." in found.description("curvature-feature/x")


def test_a_card_says_of_what_a_root_mean_square_is(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_numbers(report(hessians="diagonal"))
    writer.close()
    assert "no interactions" in events(tmp_path).description("curvature/rms")


def test_descriptions_do_not_make_the_file_grow(writer, tmp_path):
    sizes = []
    for step in range(3):
        writer.write_numbers(report(step=step))
        writer.flush()
        sizes.append(sum(file.stat().st_size for file in (tmp_path / "curvature").iterdir()))
    assert sizes[2] - sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("value", [0.0, -1.5, 1 / 3, 1e300, 1e-300, float("nan")])
@pytest.mark.parametrize("description", [None, "What it means."])
def test_a_scalar_is_to_the_byte_what_tensorboard_makes(value, description):
    with np.errstate(over="ignore"):
        expected = scalar_pb("a/b", np.float32(value), description)
    assert scalar("a/b", value, description).SerializeToString() == expected.SerializeToString()


def test_numbers_that_are_not_finite_are_written_as_they_are(writer, tmp_path):
    writer.write_numbers(report(headline={"mean": np.nan, "rms": np.inf, "r2": 1e300}))
    writer.close()
    found = events(tmp_path)
    assert np.isnan(found.last("curvature/mean"))
    assert np.isposinf(found.last("curvature/rms"))


def test_hostile_features_become_different_valid_tags(writer, tmp_path):
    features = {name: float(i) for i, name in enumerate(HOSTILE)}
    writer.write_numbers(report(features))
    writer.close()
    found = events(tmp_path)
    tags = [tag for tag in found.tags if tag.startswith("curvature-feature/")]
    assert sorted(float(found.last(tag)) for tag in tags) == sorted(features.values())
    assert all(tag.count("/") == 1 and not set(tag) & set("<>&|*`\n\x00\x1b") for tag in tags)


def test_hundreds_of_features_get_no_cards(writer, tmp_path):
    writer.write_numbers(report({f"pixel {i}": 1.0 for i in range(784)}))
    writer.close()
    assert not [tag for tag in events(tmp_path).tags if "feature" in tag]


def test_an_input_of_two_values_has_a_card_of_its_change(writer, tmp_path):
    features = {"age": 1.0, "sex": float("nan")}
    writer.write_numbers(report(features, changes={"sex": Change(0, 1, 2.5)}))
    writer.close()
    found = events(tmp_path)
    assert float(found.last("curvature-change/sex")) == 2.5
    assert "two values" in found.description("curvature-change/sex")
    assert [tag for tag in found.tags if "-feature/" in tag] == ["curvature-feature/age"]


def test_the_pixels_of_an_image_get_no_cards(writer, tmp_path):
    pixels = {f"x[{i},{j}]": 1.0 for i, j in np.ndindex(4, 4)}
    writer.write_numbers(report(pixels, example_shape=(4, 4)))
    writer.close()
    assert not any("-feature/" in tag for tag in events(tmp_path).tags)


def test_distribution_holds_the_finite_values(writer, tmp_path):
    measured = parabola()
    diagonal = measured.diagonal.copy()
    diagonal[:4, 0, 0] = [np.nan, np.inf, -np.inf, 7.0]
    writer.write_distribution(report(), dataclasses.replace(measured, diagonal=diagonal))
    writer.close()
    found = events(tmp_path)
    assert found.plugin("curvature-distribution/laplacian") == "histograms"
    buckets = found.last("curvature-distribution/laplacian")
    assert buckets[:, 2].sum() == len(diagonal) - 3
    assert (buckets[0, 0], buckets[-1, 1]) == (2.0, 7.0)


@pytest.mark.parametrize("value", [np.nan, 0.0, 1.7e308], ids=["nan", "constant", "huge"])
def test_a_degenerate_distribution_breaks_nothing(writer, tmp_path, value):
    measured = parabola()
    diagonal = np.full_like(measured.diagonal, value)
    diagonal[0] *= -1
    writer.write_distribution(report(), dataclasses.replace(measured, diagonal=diagonal))
    writer.write_numbers(report())
    writer.close()
    found = events(tmp_path)
    if "curvature-distribution/laplacian" in found.tags:
        buckets = found.last("curvature-distribution/laplacian")
        assert np.isfinite(buckets).all()
        assert buckets[:, 2].sum() == len(diagonal)
    else:
        assert np.isnan(value)


def test_a_picture_arrives_as_it_was(writer, tmp_path):
    picture = figures.draw(parabola(), report())
    pixels = figures.to_rgba(picture)
    writer.write_picture(report(), figures.to_png(picture))
    writer.close()
    found = events(tmp_path)
    assert found.plugin("curvature-picture/shape") == "images"
    width, height, png = found.last("curvature-picture/shape")
    assert (int(height), int(width)) == pixels.shape[:2]
    np.testing.assert_array_equal(tf.io.decode_png(png, channels=4), pixels)


def test_a_picture_has_to_be_a_png(writer):
    with pytest.raises(ValueError, match=r"PNG. Received: b'GIF"):
        writer.write_picture(report(), b"GIF89a")


def test_summary_says_in_words_what_was_found_and_how(writer, tmp_path):
    writer.write_summary(report({"age": 0.25, "bmi": 0.5}))
    writer.close()
    text = events(tmp_path).last("curvature-summary/in_words").item().decode()
    html = markdown_to_safe_html(text)
    assert html.startswith("<h3>The function bends")
    assert "<strong>Epoch 3</strong>" in html
    assert "<li>256 probe points, 1 input.</li>" in html
    assert "<td>scale_mean</td>\n<td>3.5</td>\n<td>y/x²</td>" in html
    assert html.count("<tr>") == 1 + len(report().headline) + len(report().reference)
    assert "bmi 0.5, age 0.25" in html


def test_the_text_tells_of_inputs_of_two_values_apart():
    changes = {"sex": Change(0, 1, 0.5), "size": Change(5, 10, 0.75)}
    features = {"age": 0.25, "bmi": 0.5, "sex": np.nan, "size": np.nan}
    html = markdown_to_safe_html(markdown.of_report(report(features, changes=changes)))
    assert "Bends most along: bmi 0.5, age 0.25; mean" in html
    assert "size from 5 to 10 0.75, sex from 0 to 1 0.5; in σy" in html


def a_finding(text, layer="bend"):
    return Finding("piecewise linear", text, (layer,), text, text, text, 1.0)


def test_a_diagnosis_says_what_was_found_what_it_means_and_what_to_do(writer, tmp_path):
    finding = dataclasses.replace(
        a_finding("relu in 'bend'"), found="F.", meaning="M.", advice="A."
    )
    writer.write_diagnosis(3, Diagnosis("net", (finding,), ("The graph: 4 ops.",)))
    writer.close()
    found = events(tmp_path)
    assert found.plugin("curvature-summary/diagnosis") == "text"
    ((step, text),) = found.series("curvature-summary/diagnosis")
    assert step == 3
    html = markdown_to_safe_html(text.item().decode())
    assert "<h3>Diagnosis of net: 1 finding, epoch 3</h3>" in html
    assert "<h4>Piecewise linear: relu in 'bend'</h4>" in html
    for name, sentence in (("found", "F."), ("means", "M."), ("do", "A.")):
        assert f"<li><strong>{name}:</strong> {sentence}</li>" in html
    assert "<li>The graph: 4 ops.</li>" in html


def test_nothing_of_a_model_reaches_the_page_of_a_diagnosis_unescaped():
    everything = " ".join(HOSTILE)
    text = markdown.of_diagnosis(0, Diagnosis(everything, (a_finding(everything),), (everything,)))
    assert "<" not in text
    page = Page(markdown_to_safe_html(text))
    assert page.tags == {"h3", "h4", "p", "strong", "ul", "li"}
    # In place, what was found, meaning, advice and check; the model's name is shortened.
    assert page.text.count(HOSTILE[6]) == 5


def test_curvature_over_distances_is_a_tensor_and_a_table(writer, tmp_path):
    h = 0.5 ** np.arange(12)
    scale_profile = ScaleProfile(h, 2 * h, 3 * h, 4 * h, 5 * h)
    shown = dataclasses.replace(report(), scale_profile=scale_profile)
    writer.write_scale_profile(shown)
    writer.write_scale_profile(report())  # has none
    writer.write_picture(shown, figures.to_png(figures.draw(parabola(), shown)), "distances")
    writer.close()
    found = events(tmp_path)
    assert set(found.tags) == {"curvature-distance/spectrum", "curvature-picture/distances"}
    np.testing.assert_allclose(
        found.last("curvature-distance/spectrum"), np.outer(h, [1, 2, 3, 4, 5]), rtol=1e-6
    )
    html = markdown_to_safe_html(markdown.of_report(shown))
    assert "<td>0.25</td>\n<td>0.5</td>\n<td>0.75</td>\n<td>1.25</td>" in html


def test_nothing_of_the_data_reaches_the_page_unescaped():
    everything = " ".join(HOSTILE)
    shown = report(
        dict.fromkeys(HOSTILE, 1.0),
        output=everything,
        sentence=everything,
        method=HOSTILE,
        headline=dict.fromkeys(HOSTILE, 1.0),
    )
    text = markdown.of_report(shown)
    # TensorBoard cleans what it shows, other readers of the file may not.
    assert "<" not in text
    page = Page(markdown_to_safe_html(text))
    rows = {"table", "thead", "tbody", "tr", "th", "td"}
    assert page.tags == {"h3", "p", "strong", "ul", "li", *rows}
    # The reader sees the names as they are, in sentence, output, method, table and features.
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[6], HOSTILE[8]):
        assert page.text.count(name) == 5, name
    assert page.cells == 4 * len(HOSTILE) + 4 * len(report().reference)
    assert not set(page.text) & {"\x00", "\x1b"}


class Page(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.cells = set(), "", 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.tags.add(tag)
        self.cells += tag == "td"

    def handle_data(self, data):
        self.text += data


def test_the_user_state_is_left_alone_and_has_no_effect(writer, tmp_path):
    theirs = tf.summary.create_file_writer(str(tmp_path / "theirs"))
    with theirs.as_default(step=70), tf.summary.record_if(False), tf.name_scope("scope"):
        writer.write_numbers(report())
        writer.write_distribution(report(), parabola())
        writer.write_summary(report())
        writer.write_picture(report(), figures.to_png(figures.draw(parabola(), report())))
        assert tf.summary.experimental.get_step() == 70
        assert not tf.summary.should_record_summaries()
        with tf.summary.record_if(True):
            tf.summary.scalar("own", 1.0)
    theirs.close()
    writer.close()
    assert events(tmp_path, "theirs").tags == ["scope/own"]
    found = events(tmp_path)
    assert found.series("curvature/mean") == [(3, 1.5)]
    assert all(tag.startswith("curvature") for tag in found.tags)
    assert {"images", "text", "scalars", "histograms"} == {found.plugin(t) for t in found.tags}


def test_random_numbers_are_what_they_would_have_been(tmp_path):
    def draw(between):
        tf.random.set_seed(0)
        np.random.seed(0)  # noqa: NPY002, it is the global state that must not move
        random.seed(0)
        between()
        return tf.random.uniform([]).numpy(), np.random.rand(), random.random()  # noqa: NPY002

    def write():
        writer = RunWriter(tmp_path)
        writer.write_numbers(report())
        writer.write_distribution(report(), parabola())
        writer.write_picture(report(), figures.to_png(figures.draw(parabola(), report())))
        writer.write_summary(report())
        writer.close()

    assert draw(write) == draw(lambda: None)


def test_it_writes_once_under_a_distribution_strategy(writer, tmp_path):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        writer.write_numbers(report())
    writer.close()
    assert events(tmp_path).series("curvature/mean") == [(3, 1.5)]


def test_a_closed_writer_opens_again(writer, tmp_path):
    writer.write_numbers(report(step=1))
    writer.close()
    writer.close()
    writer.write_numbers(report(step=2))
    writer.flush()
    found = events(tmp_path)
    assert [step for step, _ in found.series("curvature/mean")] == [1, 2]


def test_a_writer_that_is_not_used_leaves_no_run(writer, tmp_path):
    writer.flush()
    writer.close()
    assert not list((tmp_path / "curvature").iterdir())


def test_all_tags_begin_with_the_name(tmp_path):
    writer = RunWriter(tmp_path, name="bend")
    writer.write_numbers(report())
    writer.close()
    assert all(tag.startswith(("bend/", "bend-")) for tag in events(tmp_path, "bend").tags)


@pytest.mark.parametrize("log_dir", [None, "", " ", 7, "a\0b"])
def test_a_log_dir_has_to_be_a_path(log_dir):
    with pytest.raises(ValueError, match=r"`log_dir` must be the path .*Received: "):
        RunWriter(log_dir)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_log_dir_that_cannot_be_made_raises_at_once(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match=r"must be a directory .*Received: .*Choose another"):
        RunWriter(file / below)


def test_a_log_dir_on_no_known_file_system_raises_at_once():
    with pytest.raises(OSError, match="nowhere://"):
        RunWriter("nowhere://bucket/logs")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_log_dir_without_permission_raises_at_once(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="permissions"):
        RunWriter(tmp_path)


@pytest.mark.parametrize("name", ["train", "validation", "", ".", "..", "a/b", "a\nb", None])
def test_a_name_has_to_name_a_run(tmp_path, name):
    with pytest.raises(ValueError, match=r"`name` .*Received: "):
        RunWriter(tmp_path, name)
    assert not list(tmp_path.iterdir())
