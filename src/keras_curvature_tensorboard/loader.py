"""How TensorBoard finds the tab, and how many steps it is asked to keep."""

from __future__ import annotations

import argparse
from typing import Any

from tensorboard.plugins import base_plugin

from keras_curvature_page.packets import PLUGIN
from keras_curvature_tensorboard.plugin import CurvaturePlugin

KEPT_STEPS = 2000
"""Steps of each run that TensorBoard keeps for the tab.

It samples every series, and without being asked keeps ten steps of one like ours. Beyond this
number it keeps the last step and a random choice of the others, spread evenly over the
training; `--samples_per_plugin curvature=N` asks for another number, 0 for all of them. A
step of a model of one input takes 19 KiB of its memory, no step more than 128 KiB.
"""


class CurvatureLoader(base_plugin.TBLoader):
    """The entry point that TensorBoard calls."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Asks for `KEPT_STEPS` unless the user asked for a number."""
        samples = getattr(flags, "samples_per_plugin", None)
        if isinstance(samples, dict):
            samples.setdefault(PLUGIN, KEPT_STEPS)

    def load(self, context: base_plugin.TBContext) -> Any:
        """The plugin, or `None` where TensorBoard reads no data in the way it needs."""
        if context.data_provider is None:
            return None
        return CurvaturePlugin(context)
