"""The files of the page, and all of its modules as one script that loads nothing."""

from __future__ import annotations

import functools
import posixpath
import re
from importlib import resources

_IMPORT = r'(?m)^import (.+?) from "(.+?)";$'
_EXPORT = r"(?m)^export (?=(?:async )?(?:function|class|const) (\w+))"
_DEFAULT = r"(?m)^export \{ (\w+) as default \};$"

KINDS = {"js": "text/javascript", "css": "text/css"}


@functools.cache
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


def text_of(name: str) -> str:
    """A file of the page by its path below `static`."""
    return static_files()[f"/static/{name}"][0].decode("utf-8")


@functools.cache
def one_script(first: str) -> str:
    """A module and all that it imports, each as a function that gives what the module exports.

    A page that is opened as a file, and a frame of a notebook, may not load modules. It knows the
    forms of import and export that the page has, and no others.

    Args:
        first: the name of the module that is run.

    Raises:
        ValueError: for a form that it does not know.
    """
    written: dict[str, str] = {}
    _write(first, written)
    return "(() => {\n" + "\n".join(written.values()) + "\n})();\n"


def _write(name: str, written: dict[str, str]) -> None:
    """Adds a module behind those that it imports."""
    if name in written:
        return
    text = text_of(name)

    def imported(found: re.Match[str]) -> str:
        other = posixpath.normpath(posixpath.join(posixpath.dirname(name), found[2]))
        _write(other, written)
        names = found[1] if found[1].startswith("{") else f"{{ default: {found[1]} }}"
        return f"const {names} = {_variable(other)};"

    body = re.sub(_IMPORT, imported, text)
    # The library exports one thing; what looks like another one there is in a comment.
    only = re.search(_DEFAULT, body)
    given = [f"default: {only[1]}"] if only else re.findall(_EXPORT, body)
    body = re.sub(_DEFAULT, "", re.sub(_EXPORT, "", body))
    left = re.search(r"^(?:import|export)\b.*|.*\bimport\.meta\b.*", body, re.MULTILINE)
    if left:
        raise ValueError(f"{name} has a line that cannot stand in one script: {left[0]}")
    value = f"const {_variable(name)} = " if given else ""
    written[name] = (
        f"// {name}\n{value}(() => {{\n{body}\nreturn {{ {', '.join(given)} }};\n}})();\n"
    )


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name)
