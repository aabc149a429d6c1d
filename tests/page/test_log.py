"""A log directory as TensorBoard reads it, without its readers."""

import shutil
import subprocess
import sys

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from closed_forms import parabola, report
from keras_curvature.summaries.event_file import EventFile
from keras_curvature.summaries.run_writer import RunWriter, scalar
from keras_curvature_page import records
from keras_curvature_page.chunks import told_of
from keras_curvature_page.log import Log
from keras_curvature_page.packets import unpack
from keras_curvature_page.series import Series
from served import ROOT, served

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def write(logdir, steps=(0, 1, 2), output="", name="curvature"):
    writer = RunWriter(logdir, name)
    for step in steps:
        writer.write_tab(report({"x": 1.0}, step=step, output=output), parabola(20))
    writer.close()


def log_of(logdir):
    found = Log(logdir)
    found.refresh()
    return found


def steps_of(log, run="curvature"):
    return [
        step
        for series, steps in log.steps().items()
        if (series.kind, series.run.split("/")[-1]) == ("steps", run)
        for step in steps
    ]


def many(logdir):
    write(logdir / "one", range(6))
    write(logdir / "one", (3,))  # resumed from a backup: 4 and 5 are forgotten
    write(logdir / "one", (6,), output="a/b <i>")
    write(logdir / "deep" / "er", (3,), name="wide")
    write(logdir / HOSTILE, (0,))
    (logdir / "empty").mkdir()
    (logdir / "one" / "notes.txt").write_text("nothing")


def test_it_finds_what_tensorboard_finds(tmp_path):
    many(tmp_path)
    client, log = served(tmp_path), log_of(tmp_path)
    assert log.index() == client.get(f"{ROOT}/runs").json["series"]
    for listed in log.index():
        query = {"run": listed["run"], "tag": listed["tag"], "steps": listed["steps"]}
        asked = query | {"steps": ",".join(map(str, listed["steps"]))}
        expected = client.get(f"{ROOT}/packets", query_string=asked).data
        assert log.packets([(listed["run"], listed["tag"], listed["steps"])]) == expected


def test_a_log_that_is_cut_off_anywhere_is_read_so_far_and_then_on(tmp_path):
    write(tmp_path / "whole")
    (path,) = (tmp_path / "whole" / "curvature").glob("*tfevents*")
    content = path.read_bytes()
    cut = tmp_path / "cut" / "curvature"
    cut.mkdir(parents=True)
    log, seen = Log(cut), []
    for length in [*range(0, len(content), 97), len(content)]:
        (cut / path.name).write_bytes(content[:length])
        log.refresh()
        seen.append(steps_of(log))
    assert [s for i, s in enumerate(seen) if s != seen[i - 1]] == [[], [0], [0, 1], [0, 1, 2]]


def event_file(logdir, run="curvature"):
    (path,) = (logdir / run).glob("*tfevents*")
    return path


def places(path):
    """Where the records begin."""
    return [begun for begun, _, _ in records.read(path)]


def damage(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_damaged_record_is_left_out_and_no_other(tmp_path):
    """Wherever a bit is turned: in the length, in its checksum, in the data, in theirs."""
    write(tmp_path, (0, 1, 2))
    path = event_file(tmp_path)
    whole, begun = path.read_bytes(), places(path)
    start, end = begun[-2:]  # step 1 and step 2
    number = len(begun) - 1
    for place in (
        start,
        start + 3,
        start + 7,
        start + 8,
        start + 12,
        start + 700,
        end - 4,
        end - 1,
    ):
        path.write_bytes(whole)
        damage(path, place)
        log = log_of(tmp_path)
        assert steps_of(log) == [0, 2], place
        (said,) = log.broken
        assert f"record {number}, at byte {start}" in said
        assert path.name in said
        assert "checksum" in said


def test_what_is_behind_a_damaged_record_and_written_later_is_read(tmp_path):
    write(tmp_path, (0, 1, 2))
    path = event_file(tmp_path)
    damage(path, path.stat().st_size - 100)  # in the last record
    log = log_of(tmp_path)
    assert (steps_of(log), len(log.broken)) == ([0, 1], 1)
    write(tmp_path, (3,))  # in another file
    log.refresh()
    assert (steps_of(log), len(log.broken)) == ([0, 1, 3], 1)
    (first, *_) = sorted((tmp_path / "curvature").glob("*tfevents*"))
    damage(first, first.stat().st_size - 100)  # whole again
    log.refresh()
    assert (sorted(steps_of(log)), log.broken) == ([0, 1, 2, 3], [])


def test_a_file_that_ends_in_rubbish_is_read_so_far(tmp_path):
    write(tmp_path, (0, 1))
    path = event_file(tmp_path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + bytes(range(1, 256)) * 9)
    log = log_of(tmp_path)
    assert steps_of(log) == [0, 1]
    (said,) = log.broken
    assert f"at byte {size}" in said
    assert f"{255 * 9} bytes" in said


HOLLOW = {
    "nothing": (b"", "holds no event"),
    "rubbish": (b"\xff" * 40, "holds no event"),
    "a step without a summary": (Event(step=3).SerializeToString(), "holds no event"),
}


@pytest.mark.parametrize(("data", "words"), HOLLOW.values(), ids=HOLLOW)
def test_a_record_that_holds_nothing_is_told_of(tmp_path, data, words):
    write(tmp_path, (0, 1))
    path = event_file(tmp_path)
    cut = places(path)[-1]
    content = path.read_bytes()
    path.write_bytes(content[:cut] + records.record(data) + content[cut:])
    log = log_of(tmp_path)
    assert steps_of(log) == [0, 1]
    (said,) = log.broken
    assert f"at byte {cut}: " in said
    assert words in said


@pytest.mark.parametrize("packet", [b"", b"KCV1", b"rubbish" * 9])
def test_an_event_without_a_packet_is_told_of(tmp_path, packet):
    """Empty or garbage where what the diagnosis says should be."""
    write(tmp_path, (0, 1))
    path = event_file(tmp_path)
    writer = RunWriter(tmp_path, "other")
    value = writer._blob("", "diagnosis", packet)
    writer.close()
    event = Event(step=0, summary=Summary(value=[value]))
    cut = path.stat().st_size
    path.write_bytes(path.read_bytes() + records.record(event.SerializeToString()))
    log = log_of(tmp_path)
    found = told_of(log)
    (said,) = found["broken"]
    assert f"at byte {cut}: it holds no packet" in said
    assert sorted(step for chunk in found["chunks"] for step in chunk["steps"]) == [0, 0, 1]


def test_what_is_written_later_deleted_and_written_anew_is_followed(tmp_path):
    write(tmp_path / "a", (0, 1))
    log = log_of(tmp_path)
    write(tmp_path / "a", (2,))
    write(tmp_path / "b", (0,))
    log.refresh()
    assert {s.run for s in log.steps()} == {"a/curvature", "b/curvature"}
    assert steps_of(log) == [0, 1, 2, 0]
    shutil.rmtree(tmp_path / "a")
    log.refresh()
    assert {s.run for s in log.steps()} == {"b/curvature"}
    write(tmp_path / "a", (7,))
    log.refresh()
    assert steps_of(log) == [7, 0]


def test_a_packet_that_is_gone_is_empty(tmp_path):
    write(tmp_path, (0,))
    log = log_of(tmp_path)
    series = Series("curvature", "curvature", "", "steps")
    assert unpack(log.packet(series, 0))[0]["step"] == 0
    shutil.rmtree(tmp_path / "curvature")
    assert log.packet(series, 0) == b""
    with pytest.raises(KeyError):
        log.packet(series, 9)


def test_a_link_to_a_folder_is_a_run_and_a_circle_is_none(tmp_path):
    write(tmp_path / "elsewhere", (0,))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "logs" / "circle").symlink_to(tmp_path / "logs")
    assert {s.run for s in log_of(tmp_path / "logs").steps()} == {"linked/curvature"}


def test_a_run_that_is_given_itself_has_the_name_of_its_folder(tmp_path):
    write(tmp_path / "run1", (0,))
    found = {s.run for s in log_of(tmp_path / "run1" / "curvature").steps()}
    assert found == {"run1/curvature"}


WRONG = {
    "nothing": ("", ValueError, "must be the path"),
    "None": (None, ValueError, "Received: None"),
    "a number": (3, ValueError, "must be the path"),
    "bytes": (b"logs", ValueError, "must be the path"),
    "NUL": ("a\0b", ValueError, "must be the path"),
    "far away": ("gs://bucket/logs", ValueError, "copy the log here first"),
    "not there": ("no such folder", NotADirectoryError, "is not there"),
    "a file": (__file__, NotADirectoryError, "is a file"),
}


@pytest.mark.parametrize(("given", "error", "said"), WRONG.values(), ids=WRONG)
def test_what_is_no_directory_is_said(given, error, said):
    with pytest.raises(error, match=said):
        Log(given)


def test_event_files_of_others_are_left_alone(tmp_path):
    file = EventFile(str(tmp_path))
    file.write(0, scalar("loss", 1.0, None))
    file.close()
    (tmp_path / "tfevents.rubbish").write_bytes(b"\0" * 64)
    log = log_of(tmp_path)
    assert (log.index(), log.has_files) == ([], True)


def test_neither_keras_nor_a_backend_is_needed(tmp_path):
    write(tmp_path / "logs", (0,))
    script = (
        "import sys\nfrom keras_curvature_page import one_file, server\n"
        "one_file.to_html('logs', 'report.html')\n"
        "server.server('logs', 0).server_close()\n"
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "report.html").stat().st_size > 100_000
