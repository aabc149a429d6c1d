"""The page within a notebook: a frame of its own, which takes what is measured from then on."""

from __future__ import annotations

import functools
import html
import secrets
import time
from typing import Any

from keras_curvature_page.chunks import told_of
from keras_curvature_page.one_file import page, script_json
from keras_curvature_page.series import Series, Source

HEIGHT = 720
"""Pixels."""

PAUSE = 0.2
"""Seconds between two updates at least: what comes in between is sent with the next one."""

_FRAME = (
    '<iframe name="{name}" title="{title}" srcdoc="{page}" sandbox="allow-scripts allow-downloads" '
    'style="width: 100%; height: {height}px; border: 0" loading="eager"></iframe>'
)
"""Without `allow-same-origin`: the page reaches neither the notebook nor what it stores."""

_NEWS = """<script>(() => {{
const name = "{name}", told = {told};
const all = (window.kerasCurvature ??= {{}}), mine = (all[name] ??= []);
const frames = () => [...document.getElementsByName(name)].map((frame) => frame.contentWindow);
const send = (to, news) => to?.postMessage({{ kerasCurvature: news }}, "*");
if (!mine.length) window.addEventListener("message", ({{ data, source }}) => {{
  if (data === name + " ready" && frames().includes(source)) send(source, mine);
}});
mine.push(told);
frames().forEach((frame) => send(frame, [told]));
}})();</script>"""
"""Keeps what it sends, for frames that are shown later or once more."""


def frame(source: Source, title: str, name: str = "") -> str:
    """The page as HTML that may stand anywhere: it needs nothing and reaches nothing."""
    return _FRAME.format(
        name=html.escape(name),
        title=html.escape(title),
        page=html.escape(page(source, title)),
        height=HEIGHT,
    )


class Live:
    """A page in the output of a cell, which follows a training.

    Args:
        source: what there is to begin with.
        title: of the page.

    Raises:
        RuntimeError: outside of a notebook.
    """

    def __init__(self, source: Source, title: str) -> None:
        show = functools.partial(_display(), raw=True, display_id=True)
        self._title = title
        self._known: set[tuple[Series, int]] = set()
        self._sent = 0.0
        self._frame = show(self._html(self._page(source)))
        self._news = show(self._html(""))

    def update(self, source: Source) -> None:
        """Sends what is new, unless it did so a moment ago."""
        if time.monotonic() - self._sent < PAUSE:
            return
        told = script_json(told_of(source, known=self._known))
        self._learn(source)
        self._news.update(self._html(_NEWS.format(name=self._name, told=told)), raw=True)
        self._sent = time.monotonic()

    def forget_after(self, step: int) -> None:
        """Sends once more what comes after a backup from which the training goes on."""
        self._known = {(series, at) for series, at in self._known if at <= step}

    def end(self, source: Source) -> None:
        """Leaves a page that has all of it: what a saved notebook shows."""
        self._news.update(self._html(""), raw=True)
        self._frame.update(self._html(self._page(source)), raw=True)

    def _page(self, source: Source) -> str:
        """A frame of another name each time: what was sent to the one before it has already."""
        self._name = f"keras-curvature-{secrets.token_hex(8)}"
        self._learn(source)
        return frame(source, self._title, self._name)

    def _learn(self, source: Source) -> None:
        found = source.steps()
        self._known |= {(series, step) for series, steps in found.items() for step in steps}

    def _html(self, text: str) -> dict[str, str]:
        return {"text/html": text, "text/plain": self._title}


def _display() -> Any:
    """IPython's, where there is somebody to show it to."""
    try:
        from IPython import display, get_ipython
    except ImportError:
        shell = None
    else:
        shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        raise RuntimeError(
            "`show` needs a notebook, and this is none. Give a `log_dir` and call `keras-curvature "
            "view` with it, or `monitor.to_html(path)` after training."
        )
    return display.display
