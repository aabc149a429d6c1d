"""The name that a wrong one was probably meant for."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def closest(name: str, known: Collection[str]) -> str | None:
    """The name that is nearly this one, letters in another order included.

    Example:
        >>> closest("convx", ["convex", "concave"]), closest("flat", ["convex", "concave"])
        ('convex', None)
    """
    same = [one for one in known if sorted(one) == sorted(name)]
    return next(iter(same or difflib.get_close_matches(name, known, 1, 0.8)), None)
