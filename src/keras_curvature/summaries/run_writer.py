"""What is written to TensorBoard, and how."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_BLOB_SEQUENCE, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.util.tensor_util import make_tensor_proto

from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.measurement.example_shape import is_grid
from keras_curvature.measurement.plane_maps import PlaneMap
from keras_curvature.measurement.results import Measurement
from keras_curvature.measurement.statistics import finite
from keras_curvature.report.data import Report
from keras_curvature.report.metrics import CHANGE, FEATURE, LAPLACIAN, Meaning
from keras_curvature.report.text import plain
from keras_curvature.summaries import custom_scalars, markdown, tab
from keras_curvature.summaries.event_file import EventFile
from keras_curvature.summaries.file_systems import file_system, reason
from keras_curvature_page.packets import DIAGNOSIS, DISTANCES, PLUGIN, PROBE, STEPS
from keras_curvature_page.series import series_content

KERAS_RUNS = ("train", "validation")
"""Directories of `keras.callbacks.TensorBoard`, which asks not to share them."""

MOST_FEATURE_CARDS = 64
"""Beyond so many features none gets a card: nobody looks through hundreds of them.

The picture and the text name the largest then. Choosing some would write other cards at
other epochs, and leave each with holes.
"""

PICTURES = {
    "shape": "The function and how it bends.",
    "examples": "A few examples, the second derivative along each of their inputs, and the "
    "direction in which each bends most.",
    "maps": "Functions of x that the monitor was given, over the plane of two inputs.",
    "distances": "The curvature over a distance h, for many h: where it is smooth it settles as "
    "h shrinks, where it has kinks it does not.",
}
"""What is drawn, and what it shows."""

SCALE_PROFILE = (
    "Curvature over distances: half-width h of the window, mean, root mean square, what rounding "
    "adds in float64, and what it would add in the model's own dtype; in standard deviations."
)

LAYOUT = "layout"

PNG_START = b"\x89PNG\r\n\x1a\n"


class RunWriter:
    """Writes reports as a run of its own beside those of Keras's TensorBoard callback.

    ```python
    writer = RunWriter("logs/run1")
    writer.write_numbers(report)
    writer.write_distribution(report, measurement)
    writer.write_spectrum(report)
    writer.write_layout(report.step, {report.output: report})
    writer.write_tab(report, measurement)
    writer.write_picture(report, png)
    writer.write_summary(report)
    writer.close()
    ```

    The event file is made with the first thing written, so a writer that is never used
    leaves no empty run behind. A closed writer opens again when written to. The user's own
    default writer, step, `record_if` and name scopes stay as they are and have no effect.

    Args:
        log_dir: directory of all runs of a training, local, or with a scheme such as `gs://`
            that TensorFlow reaches or, where it is not installed, fsspec.
        name: of the run, and the first part of all tags.

    Raises:
        ValueError: for a `log_dir` that is not a path, or a `name` that cannot name a run.
        OSError: if the directory cannot be made or written.
    """

    def __init__(self, log_dir: str | os.PathLike[str], name: str = "curvature") -> None:
        self._name = _checked_name(name)
        self._directory = _writable(log_dir, self._name)
        self._file = EventFile(self._directory)
        self._described: set[tuple[int, str]] = set()

    @property
    def directory(self) -> str:
        """Of the run."""
        return self._directory

    def write_numbers(self, report: Report) -> None:
        """Writes all numbers as scalars.

        Tags are `<name>/<number>` for the headline, so that these come first, and
        `<name>-reference/…`, `<name>-shape/…`, `<name>-detail/…`, `<name>-feature/<feature>` and,
        for one of two values, `<name>-change/<feature>` for the rest. The name of the output, where
        there are several, stands before the last part.
        """
        groups = {"": report.headline, "-reference": report.reference, "-detail": report.detail}
        cards = [
            self._scalar(report, group, name, value, report.meaning(name))
            for group, numbers in groups.items()
            for name, value in numbers.items()
        ]
        shape = report.shape_numbers
        cards += [
            self._scalar(report, "-shape", part, *shape[name])
            for name, part in zip(shape, tag_parts(shape), strict=True)
        ]
        if len(report.features) <= MOST_FEATURE_CARDS and not is_grid(report.example_shape):
            changes = {name: change.size for name, change in report.changes.items()}
            for group, sizes, meaning in (
                ("-feature", report.curved, FEATURE),
                ("-change", changes, CHANGE),
            ):
                parts = zip(tag_parts(sizes), sizes.values(), strict=True)
                cards += [self._scalar(report, group, part, size, meaning) for part, size in parts]
        self._write(report.step, *cards)

    def write_distribution(self, report: Report, measurement: Measurement) -> None:
        """Writes a histogram of the finite values of the Laplacian; nothing if there are none.

        Of estimates there are none: the sampling error would widen it.

        Args:
            report: says when, and in which units.
            measurement: in the units of the data.
        """
        exact = measurement.in_units(report.units).by_input
        values = finite(np.empty(0) if exact is None else exact.laplacian)
        if not values.size:
            return
        # The width of the histogram has to be finite too.
        limit = np.finfo(values.dtype).max / 4
        tag = self._tag("-distribution", report.output, "laplacian")
        description = self._once(tag, LAPLACIAN.description(report.units))
        histogram = histogram_pb(tag, np.clip(values, -limit, limit), description=description)
        self._write(report.step, histogram)

    def write_scale_profile(self, report: Report) -> None:
        """Writes the curvature over each distance, as one small tensor `(distances, 5)`.

        Its columns are the attributes of `ScaleProfile` in their order. Nothing if there is none.
        """
        if report.scale_profile is None:
            return
        tag = self._tag("-distance", report.output, "spectrum")
        columns = np.stack(list(vars(report.scale_profile).values()), axis=1)
        metadata = SummaryMetadata(
            summary_description=self._once(tag, SCALE_PROFILE) or "",
            plugin_data=SummaryMetadata.PluginData(plugin_name="curvature"),
        )
        tensor = make_tensor_proto(columns.astype(np.float32))
        self._write(
            report.step, Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
        )

    def write_layout(self, step: int, reports: Mapping[str, Report]) -> None:
        """Writes which scalars the Custom Scalars dashboard draws together, once in a file."""
        if self._is_first(LAYOUT):
            parts = [tag_part(output) if output else "" for output in reports]
            has_shape = any(report.shape for report in reports.values())
            self._write(step, custom_scalars.layout(self._name, parts, shape=has_shape))

    def write_tab(
        self,
        report: Report,
        measurement: Measurement,
        maps: Sequence[PlaneMap] = (),
    ) -> None:
        """Writes what the Curvature tab shows of this step.

        Args:
            report: says when, and in which units.
            measurement: in units of the data.
            maps: of functions of the user's, in the same order at every step.
        """
        packets = {STEPS: tab.step_packet(report, measurement, maps)}
        if self._is_first(self._tag("-tab", report.output, PROBE)):
            packets[PROBE] = tab.probe_packet(report, measurement, maps)
        values = [self._blob(report.output, kind, packet) for kind, packet in packets.items()]
        self._write(report.step, Summary(value=values))

    def write_distances(self, report: Report, measurement: Measurement) -> None:
        """Writes the curvature over distances for the tab, where `write_tab` came before it."""
        packet = tab.distances_packet(report, measurement)
        self._write(report.step, Summary(value=[self._blob(report.output, DISTANCES, packet)]))

    def write_picture(self, report: Report, png: bytes, name: str = "shape") -> None:
        """Writes a picture that is already encoded as PNG.

        Args:
            report: says when, and of which output.
            png: the picture.
            name: one of `PICTURES`.

        Raises:
            ValueError: if it is not a PNG.
        """
        if png[:8] != PNG_START:
            raise ValueError(f"`png` must be the bytes of a PNG. Received: {png[:8]!r}…")
        width, height = struct.unpack(">II", png[16:24])
        tag = self._tag("-picture", report.output, name)
        # TensorBoard's own function would want pixels, only to encode them again.
        metadata = image_metadata.create_summary_metadata(
            display_name=None, description=self._once(tag, PICTURES[name])
        )
        encoded = make_tensor_proto([str(width).encode(), str(height).encode(), png])
        value = Summary.Value(tag=tag, metadata=metadata, tensor=encoded)
        self._write(report.step, Summary(value=[value]))

    def write_summary(self, report: Report) -> None:
        """Writes in words what was found and how, as Markdown."""
        tag = self._tag("-summary", report.output, "in_words")
        self._write(report.step, text_pb(tag, markdown.of_report(report)))

    def write_diagnosis(self, step: int, diagnosis: Diagnosis) -> None:
        """Writes what a diagnosis found, as Markdown and for the Curvature tab."""
        tag = self._tag("-summary", "", "diagnosis")
        text = text_pb(tag, markdown.of_diagnosis(step, diagnosis))
        blob = self._blob("", DIAGNOSIS, tab.diagnosis_packet(step, diagnosis))
        self._write(step, text, Summary(value=[blob]))

    def write_faults(self, step: int, sentences: Iterable[str]) -> None:
        """Writes what went wrong up to this step, as Markdown."""
        tag = self._tag("-summary", "", "faults")
        self._write(step, text_pb(tag, markdown.of_faults(step, sentences)))

    def write_decision(self, step: int, sentence: str) -> None:
        """Writes what was done by the verdict or a finding, as Markdown."""
        tag = self._tag("-summary", "", "decision")
        self._write(step, text_pb(tag, markdown.of_decision(step, sentence)))

    def flush(self) -> None:
        """Sends what was written to the disk; raises `OSError` if it cannot."""
        self._file.flush()

    def close(self) -> None:
        """Flushes and closes the event file; raises `OSError` if it cannot."""
        self._file.close()

    def _write(self, step: int, *summaries: Summary) -> None:
        """Writes to this run, at this step, one record for all."""
        joined = Summary(value=[value for summary in summaries for value in summary.value])
        self._file.write(step, joined)

    def _tag(self, group: str, output: str, last: str) -> str:
        # A hyphen, because TensorBoard sorts an underscore like a slash: `curvature_detail/…`
        # would come before `curvature/mean`.
        between = f"{tag_part(output)}/" if output else ""
        return f"{self._name}{group}/{between}{last}"

    def _scalar(
        self, report: Report, group: str, name: str, value: float, meaning: Meaning | None
    ) -> Summary:
        tag = self._tag(group, report.output, tag_part(name))
        described = self._once(tag, meaning.description(report.units)) if meaning else None
        return scalar(tag, value, described)

    def _blob(self, output: str, kind: str, packet: bytes) -> Summary.Value:
        metadata = SummaryMetadata(
            plugin_data=SummaryMetadata.PluginData(
                plugin_name=PLUGIN, content=series_content(kind, self._name, output)
            ),
            data_class=DATA_CLASS_BLOB_SEQUENCE,
        )
        tag = self._tag("-tab", output, kind)
        return Summary.Value(tag=tag, metadata=metadata, tensor=make_tensor_proto([packet]))

    def _once(self, tag: str, text: str) -> str | None:
        """The text the first time: TensorBoard keeps that one, and files stay small."""
        return text if self._is_first(tag) else None

    def _is_first(self, tag: str) -> bool:
        """Whether this is asked for the first time in this file: each stands for itself."""
        key = (self._file.ended, tag)
        if key in self._described:
            return False
        self._described.add(key)
        return True


SCALAR = scalar_metadata.create_summary_metadata(display_name=None, description=None)


def scalar(tag: str, value: float, description: str | None) -> Summary:
    """What TensorBoard's `scalar_pb` gives, in a quarter of the time: a step has forty."""
    with np.errstate(over="ignore"):
        single = np.float32(value)  # what TensorBoard keeps
    metadata = SCALAR
    if description is not None:
        metadata = scalar_metadata.create_summary_metadata(None, description)
    tensor = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(), float_val=[single])
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


@functools.lru_cache(1024)  # the same ones at every step
def tag_part(text: str) -> str:
    """Text as one part of a tag: no slash, nothing that a page or an address might obey.

    Example:
        >>> tag_part("price/m² <b>"), tag_part("")
        ('price_m² _b_', 'unnamed')
    """
    return re.sub(r"[^\w .,:()\[\]=+-]", "_", plain(text, 60)).strip() or "unnamed"


def tag_parts(names: Iterable[str]) -> list[str]:
    """Tag parts of several names, all different."""
    parts: list[str] = []
    taken: set[str] = set()
    for name in names:
        part, count = tag_part(name), 1
        candidate = part
        while candidate in taken:
            count += 1
            candidate = f"{part}_{count}"
        taken.add(candidate)
        parts.append(candidate)
    return parts


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+ -]+", name) or not name.strip(". "):
        raise ValueError(
            "`name` names a run and a directory: letters, digits, and any of `_ . + -`. "
            f"Received: {name!r}."
        )
    if name in KERAS_RUNS:
        raise ValueError(
            f"`name` must not be {' or '.join(map(repr, KERAS_RUNS))}: these directories belong "
            f"to Keras's TensorBoard callback. Received: {name!r}. Choose another, "
            "for example 'curvature'."
        )
    return name


def _writable(log_dir: object, name: str) -> str:
    """The directory of the run, made and found to be writable."""
    path = os.fspath(log_dir) if isinstance(log_dir, (str, os.PathLike)) else ""
    if not path.strip() or "\0" in path:
        raise ValueError(
            "`log_dir` must be the path of a directory, for example 'logs/run1'. "
            f"Received: {log_dir!r}."
        )
    if "://" not in path:
        path = os.path.abspath(path)  # the working directory may be another one later
    files = file_system(path)
    directory = files.join(path, name)
    trial = files.join(directory, f".writable-{os.getpid()}")
    try:
        files.make(directory)
        with contextlib.closing(files.create(trial)) as file:
            file.write(b"")
        files.remove(trial)
    except Exception as error:  # of whatever kind the place of the log has
        raise OSError(
            "`log_dir` must be a directory that can be made and written. Received: "
            f"{path!r}, where making {directory!r} failed: {reason(error)}. Choose "
            "another directory, or correct its permissions."
        ) from error
    return directory
