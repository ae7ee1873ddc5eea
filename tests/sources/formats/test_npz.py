from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from classrel_db.errors import HeadError, LabelError, SourceError
from classrel_db.records import Head
from classrel_db.sources.labels import imagenet1k

from ..conftest import C

if TYPE_CHECKING:
    from pathlib import Path

Read = Callable[..., Head]
LABELS = np.array([f"Class {i}" for i in range(C)])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_weight_bias_labels_and_concepts(
    tmp_path: Path, read: Read, matrix: np.ndarray, save: Callable[..., None]
) -> None:
    path = tmp_path / "mine.npz"
    concepts = np.array([f"taxon {i}" for i in range(C)])
    save(path, weight=matrix, bias=matrix[:, 0], labels=LABELS, concepts=concepts)
    head = read(path, labels=None)
    assert np.array_equal(head.weight, matrix)
    assert np.array_equal(head.bias, matrix[:, 0])
    assert head.space.name == "mine"
    assert head.space.labels == tuple(LABELS)
    assert head.space.concepts == tuple(concepts)
    assert head.head_key == "weight"


def test_concepts_default_to_the_casefolded_labels(
    tmp_path: Path, read: Read, matrix: np.ndarray
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix, labels=LABELS)
    head = read(tmp_path / "m.npz", labels=None)
    assert head.space.concepts[1] == "class 1"
    assert head.bias is None


def test_labels_that_the_user_gives_come_first(
    tmp_path: Path, read: Read, matrix: np.ndarray
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix, labels=LABELS)
    assert read(tmp_path / "m.npz").space.labels[0] == "class 0"


def test_labels_in_bytes_are_utf8(tmp_path: Path, read: Read, matrix: np.ndarray) -> None:
    names = np.array([f"Möwe {i}".encode() for i in range(C)])
    np.savez(tmp_path / "m.npz", weight=matrix, labels=names)
    assert read(tmp_path / "m.npz", labels=None).space.labels[0] == "Möwe 0"
    np.savez(tmp_path / "m.npz", weight=matrix, labels=np.array([b"\xff"] * C))
    with pytest.raises(LabelError, match="not UTF-8"):
        read(tmp_path / "m.npz", labels=None)


def test_imagenet_concepts_make_the_space_imagenet1k(tmp_path: Path, read: Read) -> None:
    space = imagenet1k()
    np.savez(tmp_path / "m.npz", weight=np.ones((1000, 2)), labels=space.labels,
             concepts=space.concepts)  # fmt: skip
    assert read(tmp_path / "m.npz", labels=None).space == space


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_every_float_comes_out_as_float32(
    tmp_path: Path, read: Read, matrix: np.ndarray, dtype: str
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix.astype(dtype))
    head = read(tmp_path / "m.npz")
    assert head.weight.dtype == np.dtype("=f4")
    assert np.array_equal(head.weight, matrix.astype(dtype).astype(np.float32))


def test_fortran_order_and_a_named_head(tmp_path: Path, read: Read, matrix: np.ndarray) -> None:
    np.savez(tmp_path / "m.npz", **{"fc.weight": np.asfortranarray(matrix), "fc.bias": matrix[:, 1],
                                    "other.weight": matrix, "other.bias": matrix[:, 1]})  # fmt: skip
    head = read(tmp_path / "m.npz", head="fc")
    assert np.array_equal(head.weight, matrix)
    assert np.array_equal(head.bias, matrix[:, 1])
    with pytest.raises(HeadError, match="--head"):
        read(tmp_path / "m.npz")


def test_only_the_head_is_read(tmp_path: Path, read: Read, matrix: np.ndarray) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix, body=np.zeros((1000, 1000)))
    head = read(tmp_path / "m.npz")
    assert head.bytes_total > 8_000_000
    assert head.bytes_read < 100_000


def test_without_labels_the_message_says_how_to_give_them(
    tmp_path: Path, read: Read, matrix: np.ndarray
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix)
    with pytest.raises(
        LabelError, match=r"--labels FILE \(txt, csv or json\), or --labels imagenet1k"
    ):
        read(tmp_path / "m.npz", labels=None)


def test_object_arrays_are_refused(tmp_path: Path, read: Read, matrix: np.ndarray) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix, labels=LABELS.astype(object))
    with pytest.raises(SourceError, match=r'refused: "labels".*dtype=str'):
        read(tmp_path / "m.npz", labels=None)
    np.savez(tmp_path / "m.npz", weight=matrix.astype(object))
    with pytest.raises(SourceError, match=r'"weight" .* holds object'):
        read(tmp_path / "m.npz")


@pytest.mark.parametrize("labels", [np.arange(C), np.array([["a"]]), np.array("a")])
def test_labels_of_another_form_are_refused(
    tmp_path: Path, read: Read, matrix: np.ndarray, labels: np.ndarray
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix, labels=labels)
    with pytest.raises(LabelError, match="1-D array of strings"):
        read(tmp_path / "m.npz", labels=None)


def test_wrong_labels_inside_name_file_and_index(
    tmp_path: Path, read: Read, matrix: np.ndarray
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix, labels=["a", "b", "", "c", "d"])
    with pytest.raises(LabelError, match=r"m\.npz.*row 2: the label is empty"):
        read(tmp_path / "m.npz", labels=None)
    np.savez(tmp_path / "m.npz", weight=matrix, labels=LABELS[:-1])
    with pytest.raises(LabelError, match=r"4 labels .* 5 rows"):
        read(tmp_path / "m.npz", labels=None)
    np.savez(tmp_path / "m.npz", weight=matrix, labels=LABELS, concepts=LABELS[:-1])
    with pytest.raises(LabelError, match="5 labels but 4 concepts"):
        read(tmp_path / "m.npz", labels=None)


@pytest.mark.parametrize("dtype", ["i4", "c8", "?"])
def test_numbers_that_are_no_floats_are_refused(
    tmp_path: Path, read: Read, matrix: np.ndarray, dtype: str
) -> None:
    np.savez(tmp_path / "m.npz", weight=matrix.astype(dtype))
    with pytest.raises(SourceError, match="float16, float32 or float64"):
        read(tmp_path / "m.npz")


def test_no_archive_and_cut_short_archives_are_refused(
    tmp_path: Path, read: Read, matrix: np.ndarray
) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, weight=matrix)
    whole = path.read_bytes()
    for content in (b"not a zip", whole[:-30], whole[:100]):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"no .npz file"):
            read(path)


def test_an_archive_without_arrays_has_no_head(tmp_path: Path, read: Read) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(HeadError, match="no 2-D tensor"):
        read(tmp_path / "m.npz")


def test_a_damaged_array_is_refused(tmp_path: Path, read: Read, matrix: np.ndarray) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, weight=matrix)
    content = bytearray(path.read_bytes())
    content[content.index(b"NUMPY") + 150] ^= 255  # a number: the archive's checksum tells
    path.write_bytes(bytes(content))
    with pytest.raises(SourceError, match=r'"weight" .* is damaged'):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight.npy", b"\x93NUMPY\x01\x00 nothing of the kind")
    with pytest.raises(SourceError, match="is damaged"):
        read(path)


def test_an_array_that_claims_more_than_its_bytes_is_refused(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("weight.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"shape": (C, 10**12), "fortran_order": False, "descr": "<f4"}
        )
    with pytest.raises(SourceError, match="does not fit in memory"):
        read(path)
