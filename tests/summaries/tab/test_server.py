"""The tab's server as TensorBoard runs it, on a log directory that the monitor's writer made."""

import argparse
import json
import pathlib
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard import default
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    DATA_CLASS_TENSOR,
    Summary,
    SummaryMetadata,
)
from tensorboard.util.tensor_util import make_tensor_proto

from closed_forms import parabola, report
from keras_curvature.summaries.run_writer import RunWriter
from keras_curvature_page import script
from keras_curvature_page.packets import unpack
from keras_curvature_page.series import series_content
from keras_curvature_tensorboard.loader import KEPT_STEPS, CurvatureLoader
from served import ROOT, served


def write(logdir, steps=(0, 1, 2), output="", name="curvature"):
    writer = RunWriter(logdir, name)
    for step in steps:
        writer.write_tab(report({"x": 1.0}, step=step, output=output), parabola())
    writer.close()


def write_blob(logdir, tag, blobs, content, step=0, data_class=DATA_CLASS_BLOB_SEQUENCE):
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="curvature", content=content),
        data_class=data_class,
    )
    value = Summary.Value(tag=tag, metadata=metadata, tensor=make_tensor_proto(blobs))
    with tf.summary.create_file_writer(str(logdir)).as_default(step):
        tf.summary.experimental.write_raw_pb(Summary(value=[value]).SerializeToString())


def series(client):
    return client.get(f"{ROOT}/runs").json["series"]


def packets(client, run, tag, steps):
    answer = client.get(f"{ROOT}/packets", query_string={"run": run, "tag": tag, "steps": steps})
    assert answer.status_code == 200, answer.text
    return opened(answer.data)


def opened(data):
    found, place = [], 0
    while place < len(data):
        step, length, series_index = struct.unpack_from("<qII", data, place)
        found.append((step, series_index, data[place + 16 : place + 16 + length]))
        place += 16 + length
    return found


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("logs")
    write(logdir / "one")
    write(logdir / "two", steps=(5, 7))
    return logdir


@pytest.fixture(scope="module")
def client(logs):
    return served(logs)


def test_runs_are_listed_with_all_their_steps(client):
    found = {item["run"]: item for item in series(client)}
    assert found["one/curvature"]["steps"] == [0, 1, 2]
    assert found["two/curvature"] == {
        "run": "two/curvature",
        "name": "curvature",
        "output": "",
        "tag": "curvature-tab/steps",
        "steps": [5, 7],
        "probe_tag": "curvature-tab/probe",
        "probe_steps": [5],
    }


def test_steps_arrive_as_they_were_written(client):
    (two, _, first), (zero, _, second) = packets(
        client, "one/curvature", "curvature-tab/steps", "2,0"
    )
    assert (two, zero) == (2, 0)
    header, arrays = unpack(first)
    assert header["step"] == 2
    assert unpack(second)[0]["step"] == 0
    np.testing.assert_array_equal(arrays["second"], np.full((1, 1, 101), 2.0))


def test_one_request_reads_several_series(client):
    query = "&".join(
        f"run={run}/curvature&tag=curvature-tab/steps&steps={steps}"
        for run, steps in (("two", "5,7"), ("one", "1"))
    )
    found = opened(client.get(f"{ROOT}/packets?{query}").data)
    assert [(step, place) for step, place, _ in found] == [(5, 0), (7, 0), (1, 1)]


def test_the_tab_is_offered_only_where_there_is_curvature(client, tmp_path):
    with tf.summary.create_file_writer(str(tmp_path / "train")).as_default(0):
        tf.summary.scalar("loss", 1.0)
    for found, expected in ((client, True), (served(tmp_path), False)):
        listing = found.get("/data/plugins_listing").json
        assert listing["curvature"]["enabled"] is expected
        assert listing["curvature"]["tab_name"] == "Curvature"
    assert series(served(tmp_path)) == []


def test_every_step_is_kept_up_to_the_stated_number(tmp_path):
    write(tmp_path, steps=range(30))
    (item,) = series(served(tmp_path))
    assert item["steps"] == list(range(30))
    answer = served(tmp_path, samples={"curvature": 12}).get(f"{ROOT}/runs").json
    assert answer["kept"] == 12
    assert len(answer["series"][0]["steps"]) == 12
    assert answer["series"][0]["steps"][-1] == 29
    assert answer["series"][0]["probe_steps"] == [0]


def test_tensorboard_is_asked_for_many_steps_unless_the_user_says():
    for given, expected in (({}, KEPT_STEPS), ({"curvature": 3}, 3), ({"curvature": 0}, 0)):
        flags = argparse.Namespace(samples_per_plugin=dict(given))
        CurvatureLoader().fix_flags(flags)
        assert flags.samples_per_plugin["curvature"] == expected
    CurvatureLoader().fix_flags(argparse.Namespace())  # a TensorBoard without the flag


def test_outputs_and_monitors_are_series_of_their_own(tmp_path):
    for name, output in (("curvature", "a/b <i>"), ("curvature", "c"), ("wide", "c")):
        write(tmp_path / "run", output=output, name=name)
    found = [(item["run"], item["name"], item["output"]) for item in series(served(tmp_path))]
    assert found == [
        ("run/curvature", "curvature", "a/b <i>"),
        ("run/curvature", "curvature", "c"),
        ("run/wide", "wide", "c"),
    ]


HOSTILE_RUN = "<img src=x onerror=alert(1)>\"'&"


def test_a_hostile_name_of_a_run_is_data(tmp_path):
    write(tmp_path / HOSTILE_RUN)
    found = served(tmp_path)
    answer = found.get(f"{ROOT}/runs")
    assert answer.content_type == "application/json"
    (item,) = answer.json["series"]
    assert item["run"] == f"{HOSTILE_RUN}/curvature"
    assert len(packets(found, item["run"], item["tag"], "0,1,2")) == 3


WRONG = {
    "another run": ("three/curvature", "curvature-tab/steps", "0", 404),
    "another tag": ("one/curvature", "curvature/mean", "0", 404),
    "a path": ("../one/curvature", "curvature-tab/steps", "0", 404),
    "an absolute path": ("/etc", "passwd", "0", 404),
    "a step that is not there": ("one/curvature", "curvature-tab/steps", "3", 404),
    "an immense step": ("one/curvature", "curvature-tab/steps", "9" * 30, 404),
    "a negative step": ("one/curvature", "curvature-tab/steps", "-1", 404),
    "no step": ("one/curvature", "curvature-tab/steps", "", 400),
    "no number": ("one/curvature", "curvature-tab/steps", "1,x", 400),
    "markup": ("one/curvature", "curvature-tab/steps", "<script>", 400),
    "too many": ("one/curvature", "curvature-tab/steps", ",".join(["0"] * 65), 400),
    "too long": ("one/curvature", "curvature-tab/steps", "1" * 9999, 400),
}


@pytest.mark.parametrize(("run", "tag", "steps", "code"), WRONG.values(), ids=WRONG)
def test_what_is_not_there_is_said_and_not_echoed_as_markup(client, run, tag, steps, code):
    answer = client.get(f"{ROOT}/packets", query_string={"run": run, "tag": tag, "steps": steps})
    assert answer.status_code == code
    assert answer.content_type.startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<" not in answer.text


def test_a_request_has_to_say_run_tag_and_steps(client):
    for query in ("", "run=one/curvature", "run=a&tag=b", "run=a&run=b&tag=c&steps=1"):
        assert client.get(f"{ROOT}/packets?{query}").status_code == 400


OUTSIDE = [
    "static/../plugin.py",
    "static/../../../etc/passwd",
    "static/%2e%2e/plugin.py",
    "static/..%2fplugin.py",
    "static//etc/passwd",
    "static/uplot",
    "static/",
    "plugin.py",
    "",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_but_the_files_of_the_page_is_served(client, path):
    assert client.get(f"{ROOT}/{path}").status_code == 404


def test_the_files_of_the_page_are_served_with_their_types(client):
    folder = pathlib.Path(script.__file__).parent
    files = [path for path in (folder / "static").rglob("*") if path.is_file()]
    assert len(files) > 10
    kinds = {".js": "text/javascript", ".css": "text/css", "": "text/plain"}
    for path in files:
        answer = client.get(f"{ROOT}/{path.relative_to(folder).as_posix()}")
        assert answer.status_code == 200
        assert answer.data == path.read_bytes()
        assert answer.content_type.split(";")[0] == kinds[path.suffix]


def test_the_page_loads_nothing_from_elsewhere_and_makes_no_markup_of_text():
    folder = pathlib.Path(script.__file__).parent / "static"
    own = [path for path in folder.glob("*") if path.is_file()]
    for path in own:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacent|document\.write", text)
    library = (folder / "uplot" / "uPlot.esm.js").read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|new Function|fetch\(|XMLHttpRequest", library)
    assert "MIT License" in (folder / "uplot" / "LICENSE").read_text(encoding="utf-8")


BROKEN_BLOBS = {
    "no packet": [b"GIF89a"],
    "nothing": [b""],
    "two of them": [b"a", b"b"],
}


@pytest.mark.parametrize("blobs", BROKEN_BLOBS.values(), ids=BROKEN_BLOBS)
def test_a_broken_record_is_left_out_and_the_others_are_not(tmp_path, blobs):
    write(tmp_path / "run", steps=(0, 1))
    content = series_content("steps", "curvature", "")
    write_blob(tmp_path / "run/curvature", "curvature-tab/steps", blobs, content, step=2)
    found = served(tmp_path)
    (item,) = series(found)
    assert item["steps"] == [0, 1, 2]
    sizes = [len(packet) for *_, packet in packets(found, item["run"], item["tag"], "0,1,2")]
    assert [size > 0 for size in sizes] == [True, True, False]


BROKEN_SERIES = {
    "no content": b"",
    "no JSON": b"\xff",
    "another kind": b'{"series": "x", "name": "", "output": ""}',
    "a name that is no text": b'{"series": "steps", "name": [1], "output": ""}',
    "steps without their probe": series_content("steps", "curvature", "alone"),
    "a list": b"[1]",
}


@pytest.mark.parametrize("content", BROKEN_SERIES.values(), ids=BROKEN_SERIES)
def test_a_series_that_is_none_of_ours_is_left_out(tmp_path, content):
    write(tmp_path / "run", steps=(0,))
    write_blob(tmp_path / "run/other", "some/tag", [b"a"], content)
    assert [item["run"] for item in series(served(tmp_path))] == ["run/curvature"]


def test_a_tensor_under_our_name_does_no_harm(tmp_path):
    write(tmp_path / "run", steps=(0,))
    write_blob(tmp_path / "run/x", "t", [1.0], b"{}", data_class=DATA_CLASS_TENSOR)
    assert len(series(served(tmp_path))) == 1


def test_a_second_training_goes_on_in_the_same_series(tmp_path):
    write(tmp_path / "run", steps=(0, 1))
    write(tmp_path / "run", steps=(2, 3))
    (item,) = series(served(tmp_path))
    assert (item["steps"], item["probe_steps"]) == ([0, 1, 2, 3], [0, 2])


def test_tensorboard_loads_the_tab_without_tensorflow_and_keras():
    script = (
        "import sys; from importlib.metadata import entry_points\n"
        "found = entry_points(group='tensorboard_plugins')['curvature'].load()\n"
        "print(found.__name__, [m for m in ('tensorflow', 'keras', 'keras_curvature')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "CurvatureLoader []"


PIXEL = tf.io.encode_png(np.zeros((1, 1, 3), np.uint8)).numpy()


def test_tensorboard_without_the_package_shows_what_its_own_dashboards_can(logs):
    writer = RunWriter(logs / "one")
    writer.write_numbers(report({"x": 1.0}))
    writer.write_distribution(report({"x": 1.0}), parabola())
    writer.write_summary(report({"x": 1.0}))
    writer.write_picture(report({"x": 1.0}), PIXEL)
    writer.write_layout(0, {"": report()})
    writer.close()
    client = served(logs, loaders=default.get_static_plugins())
    listing = client.get("/data/plugins_listing").json
    assert "curvature" not in listing
    wanted = {"scalars", "histograms", "distributions", "images", "text", "custom_scalars"}
    assert wanted <= {name for name, entry in listing.items() if entry["enabled"]}
    layout = json.loads(client.get("/data/plugin/custom_scalars/layout").text)
    assert [category["title"] for category in layout["category"]] == ["Curvature"]
