"""Arrays on the disk: their content is theirs alone, nothing of them is left, a full disk is an error."""

from __future__ import annotations

import errno
import os
import resource

import numpy as np
import pytest

from classrel_db import scratch
from classrel_db.errors import ArgumentError
from classrel_db.scratch import release, scratch_array


def test_an_array_holds_what_is_put_into_it_and_leaves_no_file(tmp_path):
    array = scratch_array((300, 7), "<f4", tmp_path)
    assert array.shape == (300, 7)
    assert not array.any()
    wanted = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    array[:] = wanted
    release(array, array.reshape(7, 300), array[3:9], None, np.ones(3))
    assert np.array_equal(array, wanted)
    assert list(tmp_path.iterdir()) == []


def test_what_is_released_takes_no_memory(tmp_path):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    array = scratch_array((64 << 20,), "u1", tmp_path)
    array[:] = 1
    before = resident()
    release(array[1:].reshape(-1, 3)[1:])  # a part of a part gives back the whole
    assert before - resident() > 50 << 20
    assert (array == 1).all()


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ArgumentError, match=r"no room for 4\.0 GB .*elsewhere"):
        scratch_array((1_000_000_000,), "<f4", tmp_path)
    with pytest.raises(ArgumentError, match="TMPDIR"):
        scratch_array((10,), "<f4", None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArgumentError, match="nowhere"):
        scratch_array((10,), "<f4", tmp_path / "nowhere")


def test_a_file_system_without_room_is_found_before_anything_is_written(tmp_path):
    """Really asked of the system: more than any disk has."""
    with pytest.raises(ArgumentError, match="no room"):
        scratch_array((1 << 60,), "u1", tmp_path)
    assert scratch.LARGE > 0
