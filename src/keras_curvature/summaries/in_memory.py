"""The packets of a training that writes no log, kept in memory for the page."""

from __future__ import annotations

from collections.abc import Sequence

from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.measurement.plane_maps import PlaneMap
from keras_curvature.measurement.results import Measurement
from keras_curvature.report.data import Report
from keras_curvature.summaries import tab
from keras_curvature_page.packets import DIAGNOSIS, DISTANCES, PROBE, STEPS
from keras_curvature_page.series import Series

MOST_BYTES = 32_000_000
"""Beyond, every other step is forgotten: what is left stays spread over the whole training. At
1,000 points a thousand steps of a model of one input take 19 MB, of ten inputs 6 MB."""


class InMemory:
    """What `RunWriter` writes for the page, in memory.

    Args:
        name: of the monitor, and of the run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._packets: dict[Series, dict[int, bytes]] = {}

    def add(self, report: Report, measurement: Measurement, maps: Sequence[PlaneMap] = ()) -> None:
        """Keeps a step; arguments as of `RunWriter.write_tab`."""
        self._keep(report, STEPS, tab.step_packet(report, measurement, maps))
        if not self._packets.get(self._series(report, PROBE)):
            self._keep(report, PROBE, tab.probe_packet(report, measurement, maps))
        self._thin()

    def add_distances(self, report: Report, measurement: Measurement) -> None:
        """Keeps the curvature over distances of a step."""
        self._keep(report, DISTANCES, tab.distances_packet(report, measurement))

    def add_diagnosis(self, step: int, diagnosis: Diagnosis) -> None:
        """Keeps what was found out about the model at a step."""
        series = Series(self._name, self._name, "", DIAGNOSIS)
        self._packets.setdefault(series, {})[step] = tab.diagnosis_packet(step, diagnosis)

    def forget_after(self, step: int) -> None:
        """Drops what came after a backup from which the training goes on."""
        for packets in self._packets.values():
            for later in [at for at in packets if at > step]:
                del packets[later]

    @property
    def broken(self) -> list[str]:
        """Nothing: what is in memory is whole."""
        return []

    def steps(self) -> dict[Series, list[int]]:
        """All that there is."""
        return {series: sorted(packets) for series, packets in self._packets.items() if packets}

    def packet(self, series: Series, step: int) -> bytes:
        """One packet."""
        return self._packets[series][step]

    def _series(self, report: Report, kind: str) -> Series:
        return Series(self._name, self._name, report.output, kind)

    def _keep(self, report: Report, kind: str, packet: bytes) -> None:
        self._packets.setdefault(self._series(report, kind), {})[report.step] = packet

    def _thin(self) -> None:
        taken = sum(
            len(packet) for packets in self._packets.values() for packet in packets.values()
        )
        if taken <= MOST_BYTES:
            return
        for series, packets in self._packets.items():
            if series.kind == STEPS:
                for step in sorted(packets)[1:-1:2]:
                    del packets[step]
