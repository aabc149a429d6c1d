"""A small server of the page, which follows a log without TensorBoard."""

from __future__ import annotations

import errno
import os
import socketserver
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref import simple_server

from werkzeug import wrappers

from keras_curvature_page.answers import answers
from keras_curvature_page.log import Log
from keras_curvature_page.series import Wanted

HOST = "127.0.0.1"
"""Nobody but this machine sees what is served."""

PORT = 6017

_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Curvature</title>
<script type="module" src="./static/view.js"></script>
</head>
<body></body>
</html>
"""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Followed:
    """A log that is read on whenever somebody asks what there is."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def told(self, environ: dict[str, Any]) -> dict[str, Any]:
        self._log.refresh()
        return {"kept": None, "series": self._log.index(), "broken": self._log.broken}

    def packets(self, environ: dict[str, Any], wanted: list[Wanted]) -> bytes:
        return self._log.packets(wanted)


def application(log: Log, port: int) -> Application:
    """What is served: the page's files by their full names, runs and packets, and nothing else.

    Args:
        log: what is shown.
        port: that it is served at. A request that was meant for another host or port is refused: a
            page of elsewhere may have let its own name stand for this machine.
    """
    apps = answers(_Followed(log))
    apps["/"] = wrappers.Response(_PAGE, mimetype="text/html")
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    @wrappers.Request.application  # type: ignore[untyped-decorator, unused-ignore]
    def serve(request: wrappers.Request) -> Any:
        if request.environ.get("HTTP_HOST") not in hosts:
            answer = _said("This server answers for this machine alone.", 403)
        elif request.method not in ("GET", "HEAD"):
            answer = _said("There is nothing here that could be changed.", 405)
        elif (app := apps.get(request.environ.get("PATH_INFO", ""))) is None:
            answer = _said("There is no such page.", 404)
        else:
            answer = wrappers.Response.from_app(app, request.environ)
        answer.headers.update(_HEADERS)
        return answer

    return serve


def _said(text: str, status: int) -> wrappers.Response:
    return wrappers.Response(text, status, mimetype="text/plain")


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal is the user's."""


def server(log_dir: str | os.PathLike[str], port: int = PORT) -> simple_server.WSGIServer:
    """A server of a log directory; `serve_forever` starts it, `server_port` is where.

    Args:
        log_dir: directory on this machine with logs of `CurvatureMonitor`, or where such a log is
            about to be written.
        port: where; 0 for any that is free.

    Raises:
        NotADirectoryError: where there is no such directory.
        OSError: if the port is in use, or not to be had.
    """
    log = Log(log_dir)
    try:
        made = simple_server.make_server(HOST, port, _unset, _Server, _Quiet)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OSError(f"`port` {port} cannot be opened: {error.strerror}.") from error
        raise OSError(
            f"`port` must be one that is free, and {port} is in use: choose another, or 0 for any."
        ) from error
    made.set_app(application(log, made.server_port))
    return made


def _unset(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    raise AssertionError("set as soon as the port is known")
