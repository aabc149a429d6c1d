"""The tab within TensorBoard: the page, and packets of the log directory."""

from __future__ import annotations

from typing import Any

from tensorboard import plugin_util
from tensorboard.plugins import base_plugin

from keras_curvature_page.answers import answers
from keras_curvature_page.packets import PLUGIN
from keras_curvature_page.series import Wanted
from keras_curvature_tensorboard.packet_reader import Archive


class CurvaturePlugin(base_plugin.TBPlugin):
    """The tab "Curvature", shown when a run has something for it."""

    plugin_name = PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        """Args: context: what TensorBoard gives to every plugin."""
        super().__init__(context)
        self._archive = Archive(context.data_provider)
        self._kept = (context.sampling_hints or {}).get(PLUGIN)

    def get_plugin_apps(self) -> dict[str, Any]:
        """What is served, by path."""
        return answers(self)

    def is_active(self) -> bool:
        """False: TensorBoard looks itself whether a run has data of the plugin's name."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Name of the tab, and where its page begins."""
        return base_plugin.FrontendMetadata(es_module_path="/static/index.js", tab_name="Curvature")

    def told(self, environ: dict[str, Any]) -> dict[str, Any]:
        """What there is, and how many steps of each TensorBoard keeps."""
        context, experiment = plugin_util.context(environ), plugin_util.experiment_id(environ)
        return {"kept": self._kept, "series": self._archive.index(context, experiment)}

    def packets(self, environ: dict[str, Any], wanted: list[Wanted]) -> bytes:
        """What was asked for."""
        context, experiment = plugin_util.context(environ), plugin_util.experiment_id(environ)
        return self._archive.packets(context, experiment, wanted)
