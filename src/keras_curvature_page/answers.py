"""What a server of the page answers, TensorBoard's plugin or our own: files, runs and packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tensorboard.backend import http_util
from werkzeug import wrappers

from keras_curvature_page.script import static_files
from keras_curvature_page.series import Wanted

MOST_STEPS = 64
"""Steps that one request may ask for."""

MOST_LETTERS = 20 * MOST_STEPS

Answer = Callable[[wrappers.Request], wrappers.Response]


class Data(Protocol):
    """Where the data come from; each is given the request's WSGI environment."""

    def told(self, environ: dict[str, Any]) -> dict[str, Any]:
        """`series`, see `listing`, and `kept`: how many steps of each there are at most."""

    def packets(self, environ: dict[str, Any], wanted: list[Wanted]) -> bytes:
        """See `joined`; raises `KeyError` if there is no such run, tag or step."""


def answers(data: Data) -> dict[str, Any]:
    """WSGI applications by path: every file by its full name, so no path is ever resolved."""

    def runs(request: wrappers.Request) -> wrappers.Response:
        return http_util.Respond(request, data.told(request.environ), "application/json")

    def packets(request: wrappers.Request) -> wrappers.Response:
        wanted = _wanted(request)
        if wanted is None:
            return http_util.Respond(
                request,
                "`run`, `tag` and `steps`, with commas between, are needed, as often as there are "
                f"series to read, for at most {MOST_STEPS} steps in all.",
                "text/plain",
                code=400,
            )
        try:
            content = data.packets(request.environ, wanted)
        except KeyError:
            said = "There is no such run, tag or step."
            return http_util.Respond(request, said, "text/plain", code=404)
        return http_util.Respond(request, content, "application/octet-stream")

    files = {path: _file(*file) for path, file in static_files().items()}
    found: dict[str, Answer] = {"/runs": runs, "/packets": packets, **files}
    return {path: wrappers.Request.application(answer) for path, answer in found.items()}


def _file(content: bytes, kind: str) -> Answer:
    return lambda request: http_util.Respond(request, content, kind)


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
