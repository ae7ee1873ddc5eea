from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from classrel_db.errors import HeadError, LabelError, SourceError
from classrel_db.records import Head

from ..conftest import C, D

if TYPE_CHECKING:
    from pathlib import Path

Read = Callable[..., Head]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_supported_format_comes_out_as_float32(
    tmp_path: Path, read: Read, linear: torch.nn.Linear, dtype: torch.dtype
) -> None:
    stored = {key: tensor.to(dtype) for key, tensor in linear.state_dict().items()}
    save_file({f"fc.{key}": tensor for key, tensor in stored.items()}, tmp_path / "m.safetensors")
    head = read(tmp_path / "m.safetensors")
    assert head.weight.dtype == np.float32
    assert torch.equal(torch.from_numpy(head.weight), stored["weight"].float())
    assert torch.equal(torch.from_numpy(head.bias), stored["bias"].float())
    assert (head.source, head.head_key) == ("file", "fc.weight")
    assert head.uri == str(tmp_path / "m.safetensors")


def test_reads_the_header_and_the_head_to_the_byte(
    tmp_path: Path, read: Read, linear: torch.nn.Linear
) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {"body.weight": torch.zeros(999, 99)}
    tensors |= {f"fc.{key}": tensor for key, tensor in linear.state_dict().items()}
    save_file(tensors, path)
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    head = read(path)
    assert head.bytes_read == header + (C * D + C) * 4
    assert head.bytes_total == path.stat().st_size


def test_a_head_without_bias_and_a_named_head(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a.weight": torch.ones(C, D), "b.weight": torch.zeros(C, D)}, path)
    with pytest.raises(HeadError, match="--head"):
        read(path)
    assert read(path, head="b").head_key == "b.weight"
    assert read(path, head="a").bias is None
    assert not read(path, head="b").weight.any()


def test_a_1x1_convolution_is_read_as_a_matrix(tmp_path: Path, read: Read) -> None:
    weight = torch.randn(C, D, 1, 1)
    save_file({"conv.weight": weight}, tmp_path / "m.safetensors")
    assert np.array_equal(read(tmp_path / "m.safetensors").weight, weight[:, :, 0, 0].numpy())


def test_metadata_is_no_tensor(tmp_path: Path, read: Read) -> None:
    save_file({"fc.weight": torch.ones(C, D)}, tmp_path / "m.safetensors", metadata={"a": "b"})
    assert read(tmp_path / "m.safetensors").weight.shape == (C, D)


def test_labels_for_another_number_of_rows_are_refused(
    tmp_path: Path, read: Read, labels: Path
) -> None:
    save_file({"fc.weight": torch.ones(C + 1, D)}, tmp_path / "m.safetensors")
    for head in (None, "fc"):
        with pytest.raises(LabelError, match=r'5 labels .*for the 6 rows of "fc.weight"'):
            read(tmp_path / "m.safetensors", head=head)


@pytest.mark.parametrize(
    ("dtype", "name"), [(torch.int16, "I16"), (torch.complex64, "C64"), (torch.bool, "BOOL")]
)
def test_other_formats_are_refused_by_name(
    tmp_path: Path, read: Read, dtype: torch.dtype, name: str
) -> None:
    save_file({"fc.weight": torch.ones(C, D).to(dtype)}, tmp_path / "m.safetensors")
    with pytest.raises(SourceError, match=f'stored as "{name}".*F64, F32, F16, BF16'):
        read(tmp_path / "m.safetensors")


def test_other_formats_elsewhere_in_the_file_do_no_harm(tmp_path: Path, read: Read) -> None:
    tensors = {"fc.weight": torch.ones(C, D), "x": torch.ones(3, dtype=torch.int64)}
    save_file(tensors, tmp_path / "m.safetensors")
    assert read(tmp_path / "m.safetensors").weight.all()


def entry(dtype: object = "F32", shape: object = (C, D), offsets: object = (0, C * D * 4)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def file_of(header: bytes, data: bytes = bytes(C * D * 4), length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"1234567", "7 bytes, less than a header"),
        (b"PK\x03\x04" + b"\xff" * 99, "its header would have"),
        (file_of(b"{}", length=5_000), "cut short: .* asks for 5,008"),
        (file_of(b"{nope}"), "not JSON"),
        (file_of(b'{"\xff":1}'), "not JSON"),
        (file_of(b"[" * 100_000), "not JSON"),
        (file_of(b"[1]"), "not a JSON object"),
        (file_of(b'{"fc.weight": 3}'), "describes .* in no known way"),
        (file_of(json.dumps({"w": {"dtype": "F32"}}).encode()), "no known way"),
        (file_of(json.dumps({"w": entry(dtype=3)}).encode()), "no known way"),
        (file_of(json.dumps({"w": entry(shape=[C, -D])}).encode()), "no known way"),
        (file_of(json.dumps({"w": entry(shape=[C, "7"])}).encode()), "no known way"),
        (file_of(json.dumps({"w": entry(shape=[C, True])}).encode()), "no known way"),
        (file_of(json.dumps({"w": entry(offsets=[0])}).encode()), "no known way"),
        (file_of(json.dumps({"w": entry(offsets=[-4, 136])}).encode()), "from byte -4"),
        (file_of(json.dumps({"w": entry(offsets=[140, 0])}).encode()), "from byte 140 to byte 0"),
        (file_of(json.dumps({"w": entry(offsets=[0, 136])}).encode()), "136 bytes for 5×7 F32"),
        (file_of(json.dumps({"w": entry()}).encode(), data=bytes(99)), "cut short"),
        (file_of(json.dumps({"w": entry("I16", [9, 9], [0, 900])}).encode()), "cut short"),
        (file_of(b"{}"), "no 2-D tensor"),
    ],
)
def test_a_wrong_header_is_refused(
    tmp_path: Path, read: Read, content: bytes, pattern: str
) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(SourceError, match=pattern):
        read(tmp_path / "m.safetensors")


def test_a_head_beyond_memory_is_refused_before_it_is_read(tmp_path: Path, read: Read) -> None:
    width = 300_000_000
    header = json.dumps({"fc.weight": entry(shape=(C, width), offsets=(0, C * width * 4))}).encode()
    (tmp_path / "m.safetensors").write_bytes(file_of(header, b""))
    os.truncate(tmp_path / "m.safetensors", 8 + len(header) + C * width * 4)  # takes no room
    with pytest.raises(SourceError, match=r"does not fit in memory: it would take 6\.0 GB"):
        read(tmp_path / "m.safetensors")


def test_gaps_between_tensors_are_allowed(tmp_path: Path, read: Read) -> None:
    numbers = np.arange(C * D, dtype="<f4").reshape(C, D)
    header = json.dumps({"fc.weight": entry(offsets=[8, 8 + C * D * 4])}).encode()
    (tmp_path / "m.safetensors").write_bytes(file_of(header, bytes(8) + numbers.tobytes()))
    assert np.array_equal(read(tmp_path / "m.safetensors").weight, numbers)


def test_a_float64_beyond_float32_becomes_infinite_without_a_warning(
    tmp_path: Path, read: Read
) -> None:
    weight = torch.full((C, D), 1e300, dtype=torch.float64)
    save_file({"fc.weight": weight}, tmp_path / "m.safetensors")
    assert np.isinf(read(tmp_path / "m.safetensors").weight).all()
