#!/usr/bin/env bash
# TensorBoard: ten losses in a folder, and then, by a second training into the same folder, five from step 0 on, read by the
# server's two readers: the fast one that it starts with, and that of `--load_fast=false`, as `EventAccumulator`.
#
# Guess before it was run: the same points by both.
# Seen: the slow one shows all fifteen, a line that runs back. The fast one drops every point whose step is not below that
# of a later one: five are left, and steps 5 to 9 of the first training are gone from the page, without a word. Of several
# values at one step it shows the last, the slow one all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    "setuptools<81" numpy==2.4.6 tensorboard==2.21.0 tensorboard-data-server==0.7.2
"$folder/bin/python" - "$folder/logs" <<'PYTHON'
import json
import socket
import subprocess
import sys
import time
import urllib.request

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

print("tensorboard", tensorboard.__version__)
logs = sys.argv[1]


def write(run, points, begun):
    writer = EventFileWriter(f"{logs}/{run}")
    for i, (step, value) in enumerate(points):
        summary = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
        writer.add_event(Event(wall_time=begun + i, step=step, summary=summary))
    writer.close()


write("twice", [(step, 1.0) for step in range(10)], 1000.0)
time.sleep(2)  # the name of the next file has the second
write("twice", [(step, 2.0) for step in range(5)], 2000.0)
write("one step", [(5, 1.0), (5, 2.0), (5, 3.0)], 1000.0)


def served(*options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/data/plugin/scalars"
    try:
        for _ in range(240):
            time.sleep(0.5)
            try:
                if len(json.load(urllib.request.urlopen(f"{address}/tags"))) == 2:
                    break
            except OSError:
                pass
        time.sleep(2)
        found = {}
        for run in ("twice", "one step"):
            query = f"{address}/scalars?run={run.replace(' ', '%20')}&tag=loss"
            found[run] = [(step, value) for _, step, value in json.load(urllib.request.urlopen(query))]
        return found
    finally:
        server.terminate()
        server.wait()


fast, slow = served("--load_fast=true"), served("--load_fast=false")
for run in fast:
    print(f"{run}: fast {fast[run]}")
    print(f"{run}: slow {slow[run]}")
accumulator = EventAccumulator(f"{logs}/twice").Reload()
assert [(e.step, e.value) for e in accumulator.Scalars("loss")] == slow["twice"]
assert len(slow["twice"]) == 15
assert fast["twice"] == [(step, 2.0) for step in range(5)]
assert fast["one step"] == [(5, 3.0)]
assert len(slow["one step"]) == 3
PYTHON
