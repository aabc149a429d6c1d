"""Runs Python on the arguments behind a package's name, where that package is installed.

python tools/when_installed.py jax -m pytest tests/backends tests/jax
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys


def main() -> int:
    """The exit code of what was run; 0 where nothing was."""
    package, *arguments = sys.argv[1:]
    if importlib.util.find_spec(package) is None:
        print(f"{package} is not installed: left out: {' '.join(arguments)}")
        return 0
    return subprocess.run([sys.executable, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
