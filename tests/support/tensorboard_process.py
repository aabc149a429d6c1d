"""A TensorBoard in a process of its own, once it has read its logs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PATIENCE = 60.0  # seconds until TensorBoard has started and read its directory


@contextlib.contextmanager
def tensorboard(logdir, *flags, command=("-m", "tensorboard.main"), runs=1):
    """A TensorBoard that has read `runs` runs; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        [sys.executable, *command, *arguments, "--reload_interval", "1", *flags],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/data/runs", runs, process)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(address, runs, process):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(address).read().count(b'"') >= 2 * runs:
                return
        time.sleep(0.2)
    raise RuntimeError(f"TensorBoard has not read {runs} run(s) in {PATIENCE:.0f} s.")
