from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from classrel_db.errors import SourceError
from classrel_db.records import Head
from classrel_db.sources.formats import torch_legacy

from ..conftest import C, D, build, shapes_of, single_line

if TYPE_CHECKING:
    from pathlib import Path

Read = Callable[..., Head]


class Sparse:
    """A file in which long runs of zeros take no room on the disk."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        if len(content) > 4096 and not any(content[:4096]):
            self._file.seek(len(content), io.SEEK_CUR)
        else:
            self._file.write(content)
        return len(content)

    def flush(self) -> None:
        self._file.truncate(self._file.tell())


def save(content: Any, path: Path) -> Path:
    """``content`` as torch before 1.6 wrote it."""
    with path.open("wb", buffering=0) as file:
        torch.save(content, Sparse(file), _use_new_zipfile_serialization=False)
    return path


def refused(read: Read, path: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match=pattern) as caught:
        read(path)
    assert single_line(str(caught.value))


@pytest.mark.parametrize(
    ("name", "key", "size"), [("vgg16", "classifier.6", 553e6), ("densenet201", "classifier", 81e6)]
)
def test_only_the_pickles_and_the_head_are_read(
    tmp_path: Path, read: Read, name: str, key: str, size: float
) -> None:
    _model, shapes = shapes_of(name)
    state = OrderedDict((key, torch.zeros(shape)) for key, shape in shapes.items())
    state[f"{key}.weight"] = torch.randn(shapes[f"{key}.weight"])
    state[f"{key}.bias"] = torch.randn(shapes[f"{key}.bias"])
    path = save(state, tmp_path / "m.pth")
    assert path.stat().st_size == pytest.approx(size, rel=0.02)
    head = read(path, labels="imagenet1k")
    assert torch.equal(torch.from_numpy(head.weight), state[f"{key}.weight"])
    assert torch.equal(torch.from_numpy(head.bias), state[f"{key}.bias"])
    weighs = 4 * (head.weight.size + head.bias.size)
    assert weighs <= head.bytes_read <= 1.05 * weighs + 1e6
    assert head.bytes_total == path.stat().st_size


def test_every_tensor_of_a_model_is_what_torch_loads(tmp_path: Path) -> None:
    from classrel_db.sources.counted import open_counted
    from classrel_db.sources.formats.torch_checkpoint import open_torch

    state = build("squeezenet1_1").state_dict()  # with _metadata, and strings in no order
    path = tmp_path / "m.pth"
    torch.save({"state_dict": state, "epoch": 3}, path, _use_new_zipfile_serialization=False)
    expected = torch.load(path, weights_only=True)["state_dict"]
    with open_counted(path) as file:
        checkpoint = open_torch(file, path)
        for key, tensor in expected.items():
            numbers = checkpoint.read(f"state_dict.{key}").numbers
            assert torch.equal(torch.from_numpy(numbers), tensor)


def test_pickles_longer_than_the_first_read(tmp_path: Path, read: Read) -> None:
    state = {f"layer{i}.parameter": torch.full((2,), i) for i in range(2000)}
    state["fc.weight"] = torch.randn(C, D)
    path = save(state, tmp_path / "m.pth")
    pickled = path.stat().st_size - 2000 * (8 + 16) - 8 - C * D * 4
    assert pickled > 3 * torch_legacy._FIRST_READ
    head = read(path)
    assert torch.equal(torch.from_numpy(head.weight), state["fc.weight"])


def test_a_checkpoint_of_50_gb_is_not_read_whole(tmp_path: Path, read: Read) -> None:
    path = save({"fc.weight": torch.randn(C, D), "x": torch.ones(3)}, tmp_path / "m.pth")
    content = path.read_bytes()
    count = 12 * 10**9
    # three ones become 48 GB of zeros: in the pickle as a LONG1, and before the numbers
    long = b"\x8a\x05" + count.to_bytes(5, "little")
    assert content.count(b"K\x03Nt") == 1
    content = content.replace(b"K\x03Nt", long + b"Nt")
    ones = struct.pack("<q3f", 3, 1, 1, 1)
    at = content.index(ones)
    pieces = content[:at], struct.pack("<q", count), content[at + len(ones) :]
    with path.open("wb") as file:
        file.write(pieces[0] + pieces[1])
        file.seek(4 * count, io.SEEK_CUR)
        file.write(pieces[2])
        file.truncate()
    head = read(path)
    assert head.bytes_total > 48e9
    assert head.bytes_read < 1e6
    assert head.weight.any(axis=1).all()
    os.truncate(path, 40 * 10**9)
    refused(read, path, "cut short: it has 40,000,000,000 bytes")


def test_a_storage_that_is_a_part_of_another_is_read_as_torch_does(
    tmp_path: Path, read: Read
) -> None:
    whole = torch.randn(2 * C * D)
    path = save({"fc.weight": whole[: C * D].view(C, D)}, tmp_path / "m.pth")
    # the entry that today's torch reads, and leaves empty: the part's key, its beginning and its length
    part = b"X\x04\x00\x00\x00part" + bytes([0x4B, C * D, 0x4B, C * D, 0x87])
    count = bytes([0x4B, 2 * C * D])
    content = path.read_bytes()
    assert content.count(count + b"Nt") == 1
    path.write_bytes(content.replace(count + b"Nt", count + part + b"t"))
    expected = torch.load(path, weights_only=True)["fc.weight"]
    assert torch.equal(expected, whole[C * D :].view(C, D))
    assert torch.equal(torch.from_numpy(read(path).weight), expected)
    too_long = part.replace(bytes([0x87]), b"").replace(bytes([0x4B, C * D]), b"K\x7f") + b"\x87"
    path.write_bytes(content.replace(count + b"Nt", count + too_long + b"t"))
    refused(read, path, "damaged")


def test_what_follows_the_last_storage_does_no_harm(
    tmp_path: Path, read: Read, linear: torch.nn.Linear
) -> None:
    path = save(linear.state_dict(), tmp_path / "m.pth")
    with path.open("ab") as file:
        torch.save({"other": torch.ones(3)}, file, _use_new_zipfile_serialization=False)
    assert torch.equal(torch.from_numpy(read(path).weight), linear.weight)


def parts(path: Path) -> tuple[list[Any], bytes, bytes]:
    """The three pickles before the object, the object's, and the numbers after the list of keys."""
    file = io.BytesIO(path.read_bytes())
    before = [pickle.load(file) for _ in range(3)]
    start = file.tell()
    keys_start = path.read_bytes().index(b"\x80\x02]", start)
    file.seek(keys_start)
    keys = pickle.load(file)
    return [*before, keys], path.read_bytes()[start:keys_start], file.read()


@pytest.mark.parametrize(
    ("place", "change", "pattern"),
    [
        (1, lambda _protocol: 1000, "damaged"),
        (2, lambda system: {**system, "little_endian": False}, "damaged"),
        (2, lambda _system: None, "damaged"),
        (3, lambda keys: keys[:1], "damaged"),
        (3, lambda keys: [*keys, "more"], "damaged"),
        (3, lambda keys: [keys[0]] * len(keys), "damaged"),
        (3, lambda keys: keys[::-1], "does not lie where the lengths before it put it"),
        (3, lambda _keys: 7, "damaged"),
        (3, lambda keys: [[key] for key in keys], "damaged"),
    ],
)
def test_pickles_that_prove_nothing_are_refused(
    tmp_path: Path,
    read: Read,
    linear: torch.nn.Linear,
    place: int,
    change: Callable[[Any], Any],
    pattern: str,
) -> None:
    path = save(linear.state_dict(), tmp_path / "m.pth")
    pickles, content, numbers = parts(path)
    assert len(pickles[3]) == 2
    pickles[place] = change(pickles[place])
    written = [pickle.dumps(value, 2) for value in pickles]
    path.write_bytes(b"".join([*written[:3], content, written[3], numbers]))
    refused(read, path, pattern)


def test_a_wrong_count_before_the_numbers_is_refused(
    tmp_path: Path, read: Read, linear: torch.nn.Linear
) -> None:
    path = save(linear.state_dict(), tmp_path / "m.pth")
    count = struct.pack("<q", C * D)
    assert path.read_bytes().count(count) == 1
    path.write_bytes(path.read_bytes().replace(count, struct.pack("<q", C * D + 1)))
    refused(read, path, "does not lie where")


def test_a_pickle_without_end_is_refused_in_bounded_memory(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_legacy, "LONGEST_PICKLE", 1 << 18)
    path = save({"fc.weight": torch.ones(C, D), "x": "y" * (1 << 20)}, tmp_path / "m.pth")
    refused(read, path, "262,144 bytes and more beside its tensors")


def test_half_numbers_saved_on_an_accelerator(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.randn(C, D).half()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        path = save({"module.fc.weight": torch.nn.Parameter(weight)}, tmp_path / "m.pth")
    assert b"cuda:0" in path.read_bytes()
    head = read(path)
    assert np.array_equal(head.weight, weight.float().numpy())
    assert head.dtype == "F16"
