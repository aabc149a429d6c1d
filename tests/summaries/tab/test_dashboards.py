"""What the standard dashboards of TensorBoard make of a real training."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api as hp

import keras_curvature as kc
from keras_curvature.summaries import custom_scalars, hparams
from keras_curvature_page.packets import unpack
from served import ROOT, served

X = np.linspace(-1, 1, 32)[:, None].astype("float32")


def train(log_dir, settings, metrics=None):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(settings["units"], "silu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    monitor = kc.CurvatureMonitor((X, X**2), log_dir, shape={"x": "convex"})
    board = keras.callbacks.TensorBoard(log_dir)
    model.fit(X, X**2, epochs=2, verbose=0, callbacks=[board, monitor])
    with tf.summary.create_file_writer(str(log_dir)).as_default():
        hp.hparams(settings)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("logs")
    for units in (4, 8):
        train(logdir / f"units{units}", {"units": units})
    return logdir


def tags(logs):
    accumulator = EventAccumulator(str(logs / "units4" / "curvature"))
    return accumulator.Reload().Tags()["tensors"], accumulator


def test_every_chart_of_the_layout_finds_its_scalars(logs):
    written, accumulator = tags(logs)
    event = accumulator.Tensors("custom_scalars__config__")[0]
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    (category,) = layout.category
    band, *charts = category.chart
    (series,) = band.margin.series
    assert {series.lower, series.value, series.upper} <= set(written)
    for chart in charts:
        for pattern in chart.multiline.tag:
            assert len([tag for tag in written if re.search(pattern, tag)]) == 1, pattern


def test_the_layout_is_written_once_and_runs_share_it(logs):
    _, accumulator = tags(logs)
    assert len(accumulator.Tensors("custom_scalars__config__")) == 1
    client = served(logs, loaders=_static("CustomScalarsPlugin"))
    layout = client.get("/data/plugin/custom_scalars/layout").json
    assert len(layout["category"]) == 1
    assert len(layout["category"][0]["chart"]) == 1 + len(
        custom_scalars.CHARTS | custom_scalars.SHAPE_CHARTS
    )


def test_the_layout_names_each_output():
    layout = layout_pb2.Layout.FromString(
        custom_scalars.layout("curvature", ["a", "b"]).value[0].tensor.string_val[0]
    )
    (category,) = layout.category
    assert [s.value for s in category.chart[0].margin.series] == [
        "curvature-detail/a/p50",
        "curvature-detail/b/p50",
    ]
    assert len(category.chart) == 1 + len(custom_scalars.CHARTS)  # no shape was asked for


def test_each_picture_is_there_once(logs):
    found, accumulator = tags(logs)
    pictures = [tag for tag in found if tag.startswith("curvature-picture/")]
    assert sorted(pictures) == ["curvature-picture/distances", "curvature-picture/shape"]
    for tag in pictures:
        png = accumulator.Tensors(tag)[-1].tensor_proto.string_val[2]
        assert png[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_tab_has_every_step_of_the_training(logs):
    found = {item["run"]: item for item in served(logs).get(f"{ROOT}/runs").json["series"]}
    assert set(found) == {"units4/curvature", "units8/curvature"}
    assert all(item["steps"] == [0, 1, 2] for item in found.values())


@pytest.mark.slow
def test_the_tab_has_the_distances_of_estimates_where_they_were_measured(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4, "silu")])
    model.compile("adam", "mse")
    monitor = kc.CurvatureMonitor(X, tmp_path, directions=2)
    model.fit(X, np.tile(X, 4), epochs=1, verbose=0, callbacks=[monitor])
    client = served(tmp_path)
    (item,) = client.get(f"{ROOT}/runs").json["series"]
    assert item["steps"] == item["distances_steps"] == [0, 1]  # the first and the last are drawn
    for step in item["steps"]:
        query = {"run": item["run"], "tag": item["distances_tag"], "steps": step}
        packet = client.get(f"{ROOT}/packets", query_string=query).data[16:]
        header, arrays = unpack(packet)
        assert header["step"] == step
        assert header["distances"]
        (h, _, rms, _) = arrays["spectrum"]
        assert 1e-4 * X.std() < h[0] < h[-1] <= 1.001 * X.std()
        # About the width of a quarter of the spread the curve is as curved as at the scale.
        near = np.interp(X.std() / 4, h, rms)
        np.testing.assert_allclose(near, monitor.history["scale_rms"][step], rtol=0.5)


def experiment(logdir):
    client = served(logdir, loaders=_static("HParamsPlugin"))
    body = {"experimentName": "", "includeMetrics": True, "hparamsLimit": 0}
    return client.post("/data/plugin/hparams/experiment", json=body).json, client


def test_hparams_shows_curvature_beside_the_loss(logs):
    told, client = experiment(logs)
    metrics = {(m["name"]["group"], m["name"]["tag"]) for m in told["metricInfos"]}
    wanted = {("train", "epoch_loss"), ("curvature", "curvature/rms")}
    assert wanted <= metrics
    body = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"],
        "colParams": [{"metric": {"group": g, "tag": t}} for g, t in wanted],
        "startIndex": 0,
        "sliceSize": 10,
    }
    groups = client.post("/data/plugin/hparams/session_groups", json=body).json["sessionGroups"]
    assert sorted(group["hparams"]["units"] for group in groups) == [4, 8]
    for group in groups:
        values = {(v["name"]["group"], v["name"]["tag"]): v["value"] for v in group["metricValues"]}
        assert all(np.isfinite(values[metric]) for metric in wanted)


@pytest.mark.slow
def test_hparams_metrics_choose_the_headline_and_name_it_as_logs_do(logs, tmp_path):
    train(tmp_path / "a", {"units": 4})
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        metrics = [hp.Metric("epoch_loss", group="train"), *kc.hparams_metrics()]
        hp.hparams_config(hparams=[hp.HParam("units")], metrics=metrics)
    told, _ = experiment(tmp_path)
    shown = [m.get("displayName") or m["name"]["tag"] for m in told["metricInfos"]]
    assert shown == ["epoch_loss", *(f"curvature_{name}" for name in hparams.HEADLINE)]
    written = tags(logs)[0]
    metrics = kc.hparams_metrics(shape=True)
    assert metrics[0].as_proto().display_name == "curvature_shape_fraction"
    assert {m.as_proto().name.tag for m in metrics} <= set(written)


def _static(name):
    from tensorboard import default

    found = [p for p in default.get_static_plugins() if getattr(p, "__name__", "") == name]
    assert found, name
    return found
