"""The tab's web server: its own files, and packets of the log directory."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from keras_curvature_tensorboard.packet_reader import Archive, Wanted
from keras_curvature_tensorboard.packets import PLUGIN

MOST_STEPS = 64
"""Steps that one request may ask for."""

MOST_LETTERS = 20 * MOST_STEPS


Answer = Callable[[wrappers.Request], wrappers.Response]

KINDS = {"js": "text/javascript", "css": "text/css"}


class CurvaturePlugin(base_plugin.TBPlugin):
    """The tab "Curvature", shown when a run has something for it."""

    plugin_name = PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        """Args: context: what TensorBoard gives to every plugin."""
        super().__init__(context)
        self._archive = Archive(context.data_provider)
        self._kept = (context.sampling_hints or {}).get(PLUGIN)

    def get_plugin_apps(self) -> dict[str, Any]:
        """What is served, by path: every file by its full name, so no path is ever resolved."""
        files = {path: _answering(_file(*file)) for path, file in static_files().items()}
        return {"/runs": _answering(self._runs), "/packets": _answering(self._packets), **files}

    def is_active(self) -> bool:
        """False: TensorBoard looks itself whether a run has data of the plugin's name."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Name of the tab, and where its page begins."""
        return base_plugin.FrontendMetadata(es_module_path="/static/index.js", tab_name="Curvature")

    def _runs(self, request: wrappers.Request) -> wrappers.Response:
        context = plugin_util.context(request.environ)
        experiment = plugin_util.experiment_id(request.environ)
        told = {"kept": self._kept, "series": self._archive.index(context, experiment)}
        return http_util.Respond(request, told, "application/json")

    def _packets(self, request: wrappers.Request) -> wrappers.Response:
        wanted = _wanted(request)
        if wanted is None:
            return http_util.Respond(
                request,
                "`run`, `tag` and `steps`, with commas between, are needed, as often as there are "
                f"series to read, for at most {MOST_STEPS} steps in all.",
                "text/plain",
                code=400,
            )
        context = plugin_util.context(request.environ)
        experiment = plugin_util.experiment_id(request.environ)
        try:
            content = self._archive.packets(context, experiment, wanted)
        except errors.NotFoundError as error:
            return http_util.Respond(request, str(error), "text/plain", code=404)
        return http_util.Respond(request, content, "application/octet-stream")


def static_files() -> dict[str, tuple[bytes, str]]:
    """Content and type of every file of the page, by its path below the plugin's."""
    folder = resources.files(__package__).joinpath("static")
    found: dict[str, tuple[bytes, str]] = {}
    pending = [("/static", folder)]
    while pending:
        path, place = pending.pop()
        for item in place.iterdir():
            name = f"{path}/{item.name}"
            if item.is_dir():
                pending.append((name, item))
            else:
                found[name] = (item.read_bytes(), _kind(item.name))
    return found


def _kind(name: str) -> str:
    # Not from `mimetypes`, which asks the machine, and some answer wrongly for `.js`.
    return KINDS.get(name.rpartition(".")[2], "text/plain")


def _file(content: bytes, kind: str) -> Answer:
    return lambda request: http_util.Respond(request, content, kind)


def _answering(answer: Answer) -> Any:
    """An answer to a request as the WSGI application that TensorBoard wants."""
    return wrappers.Request.application(answer)


def _wanted(request: wrappers.Request) -> list[Wanted] | None:
    """What a request asks for; `None` if it is not said well, nothing or too much."""
    lists = [request.args.getlist(name) for name in ("run", "tag", "steps")]
    if len({len(values) for values in lists}) != 1 or sum(map(len, lists[2])) > MOST_LETTERS:
        return None
    try:
        steps = [[int(step) for step in text.split(",")] for text in lists[2]]
    except ValueError:
        return None
    if not 0 < sum(map(len, steps)) <= MOST_STEPS:
        return None
    return list(zip(*lists[:2], steps, strict=True))
