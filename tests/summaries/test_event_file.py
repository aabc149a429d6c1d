"""Event files that are torn, deleted or continued."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from keras_curvature.summaries.event_file import EventFile


def write(file, *steps):
    for step in steps:
        file.write(step, scalar_pb("a", float(step)))
    file.flush()


def read(directory):
    found = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    found.Reload()
    return [event.step for event in found.Tensors("a")] if found.Tags()["tensors"] else []


def files(directory):
    return sorted(directory.iterdir())


def test_whatever_is_torn_off_the_end_all_before_it_stays_readable(tmp_path):
    file = EventFile(str(tmp_path))
    write(file, 0, 1)
    (path,) = files(tmp_path)
    whole = path.stat().st_size
    write(file, 2)
    content = path.read_bytes()
    for size in range(whole, len(content)):
        path.write_bytes(content[:size])
        assert read(tmp_path) == [0, 1], size
    path.write_bytes(content)
    assert read(tmp_path) == [0, 1, 2]


def test_behind_a_torn_file_the_next_one_is_read_on(tmp_path):
    write(EventFile(str(tmp_path)), 0, 1, 2)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    write(EventFile(str(tmp_path)), 2, 3)
    assert read(tmp_path) == [0, 1, 2, 3]


def test_of_older_files_what_comes_again_is_forgotten(tmp_path):
    write(EventFile(str(tmp_path)), 0, 1, 2, 3)
    write(EventFile(str(tmp_path)), 2, 3, 4)
    assert read(tmp_path) == [0, 1, 2, 3, 4]


def test_many_files_made_at_once_are_read_in_their_order(tmp_path):
    for step in range(12):
        write(EventFile(str(tmp_path)), step)
    assert read(tmp_path) == list(range(12))


def test_a_deleted_file_is_noticed_and_made_anew(tmp_path):
    file = EventFile(str(tmp_path / "run"))
    write(file, 0)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no longer there"):
        write(file, 1)
    write(file, 2)
    assert read(tmp_path / "run") == [2]
    assert file.ended == 1


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "run").write_text("in the way")
    file = EventFile(str(tmp_path / "run"))
    with pytest.raises(OSError, match="could not be written"):
        write(file, 0)
    (tmp_path / "run").unlink()
    write(file, 1)
    assert read(tmp_path / "run") == [1]


@contextlib.contextmanager
def full_disk(room):
    """Files have room for so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 20])
def test_on_a_full_disk_it_raises_and_goes_on_in_a_new_file(tmp_path, room):
    file = EventFile(str(tmp_path))
    write(file, 0)
    (path,) = files(tmp_path)
    with full_disk(path.stat().st_size + room):
        with pytest.raises(OSError, match=r"could not be written: .*too large"):
            write(file, 1)
        assert read(tmp_path) == [0]
    write(file, 2, 3)
    file.close()
    assert read(tmp_path) == [0, 2, 3]
    assert len(files(tmp_path)) == 2


def test_a_full_disk_does_not_fill_with_empty_files(tmp_path):
    file = EventFile(str(tmp_path))
    for room in (0, 20, 60):
        with full_disk(room), pytest.raises(OSError, match="could not be written"):
            write(file, 0)
    assert files(tmp_path) == []


def test_what_tensorflow_reaches_is_written_there():
    """Its file system in memory stands for those of the net."""
    directory = "ram://run/curvature"
    file = EventFile(directory)
    write(file, 0, 1)
    assert read(directory) == [0, 1]
    tf.io.gfile.rmtree(directory)
    with pytest.raises(FileNotFoundError, match="no longer there"):
        write(file, 2)
    write(file, 2)
    write(EventFile(directory), 2, 3)
    assert read(directory) == [2, 3]


def test_nothing_written_makes_no_file(tmp_path):
    file = EventFile(str(tmp_path))
    file.flush()
    file.close()
    assert files(tmp_path) == []


def test_no_other_writer_takes_its_name(tmp_path):
    """TensorFlow's number their files too, and write over one that is there."""
    file = EventFile(str(tmp_path))
    file.write(0, Summary())
    (name,) = [path.name for path in tmp_path.iterdir()]
    file.close()
    for _ in range(3):
        tf.summary.create_file_writer(str(tmp_path)).close()
    others = {path.name for path in tmp_path.iterdir()} - {name}
    pattern = re.compile(r"events\.out\.tfevents\.\d+\..*\.\d+\.\d+\.v2")
    assert len(others) == 3
    assert all(pattern.fullmatch(other) for other in others)
    assert not pattern.fullmatch(name)
