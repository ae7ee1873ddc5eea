from __future__ import annotations

import contextlib
import os
import pickle
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from classrel_db.errors import ClassrelError, HeadError, SourceError
from classrel_db.records import Head, LoadOptions
from classrel_db.sources import load, locate
from classrel_db.sources.counted import open_counted
from classrel_db.sources.formats.torch_checkpoint import open_torch

from ..conftest import C, D, build, single_line

Read = Callable[..., Head]

FORMATS = [
    pytest.param({}, id="zip"),
    pytest.param({"_use_new_zipfile_serialization": False}, id="legacy"),
]

# the tensors of the head in each architecture, from torchvision's source code
SAVED = {
    "resnet18": ("fc.weight", "fc.bias"),
    "squeezenet1_1": ("classifier.1.weight", "classifier.1.bias"),
    "densenet121": ("classifier.weight", "classifier.bias"),
    "vit_b_16": ("heads.head.weight", "heads.head.bias"),
    "maxvit_t": ("classifier.5.weight", None),
    "mobilenet_v3_small": ("classifier.3.weight", "classifier.3.bias"),
}


@pytest.fixture(params=FORMATS)
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        torch.save(content, tmp_path / "m.pth", **request.param)
        return tmp_path / "m.pth"

    return write


Save = Callable[[Any], Path]


def refused(read: Read, path: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match=pattern) as caught:
        read(path)
    assert single_line(str(caught.value))
    assert path.name in str(caught.value)


@pytest.mark.parametrize("name", SAVED)
def test_the_head_of_a_saved_model_is_bit_identical_in_both_formats(
    tmp_path: Path, read: Read, name: str
) -> None:
    state = build(name).state_dict()
    weight, bias = SAVED[name]
    for param in FORMATS:
        path = tmp_path / "m.pth"
        torch.save(state, path, **param.values[0])
        head = read(path, labels="imagenet1k")
        assert head.head_key == weight
        assert torch.equal(torch.from_numpy(head.weight), state[weight].flatten(1))
        assert (head.bias is None) == (bias is None)
        if bias:
            assert torch.equal(torch.from_numpy(head.bias), state[bias])
        path.unlink()  # up to 350 MB


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_supported_format_comes_out_as_float32(
    save: Save, read: Read, linear: torch.nn.Linear, dtype: torch.dtype
) -> None:
    state = linear.to(dtype).state_dict()
    head = read(save(state))
    assert head.weight.dtype == np.float32
    assert torch.equal(torch.from_numpy(head.weight), state["weight"].float())
    assert torch.equal(torch.from_numpy(head.bias), state["bias"].float())


@pytest.mark.parametrize(
    "nest",
    [
        lambda state: {"state_dict": state},
        lambda state: {"model": state, "epoch": 3, "loss": 0.5, "args": ["x", None, (1, 2)]},
        lambda state: {"a": {"b": [state]}},
    ],
)
def test_nested_checkpoints_are_walked(
    save: Save, read: Read, linear: torch.nn.Linear, nest: Callable[[Any], Any]
) -> None:
    head = read(save(nest(linear.state_dict())))
    assert head.head_key.endswith(".weight")
    assert torch.equal(torch.from_numpy(head.weight), linear.weight)
    assert torch.equal(torch.from_numpy(head.bias), linear.bias)


def test_a_checkpoint_that_holds_itself_is_walked_once(
    save: Save, read: Read, linear: torch.nn.Linear
) -> None:
    content: dict[str, Any] = {"model": linear.state_dict()}
    content["self"] = content
    assert read(save(content)).head_key == "model.weight"


def test_a_bare_tensor_is_the_weight(save: Save, read: Read) -> None:
    weight = torch.randn(C, D)
    head = read(save(weight))
    assert head.head_key == "weight"
    assert torch.equal(torch.from_numpy(head.weight), weight)


@pytest.mark.parametrize(
    "view",
    [
        lambda: torch.randn(D, C).t(),
        lambda: torch.randn(C + 4, D + 3)[2 : 2 + C, 1 : 1 + D],
        lambda: torch.randn(C, 2 * D)[:, ::2],
        lambda: torch.randn(1, D).expand(C, D),
        lambda: torch.randn(C, D, 1, 1).to(memory_format=torch.channels_last),
        lambda: torch.nn.Parameter(torch.randn(C, D)),
    ],
)
def test_strides_and_offsets_of_a_view_are_honoured(
    save: Save, read: Read, view: Callable[[], torch.Tensor]
) -> None:
    weight = view()
    head = read(
        save({"before": torch.randn(50), "fc.weight": weight, "fc.bias": weight[:, 0].flatten()})
    )
    assert torch.equal(torch.from_numpy(head.weight), weight.detach().flatten(1))
    assert head.weight.flags.c_contiguous


def test_views_of_one_storage_are_told_apart(save: Save, read: Read) -> None:
    both = torch.randn(2, C, D)
    path = save({"a.weight": both[0], "b.weight": both[1]})
    assert torch.equal(torch.from_numpy(read(path, head="a").weight), both[0])
    assert torch.equal(torch.from_numpy(read(path, head="b").weight), both[1])


def test_two_heads_are_an_error_and_may_be_named(save: Save, read: Read) -> None:
    model = {f"{name}.{key}": tensor for name in ("one", "two")
             for key, tensor in torch.nn.Linear(D, C).state_dict().items()}  # fmt: skip
    path = save(model)
    with pytest.raises(HeadError, match=r'"one\.weight" \(5×7\), "two\.weight" \(5×7\)'):
        read(path)
    assert torch.equal(torch.from_numpy(read(path, head="two").weight), model["two.weight"])


def test_tensors_saved_on_an_accelerator_are_read(
    save: Save, read: Read, linear: torch.nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        path = save(linear.state_dict())
    assert b"cuda:0" in path.read_bytes()
    assert torch.equal(torch.from_numpy(read(path).weight), linear.weight)


def test_a_view_that_claims_a_matrix_beyond_memory_is_refused(save: Save, read: Read) -> None:
    refused(read, save({"fc.weight": torch.ones(1, 1).expand(C, 10**14)}), "does not fit in memory")


@pytest.mark.parametrize("dtype", [torch.int16, torch.int64, torch.complex64])
def test_other_formats_are_refused_by_name(save: Save, read: Read, dtype: torch.dtype) -> None:
    path = save({"fc.weight": torch.ones(C, D).to(dtype)})
    refused(read, path, f"stored as {dtype}; .*torch.bfloat16")


@pytest.mark.parametrize(
    "dtype",
    [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz],
)
def test_floats_of_8_bits_come_out_as_float32(save: Save, read: Read, dtype: torch.dtype) -> None:
    weight = torch.randn(C, D).to(dtype)
    assert torch.equal(torch.from_numpy(read(save({"fc.weight": weight})).weight), weight.float())


def test_a_negated_view_is_read_with_its_sign(save: Save, read: Read) -> None:
    numbers = torch.randn(C, D, dtype=torch.complex64)
    weight = numbers.conj().imag
    assert weight.is_neg()
    assert torch.equal(torch.from_numpy(read(save({"fc.weight": weight})).weight), -numbers.imag)


def test_what_is_no_dense_tensor_is_refused(save: Save, read: Read) -> None:
    refused(
        read, save({"fc.weight": torch.ones(C, D).to_sparse()}), "sparse tensors, which are not"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to drop these
        quantised = torch.quantize_per_tensor(torch.ones(C, D), 0.1, 0, torch.qint8)
        path = save({"fc.weight": quantised})
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    refused(read, path, "tensors that torch quantised, which are not read; convert them")
    refused(read, save({"fc.weight": torch.ones(C, D), "x": nested}), "nested tensors")
    refused(read, save({"fc.weight": torch.ones(C, D, device="meta")}), "without its numbers")


class ManyBytes:
    """A byte array of a size that the file need not have."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**15,)


class AnotherMethod:
    """A tensor whose own methods the pickle replaces."""

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = torch.Tensor, torch.Tensor, (C, D), {"stride": torch.Size}
        return torch._tensor._rebuild_from_type_v2, arguments


def test_a_pickle_that_asks_for_memory_is_refused(save: Save, read: Read) -> None:
    path = save({"fc.weight": torch.ones(C, D), "x": ManyBytes()})
    refused(read, path, "byte arrays, which are not read")


def test_a_tensor_with_methods_of_its_own_is_refused(save: Save, read: Read) -> None:
    refused(read, save({"fc.weight": AnotherMethod()}), "damaged")


class RunsCode:
    """What an attacker writes: unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_that_would_run_code_is_refused(save: Save, read: Read, tmp_path: Path) -> None:
    trap = tmp_path / "made"
    path = save({"fc.weight": torch.ones(C, D), "x": RunsCode(trap)})
    refused(read, path, r'refused: .*"(posix|nt)\.mkdir".*runs code.*state_dict\(\).*safetensors')
    assert not trap.exists()


def test_a_bare_pickle_is_refused(read: Read, tmp_path: Path) -> None:
    trap = tmp_path / "made"
    for protocol in (2, 4, 5):
        (tmp_path / "m.pt").write_bytes(pickle.dumps(RunsCode(trap), protocol))
        refused(read, tmp_path / "m.pt", "refused: .* is a Python pickle but no torch checkpoint")
    (tmp_path / "m.pt").write_bytes(pickle.dumps(RunsCode(trap), 0))
    refused(read, tmp_path / "m.pt", "no torch checkpoint")
    assert not trap.exists()


def test_a_whole_module_is_refused(save: Save, read: Read, linear: torch.nn.Linear) -> None:
    refused(read, save(linear), r'"torch\.nn\.modules\.linear\.Linear".*state_dict')


def test_a_checkpoint_with_other_objects_is_refused(save: Save, read: Read) -> None:
    refused(read, save({"fc.weight": torch.ones(C, D), "when": Path("x")}), "refused: .*pathlib")


def test_a_torchscript_archive_is_refused(
    read: Read, tmp_path: Path, linear: torch.nn.Linear
) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"m/{name}", b"")
    refused(read, tmp_path / "m.pt", r"TorchScript archive.*torch\.jit\.load")


def test_a_checkpoint_without_tensors_is_refused(save: Save, read: Read) -> None:
    refused(read, save({"epoch": 3}), "without a single tensor")
    refused(read, save([]), "without a single tensor")


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"\x00" * 100, "no torch checkpoint"),
        (b"<html>Not found</html>", "no torch checkpoint"),
        (b"PK\x03\x04", "cut short"),
        (b"\x80", "Python pickle"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "cut short"),
    ],
)
def test_other_content_is_refused(read: Read, tmp_path: Path, content: bytes, pattern: str) -> None:
    (tmp_path / "m.pth").write_bytes(content)
    refused(read, tmp_path / "m.pth", pattern)


def test_formats_under_a_wrong_ending_are_refused(
    read: Read, tmp_path: Path, linear: torch.nn.Linear
) -> None:
    save_file(linear.state_dict(), tmp_path / "a.pth")
    refused(read, tmp_path / "a.pth", "no torch checkpoint")
    np.savez(tmp_path / "b.npz", weight=np.ones((C, D)))
    os.rename(tmp_path / "b.npz", tmp_path / "b.pth")
    refused(read, tmp_path / "b.pth", 'zip archive but no torch checkpoint: it holds "weight.npy"')
    torch.save(linear.state_dict(), tmp_path / "c.safetensors")
    refused(read, tmp_path / "c.safetensors", "no safetensors file")
    torch.save(linear.state_dict(), tmp_path / "d.npz")
    refused(read, tmp_path / "d.npz", "no 2-D tensor")
    with tarfile.open(tmp_path / "e.pth", "w") as archive:
        archive.add(tmp_path / "a.pth", "storages")
    refused(read, tmp_path / "e.pth", "no torch checkpoint")


def test_a_file_cut_short_anywhere_is_refused(
    save: Save, read: Read, linear: torch.nn.Linear
) -> None:
    path = save(linear.state_dict())
    whole = path.read_bytes()
    for part in (0.1, 0.3, 0.5, 0.7, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        refused(read, path, "cut short|damaged")


@pytest.mark.parametrize("mark", [b"lIttle", b"Middle", b""])
def test_a_damaged_byte_order_is_refused(
    tmp_path: Path, read: Read, linear: torch.nn.Linear, mark: bytes
) -> None:
    path = tmp_path / "m.pth"
    torch.save(linear.state_dict(), path)
    path.write_bytes(path.read_bytes().replace(b"little", mark))
    refused(read, path, "damaged|cut short")


def numbers(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a file, one by one."""
    with open_counted(path) as file:
        checkpoint = open_torch(file, path)
        return {key: torch.from_numpy(checkpoint.read(key).numbers) for key in checkpoint.shapes}


tensors = st.builds(
    lambda shape, dtype, seed: torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(
        dtype
    ),
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int8]),
    st.integers(0, 99),
)


@pytest.mark.parametrize("options", FORMATS)
@given(state=st.dictionaries(st.text(max_size=9).map(ascii), tensors, min_size=1, max_size=9))
def test_every_tensor_is_what_torch_loads(
    tmp_path_factory: pytest.TempPathFactory, options: dict, state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.pth"
    torch.save(state, path, **options)
    expected = torch.load(path, weights_only=True)
    read = numbers(path)
    assert read.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(read[key].reshape(tensor.shape), tensor.float())


def test_many_threads_read_at_once(tmp_path: Path, read: Read) -> None:
    heads = {}
    for index, param in enumerate(4 * FORMATS):
        path = tmp_path / f"{index}.pth"
        heads[path] = torch.randn(C, D)
        body = {f"{i}.x": torch.randn(3) for i in range(200)}
        torch.save({**body, "fc.weight": heads[path]}, path, **param.values[0])
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(read, 5 * list(heads)))
    for path, head in zip(5 * list(heads), results, strict=True):
        assert torch.equal(torch.from_numpy(head.weight), heads[path])
    assert warnings.filters == before


def repacked(path: Path, compression: int, reverse: bool) -> Path:
    """The same records in an archive that another program writes."""
    target = path.with_name("repacked.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as archive:
        for info in sorted(source.infolist(), key=lambda info: info.header_offset, reverse=reverse):
            archive.writestr(info.filename, source.read(info))
    return target


def test_a_view_beyond_its_storage_is_refused(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "m.pth"
    torch.save({"fc.weight": torch.ones(C, D)}, path, _use_new_zipfile_serialization=False)
    shape = bytes([0x4B, C, 0x4B, D, 0x86])
    assert path.read_bytes().count(shape) == 1
    path.write_bytes(path.read_bytes().replace(shape, bytes([0x4B, C, 0x4B, D + 1, 0x86])))
    refused(read, path, '"fc.weight" does not fit its storage')


def test_a_record_without_its_header_is_refused(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "m.pth"
    torch.save({"fc.weight": torch.ones(C, D)}, path)
    content = bytearray(path.read_bytes())
    header = content.index(b"m/data/0") - 30
    assert content[header : header + 4] == b"PK\x03\x04"
    content[header] = 0
    path.write_bytes(content)
    refused(read, path, "does not lie where its index says")


@pytest.mark.parametrize("reverse", [False, True])
def test_an_archive_packed_anew_gives_the_same_numbers(
    tmp_path: Path, read: Read, reverse: bool
) -> None:
    layers = {f"{i}.weight": torch.randn(C, D) for i in range(3)}
    torch.save(layers, tmp_path / "m.pth")
    head = read(repacked(tmp_path / "m.pth", zipfile.ZIP_STORED, reverse), head="2")
    assert torch.equal(torch.from_numpy(head.weight), layers["2.weight"])


def rewritten(path: Path, change: Callable[[str], list[tuple[str, bytes]]]) -> Path:
    """A checkpoint with other records: ``change`` gives those for the name of each."""
    target = path.with_name("rewritten.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            for other, content in change(name) or [(name, source.read(name))]:
                archive.writestr(other, content)
    return target


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("leaf", "records", "pattern"),
    [
        ("data/0", [("m/data/0", bytes(8))], "does not fit its record"),
        ("data/0", [("m/data/00", bytes(C * D * 4))], "does not fit its record"),
        ("data/0", [("m/data/0", bytes(4))] * 2, "two records of one name"),
        ("data/0", [("n/data/0", bytes(4))], "several folders"),
        ("data.pkl", [("m/data.pkl", bytes(9_000_000))], '"data.pkl" would have 9,000,000 bytes'),
        ("data.pkl", [("m/data.pkl", b"\x80\x02}")], "its pickle has no end"),
        ("byteorder", [("m/byteorder", b"little" * 9)], '"byteorder" would have 54 bytes'),
        ("byteorder", [("m/byteorder", b"middle")], 'its byte order is "middle"'),
    ],
)
def test_an_archive_with_wrong_records_is_refused(
    tmp_path: Path, read: Read, leaf: str, records: list[tuple[str, bytes]], pattern: str
) -> None:
    torch.save({"fc.weight": torch.ones(C, D)}, tmp_path / "m.pth")
    path = rewritten(tmp_path / "m.pth", lambda name: records if name == f"m/{leaf}" else [])
    refused(read, path, pattern)


def test_a_zip_bomb_is_refused(tmp_path: Path, read: Read) -> None:
    torch.save({"fc.weight": torch.ones(C, D)}, tmp_path / "m.pth")
    refused(read, repacked(tmp_path / "m.pth", zipfile.ZIP_DEFLATED, False), "compressed")
    content = bytearray((tmp_path / "m.pth").read_bytes()) + bytes(20_000_000)
    index = len(content)
    content += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 9, 9, 15_000_000, index - 15_000_000, 0)
    (tmp_path / "m.pth").write_bytes(content)
    tracemalloc.start()
    refused(read, tmp_path / "m.pth", "damaged")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_zip_checkpoint_costs_its_index_and_the_head(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "m.pth"
    state = {f"{i}.weight": torch.randn(64, 64) for i in range(100)} | {
        "fc.weight": torch.ones(C, D)
    }
    torch.save(state, path)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.getinfo("m/data.pkl").file_size
        index = path.stat().st_size - archive.start_dir
    head = read(path)
    # and three local headers, with twice the end of the index
    assert head.bytes_read < pickled + 2 * index + C * D * 4 + 1000 < head.bytes_total / 20


def test_a_checkpoint_of_the_other_byte_order_is_read(tmp_path: Path, read: Read) -> None:
    weight = np.arange(C * D, dtype="<f4").reshape(C, D)
    state = {"fc.weight": torch.from_numpy(weight), "x": torch.ones(5000)}
    torch.save(state, tmp_path / "m.pth")
    other = {"m/byteorder": b"big", "m/data/0": weight.byteswap().tobytes()}
    path = rewritten(
        tmp_path / "m.pth", lambda name: [(name, other[name])] if name in other else []
    )
    head = read(path)
    assert np.array_equal(head.weight, weight)
    assert head.bytes_read < head.bytes_total - 4 * 5000


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("originals")
    state = {
        f"fc.{key}": value.detach() for key, value in torch.nn.Linear(D, C).state_dict().items()
    }
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "m.safetensors")
    np.savez(folder / "m.npz", weight=state["fc.weight"], bias=state["fc.bias"], labels=["x"] * C)
    (folder / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    return sorted(folder.glob("*.*"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_damage_to_a_file_ends_in_another_error(
    originals: list[Path], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([path for path in originals if path.suffix != ".txt"]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    damaged = path.parent / f"damaged{path.suffix}"
    damaged.write_bytes(bytes(content))
    options = LoadOptions(labels=path.parent / "labels.txt")
    with contextlib.suppress(ClassrelError):
        assert load(locate(str(damaged)), options).weight.shape == (C, D)
