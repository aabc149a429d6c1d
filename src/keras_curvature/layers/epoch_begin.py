"""A look at numbers of a layer where an epoch begins: inside a compiled step there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class EpochBegin(keras.metrics.Metric):
    """Does something where an epoch begins, as Keras resets the metrics of all layers there.

    It measures nothing, and adds nothing to Keras's logs.

    Args:
        name: of the metric.
        look: what to do.
    """

    def __init__(self, name: str, look: Callable[[], None]) -> None:
        super().__init__(name=name)
        self._look = look

    def reset_state(self) -> None:
        """An epoch begins, or an evaluation."""
        super().reset_state()
        self._look()

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Nobody calls it."""

    def result(self) -> dict[str, Any]:
        """No number."""
        return {}
