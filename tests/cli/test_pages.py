"""`runs`, `export` and `view` as a user meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

import keras_curvature_cli
from closed_forms import parabola, report
from keras_curvature.summaries.run_writer import RunWriter
from keras_curvature_cli.app import app


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in ("a", "b"):
        writer = RunWriter(tmp_path / "logs" / run)
        for step in range(3):
            writer.write_tab(report({"x": 1.0}, step=step), parabola(20))
        writer.close()
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.html").write_text("mine")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_export_writes_one_file_and_says_how_large_it_is(logs):
    result = run("export", "logs", "report.html")
    assert (result.exit_code, result.output) == (0, "report.html: 0.3 MB\n")
    text = (logs / "report.html").read_text(encoding="utf-8")
    assert '"a/curvature"' in text
    assert '"b/curvature"' in text
    assert run("export", "logs", "there.html", "--force").exit_code == 0
    assert (logs / "there.html").read_text(encoding="utf-8") == text


def test_runs_side_by_side(logs):
    (logs / "logs" / "\x1b[31mc").mkdir()
    for step in range(2):
        writer = RunWriter(logs / "logs" / "\x1b[31mc")
        writer.write_tab(report({"x": 1.0}, step=step), parabola(20))
        writer.close()
    result = run("runs", "logs")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()[-4:-1]]
    assert [line[:2] for line in lines] == [["[31mc", "1"], ["a", "2"], ["b", "2"]]
    last = report({"x": 1.0}, step=2)
    assert all(last.verdict.kind in " ".join(line) for line in lines)
    data = json.loads(run("runs", "logs", "--json").output)["runs"]
    assert [row["step"] for row in data] == [1, 2, 2]
    assert data[1]["verdict"] == {"kind": last.verdict.kind, "sentence": last.verdict.sentence}
    numbers = data[1]["numbers"]
    assert {"mean", "rms", "slope_change"} <= numbers.keys()
    assert numbers.items() >= {name: last.headline[name] for name in ("mean", "rms")}.items()


MISTAKES = {
    "a file that is there": (
        ["export", "logs", "there.html"],
        "(`--force`). Received: 'there.html'",
    ),
    "a folder without data": (["export", "empty", "r.html"], "there are no event files in it"),
    "no folder": (["export", "none", "r.html"], "this one is not there. Received: 'none'"),
    "no folder for it": (["export", "logs", "none/r.html"], "make 'none' first"),
    "a folder": (["export", "logs", "empty"], "Received a directory: 'empty'"),
    "nothing to view": (["view", "none"], "this one is not there. Received: 'none'"),
    "no runs": (["runs", "empty"], "there are no event files in it"),
    "no port": (["view", "logs", "--port", "99999"], "less than or equal to 65535"),
}


@pytest.mark.parametrize(("arguments", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_and_nothing_is_lost(logs, arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert said in re.sub(r"[\s│]+", " ", result.output)
    assert "Traceback" not in result.output
    assert (logs / "there.html").read_text() == "mine"
    assert not (logs / "r.html").exists()


def test_a_port_in_use_is_named(logs):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("view", "logs", "--port", port)
    assert result.exit_code == 2
    assert f"{port} is in use: choose another" in result.output


def test_view_serves_until_it_is_interrupted(logs):
    source = str(Path(keras_curvature_cli.__file__).parents[1])
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored behind `nohup`
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "keras_curvature_cli", "view", "logs", "--port", "0"],
        cwd=logs, env={**os.environ, "PYTHONPATH": source}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        assert b"b/curvature" in urllib.request.urlopen(f"{address}/runs").read()
        elsewhere = urllib.request.Request(f"{address}/runs", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(elsewhere)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    finally:
        signal.signal(signal.SIGINT, usual)
        process.kill()
        process.wait()
