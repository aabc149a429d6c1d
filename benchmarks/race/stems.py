"""The parent's side of `worker`: starts processes, waits for them, and ends them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path

import psutil

from benchmarks.race.contenders import Contender
from benchmarks.race.protocol import READY, Request, Trial
from benchmarks.race.work import Work

POLL = 0.1
"""Seconds between looks at the memory of a worker that is still compiling."""

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # everyone on the processor
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",  # a first call has to compile
}


class NoResultError(Exception):
    """Why a contender has no result, in words for the report."""


@dataclass(frozen=True)
class Limits:
    """What one worker may take before its first result: seconds, and bytes."""

    seconds: float
    memory: int


class Worker:
    """A process that has done its work once and can do it again."""

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._process = psutil.Process(connection.recv())
        try:
            self.trial: Trial = self._first_result(limits)
        except BaseException:
            self.end()
            raise

    def times(self, calls: int) -> list[float]:
        """Seconds of some calls."""
        try:
            self._connection.send(calls)
            found: list[float] = self._connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise NoResultError("the process died while it was timed") from None
        return found

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        self._connection.close()
        for process in [*self._children(), self._process]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _children(self) -> list[psutil.Process]:
        """Of a compiler that forks."""
        try:
            children: list[psutil.Process] = self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return children

    def _first_result(self, limits: Limits) -> Trial:
        deadline = time.monotonic() + limits.seconds
        while not self._connection.poll(POLL):
            if time.monotonic() > deadline:
                raise NoResultError(f"no result within {limits.seconds:.0f} s")
            if self._resident() > limits.memory:
                raise NoResultError(f"takes more than {limits.memory / 2**30:.0f} GiB")
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise NoResultError("the process died") from None
        if isinstance(answer, str):
            raise NoResultError(answer)
        return answer

    def _resident(self) -> int:
        try:
            return int(self._process.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0


class Stems:
    """One process per module: it imports the framework, and is forked for each worker."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._stems: dict[str, subprocess.Popen[str]] = {}
        self._temporary = tempfile.TemporaryDirectory(prefix="benchmarks-")
        self.folder = Path(self._temporary.name)

    def __enter__(self) -> Stems:
        return self

    def __exit__(self, *_: object) -> None:
        for stem in self._stems.values():
            assert stem.stdin is not None
            stem.stdin.close()  # at the end of its input it ends
            stem.wait()
        self._temporary.cleanup()

    def worker(self, work: Work, contender: Contender, truth: Path | None) -> Worker:
        """A fresh process that has done `work` once.

        Raises:
            NoResultError: if it cannot.
        """
        stem = self._stem(contender.module)
        address, log = str(self.folder / "socket"), str(self._log(contender.module))
        request = Request(address, work, contender, truth and str(truth), log)
        with Listener(address, "AF_UNIX") as listener:
            assert stem.stdin is not None
            stem.stdin.write(request.line())
            stem.stdin.flush()
            return Worker(listener.accept(), self._limits)

    def _stem(self, module: str) -> subprocess.Popen[str]:
        if module not in self._stems:
            self._stems[module] = self._start(module)
        stem = self._stems[module]
        if stem.poll() is not None:
            said = [line for line in self._log(module).read_text().splitlines() if line]
            raise NoResultError(said[-1] if said else "could not be imported")
        return stem

    def _start(self, module: str) -> subprocess.Popen[str]:
        with self._log(module).open("a") as log:
            stem = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.race.worker", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | ENVIRONMENT | {"TMPDIR": str(self.folder)},
            )
        assert stem.stdout is not None
        if READY not in map(str.strip, stem.stdout):  # a framework may greet first
            stem.wait()
        return stem

    def _log(self, module: str) -> Path:
        return self.folder / f"{module}.log"
