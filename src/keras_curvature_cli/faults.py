"""What can go wrong on the command line, and with which exit code it ends."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator

import typer

FOUND = 1
"""What was asked for was done, and something is wrong with the model."""

UNUSABLE = 2
"""The arguments or files cannot be used; the same code as for a mistake in the options."""

FAILED = 3
"""The files are fine, and yet it could not be computed."""

STILL_OPEN = 3
"""Of a proof: neither proved nor refuted, in the time that there was."""


class UnusableError(Exception):
    """A file or an option that cannot be used; the message says which, and what to do."""


@contextlib.contextmanager
def told(debug: bool, failed: int = FAILED) -> Iterator[None]:
    """Turns errors into a message and an exit code, `failed` for what could not be computed."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = _code(error, failed)
        text = str(error) if code == UNUSABLE else f"{type(error).__name__}: {error}"
        typer.echo(f"Error: {text}", err=True)
        sys.stdout.flush()
        raise typer.Exit(code) from error


def _code(error: Exception, failed: int) -> int:
    """What the library says of its arguments is about the files and the options."""
    if isinstance(error, UnusableError):
        return UNUSABLE
    if type(error).__name__ == "NotDifferentiableError":  # a ValueError about the model itself
        return failed
    return UNUSABLE if isinstance(error, (ValueError, TypeError, OSError)) else failed
