"""What TensorBoard's Custom Scalars dashboard is told of our scalars."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.util.tensor_util import make_tensor_proto

CHARTS = {
    "Mean curvature: exact, and over a distance": ("mean", "scale_mean"),
    "Size of the curvature: exact, and over a distance": ("rms", "scale_rms"),
    "Change of slope": ("slope_change",),
    "Hidden share and fit": ("hidden_fraction", "r2"),
}
"""Numbers that are read together, one chart each."""

SHAPE_CHARTS = {
    "Shape: share of the probe where it is kept": (
        "{0}/{1}shape_fraction",
        "{0}-shape/{1}*_fraction",
    ),
    "Shape: worst violation": ("{0}-shape/{1}*_worst_violation",),
}
"""The same where a shape is asked for: tags of a monitor and an output, `*` for the entry."""

BAND = "Laplacian over the probe: median, 5 % to 95 %"


def layout(name: str, outputs: Sequence[str], *, shape: bool = False) -> Summary:
    """The layout of the Custom Scalars dashboard.

    Args:
        name: of the monitor.
        outputs: how each output stands in a tag, `""` where there is but one.
        shape: whether a shape is asked for.
    """
    middles = [f"{output}/" if output else "" for output in outputs]
    wanted = {
        title: [f"{name}/{middle}{number}" for middle in middles for number in numbers]
        for title, numbers in CHARTS.items()
    }
    for title, tags in SHAPE_CHARTS.items() if shape else ():
        wanted[title] = [tag.format(name, middle) for middle in middles for tag in tags]
    charts = [_chart(title, tags) for title, tags in wanted.items()]
    category = layout_pb2.Category(title=name.capitalize(), chart=[_band(name, middles), *charts])
    described = metadata.create_summary_metadata()
    described.data_class = DATA_CLASS_TENSOR
    encoded = make_tensor_proto(layout_pb2.Layout(category=[category]).SerializeToString())
    value = Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, metadata=described, tensor=encoded)
    return Summary(value=[value])


def _band(name: str, middles: Sequence[str]) -> layout_pb2.Chart:
    series = [
        layout_pb2.MarginChartContent.Series(
            value=f"{name}-detail/{middle}p50",
            lower=f"{name}-detail/{middle}p05",
            upper=f"{name}-detail/{middle}p95",
        )
        for middle in middles
    ]
    return layout_pb2.Chart(title=BAND, margin=layout_pb2.MarginChartContent(series=series))


def _chart(title: str, tags: Sequence[str]) -> layout_pb2.Chart:
    patterns = [f"^{re.escape(tag)}$".replace(r"\*", "[^/]+") for tag in tags]
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns))
