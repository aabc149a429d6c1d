"""Reads packets through TensorBoard's data provider, and nothing in any other way.

Packets are blobs, because a provider reads a tensor series only as a whole and a blob by
itself: a step of a long training costs no more than one of a short training.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tensorboard import errors
from tensorboard.data import provider

from keras_curvature_page.packets import PLUGIN, unpack
from keras_curvature_page.series import Series, Wanted, joined, listing, series_of

ALL = 1 << 30
"""Steps to ask the provider for: all that it kept."""

READERS = 16
"""Blobs read at the same time.

TensorBoard's fast data server takes 44 ms for a blob, whatever its size, and hardly more for
many that are asked for together (its small answers wait for the other side's acknowledgement).
"""

Steps = dict[int, provider.BlobSequenceDatum]
"""Where the provider keeps each step of a series."""


class Archive:
    """What the monitor wrote, as a data provider has it."""

    def __init__(self, data_provider: provider.DataProvider) -> None:
        self._provider = data_provider
        self._readers = ThreadPoolExecutor(READERS)
        self._kept: dict[tuple[str, str, str], Steps] = {}

    def index(self, context: Any, experiment: str) -> list[dict[str, Any]]:
        """Every run and output with its steps, see `listing`."""
        listed = self._provider.list_blob_sequences(
            context, experiment_id=experiment, plugin_name=PLUGIN
        )
        self._learn(context, experiment)
        found: dict[Series, tuple[str, Sequence[int]]] = {}
        for run, tags in listed.items():
            for tag, series in tags.items():
                ours = series_of(run, series.plugin_content)
                if ours is not None:
                    found[ours] = tag, tuple(self._kept.get((experiment, run, tag), ()))
        return listing(found)

    def packets(self, context: Any, experiment: str, wanted: Sequence[Wanted]) -> bytes:
        """What a server sends of some steps of some series, see `joined`.

        Raises:
            KeyError: if there is no such run, tag or step.
        """
        found = []
        for place, (run, tag, steps) in enumerate(wanted):
            kept = self._kept.get((experiment, run, tag), {})
            if not kept.keys() >= set(steps):
                kept = self._learn(context, experiment, run, tag).get((experiment, run, tag), {})
            found += [(place, kept[step]) for step in steps]
        packets = self._readers.map(lambda item: self._sound(context, item[1]), found)
        return joined(
            (place, datum.step, packet)
            for (place, datum), packet in zip(found, packets, strict=True)
        )

    def _learn(
        self, context: Any, experiment: str, run: str | None = None, tag: str | None = None
    ) -> dict[tuple[str, str, str], Steps]:
        """Asks the provider which steps it has, of one series or of all.

        Kept, because a provider lists a whole series at once, which takes longer than reading a
        step: the page asks for steps whenever its slider moves.
        """
        listed = self._provider.read_blob_sequences(
            context,
            experiment_id=experiment,
            plugin_name=PLUGIN,
            downsample=ALL,
            run_tag_filter=provider.RunTagFilter(
                runs=None if run is None else [run], tags=None if tag is None else [tag]
            ),
        )
        learned = {
            (experiment, run, tag): {datum.step: datum for datum in series}
            for run, tags in listed.items()
            for tag, series in tags.items()
        }
        if run is None:
            stale = [key for key in list(self._kept) if key[0] == experiment and key not in learned]
            for key in stale:
                self._kept.pop(key, None)
        self._kept.update(learned)
        return learned

    def _sound(self, context: Any, datum: provider.BlobSequenceDatum) -> bytes:
        """The packet of one step, empty if it is none."""
        if len(datum.values) != 1:
            return b""
        try:
            packet = self._provider.read_blob(context, blob_key=datum.values[0].blob_key)
            unpack(packet)
        except (ValueError, errors.PublicError):
            # The second: TensorBoard's data server does not find its own blobs again where the
            # name of the run has a quotation mark.
            return b""
        return bytes(packet)
