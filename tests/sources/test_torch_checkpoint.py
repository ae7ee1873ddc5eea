from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
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

from .conftest import C, D, build, single_line

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


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.complex64])
def test_other_formats_are_refused_by_name(save: Save, read: Read, dtype: torch.dtype) -> None:
    path = save({"fc.weight": torch.ones(C, D).to(dtype)})
    refused(read, path, f"stored as {dtype}; .*torch.bfloat16")


def test_sparse_and_absent_numbers_are_refused(save: Save, read: Read) -> None:
    refused(read, save({"fc.weight": torch.ones(C, D).to_sparse()}), "sparse")
    refused(read, save({"fc.weight": torch.ones(C, D, device="meta")}), "without its numbers")


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
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "damaged"),
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


def repacked(path: Path, compression: int, reverse: bool) -> Path:
    """The same records in an archive that another program writes."""
    target = path.with_name("repacked.pth")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", compression) as archive:
        for info in sorted(source.infolist(), key=lambda info: info.header_offset, reverse=reverse):
            archive.writestr(info.filename, source.read(info))
    return target


@pytest.mark.parametrize(
    ("compression", "reverse", "pattern"),
    [
        (zipfile.ZIP_DEFLATED, False, "compressed"),
        (zipfile.ZIP_STORED, True, "not in order"),
        (zipfile.ZIP_STORED, False, "does not lie where torch.save puts it|does not fit"),
    ],
)
def test_an_archive_packed_anew_never_gives_wrong_bytes(
    tmp_path: Path, read: Read, compression: int, reverse: bool, pattern: str
) -> None:
    layers = {f"{i}.weight": torch.randn(C, D) for i in range(3)}
    torch.save(layers, tmp_path / "m.pth")
    path = repacked(tmp_path / "m.pth", compression, reverse)
    with pytest.raises(SourceError, match=pattern):
        read(path, head="2")


def test_a_checkpoint_of_the_other_byte_order_is_read_whole(tmp_path: Path, read: Read) -> None:
    weight = np.arange(C * D, dtype=np.float32).reshape(C, D)
    torch.save({"fc.weight": torch.from_numpy(weight)}, tmp_path / "m.pth")
    other = {"m/byteorder": b"big" if sys.byteorder == "little" else b"little",
             "m/data/0": weight.byteswap().tobytes()}  # fmt: skip
    source = zipfile.ZipFile(tmp_path / "m.pth")
    with source, zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        for name in source.namelist():
            archive.writestr(name, other.get(name) or source.read(name))
    head = read(tmp_path / "other.pth")
    assert np.array_equal(head.weight, weight)
    assert head.bytes_read == head.bytes_total


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
