"""What can go wrong on the command line, and with which exit code it ends."""

from __future__ import annotations

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
