"""Starts the command, or says what is missing for it."""

from __future__ import annotations

import os
import sys

MISSING = (
    "The command keras-curvature needs the package {name!r}, which is not installed. "
    "Install the extra: pip install 'keras-curvature[cli]'"
)


def main() -> None:
    """Runs the command with the arguments of the process."""
    # Before TensorFlow is imported: its start-up messages are not what was asked for. Which backend
    # computes Keras's configuration says.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit(MISSING.format(name=error.name))
    from keras_curvature_cli.app import app

    app(prog_name="keras-curvature")


if __name__ == "__main__":
    main()
