"""The page of a whole log as a single file, which needs no server, network or library."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from keras_curvature_page.chunks import Told, told_of
from keras_curvature_page.log import Log
from keras_curvature_page.script import one_script, text_of
from keras_curvature_page.series import Source

LARGE = 3_000_000
"""Bytes from which on what is drawn is rounded, see `fixed_point`."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<noscript>This page draws its charts with JavaScript, which is switched off.</noscript>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""

_POLICY = (
    "default-src 'none'; script-src 'sha256-{sum}'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""What the browser lets the page do: run this one script, load nothing."""


def to_html(
    log_dir: str | os.PathLike[str], path: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """See `keras_curvature.to_html`."""

    def content() -> str:
        log = Log(log_dir)
        log.refresh()
        require_data(log, log_dir)
        text = page(log, f"Curvature: {os.path.basename(os.path.abspath(log_dir))}")
        warn_of(log)
        return text

    return write(content, path, force=force)


def warn_of(log: Log) -> None:
    """Warns of what of a log is broken, as far as it was read."""
    if log.broken:
        warnings.warn(
            "Parts of the log are broken; the rest is shown. " + "\n".join(log.broken),
            stacklevel=3,
        )


def require_data(log: Log, log_dir: object) -> None:
    """Raises `ValueError` for a log in which there is nothing to see."""
    if log.index():
        return
    if log.broken:
        raise ValueError(
            "`log_dir` must hold a run whose probe and steps can be read: there are broken records "
            f"and no whole run in it. {' '.join(log.broken)} Received: {str(log_dir)!r}."
        )
    found = "event files of others" if log.has_files else "no event files"
    raise ValueError(
        "`log_dir` must be a directory in which `CurvatureMonitor(..., log_dir=...)` has written: "
        f"there are {found} in it. Received: {str(log_dir)!r}."
    )


def page(source: Source, title: str) -> str:
    """The text of the file."""
    text = _filled(told_of(source), title)
    return text if len(text) <= LARGE else _filled(told_of(source, rounded=True), title)


def _filled(told: Told, title: str) -> str:
    script = one_script("embedded.js")
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return _PAGE.format(
        policy=_POLICY.format(sum=checksum),
        title=html.escape(title),
        style=text_of("uplot/uPlot.min.css") + text_of("style.css"),
        data=script_json(told),
        script=script,
    )


def script_json(told: object) -> str:
    """JSON that may stand within a script: whatever names there are, none ends it."""
    text = json.dumps(told, allow_nan=False, separators=(",", ":"))  # in ASCII
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write(content: Callable[[], str], path: str | os.PathLike[str], *, force: bool) -> Path:
    """Writes a file at once or not at all.

    Args:
        content: gives the text; called once it is known that the file may be written.
        path: of the file.
        force: write over a file that is there.
    """
    target = Path(_path(path))
    _require_free(target, force)
    text = content()
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise type(error)(f"{str(path)!r} cannot be written: {error}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # as any file that is made; a temporary one is private
        _require_free(target, force)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(name)
        raise
    return target


def _path(path: object) -> str:
    found = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if not isinstance(found, str) or not found.strip() or "\0" in found:
        raise ValueError(
            f"`path` must be the path of a file, for example 'report.html'. Received: {path!r}."
        )
    return found


def _require_free(target: Path, force: bool) -> None:
    if target.is_dir():
        raise IsADirectoryError(
            "`path` must be the path of a file, for example "
            f"{os.path.join(target, 'report.html')!r}. Received a directory: {str(target)!r}."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"`path` must be in a directory that is there: make {str(target.parent)!r} first. "
            f"Received: {str(target)!r}."
        )
    if os.path.lexists(target) and not force:
        raise FileExistsError(
            "`path` must be that of a new file: choose another, or write over it with "
            f"`force=True` (`--force`). Received: {str(target)!r}."
        )
