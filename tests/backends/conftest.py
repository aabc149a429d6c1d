"""These tests run in a process of their own, on one of Keras's other backends: see `make test`."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

OTHER = os.environ.get("TEST_BACKEND") in ("jax", "torch")
collect_ignore_glob = [] if OTHER else ["test_*.py"]

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="session")
def truths(request, tmp_path_factory):
    """By a case's id its weights and true derivatives, from a process with TensorFlow."""
    from cases import Case  # Imported here: it imports Keras.

    asked = (
        item.callspec.params.get("case")
        for item in request.session.items
        if hasattr(item, "callspec")
    )
    wanted = {case.id for case in asked if isinstance(case, Case)}
    path = tmp_path_factory.mktemp("truths") / "truths.pickle"
    subprocess.run(
        [sys.executable, SUPPORT / "truths.py", path, *sorted(wanted)],
        check=True,
        env={
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    )
    return pickle.loads(path.read_bytes())
