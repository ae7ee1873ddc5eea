"""The folder that TensorBoard and the TensorFlow Embedding Projector open.

Of each model NAME.tensors.bytes, the vectors as little-endian float32; NAME.tensors.tsv, the same as text
unless they are too many; and NAME.metadata.tsv, a line a class under a header. ``projector_config.json``
names them for the projector on its own, ``projector_config.pbtxt`` for TensorBoard.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.targets.tables import spelled_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CONFIGURATIONS = ("projector_config.json", "projector_config.pbtxt")
MOST_SPELLED = 20_000_000  # numbers of a head that are also written as text: some 200 MB

# what ends a cell or a line, for the readers of these files or for Python; they know no quotes
_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
_OWN = re.compile(r".+\.(tensors\.(tsv|bytes)|metadata\.tsv)")
_NOT_IN_NAMES = re.compile(r"[^\w.@+-]+")


@dataclass(frozen=True, slots=True)
class Embedding:
    """One model: ``rows`` (C×D), and by the name of its column what to know of each class (C each)."""

    name: str
    rows: NDArray[np.float32]
    columns: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Written:
    """The files of one model: ``text`` is whether its vectors are among them as text, too."""

    name: str
    shape: tuple[int, int]
    start: str
    text: bool

    @property
    def tensors(self) -> str:
        """The vectors; as text if there are any: TensorBoard takes every file for text first."""
        return f"{self.start}.tensors.{'tsv' if self.text else 'bytes'}"

    @property
    def metadata(self) -> str:
        return f"{self.start}.metadata.tsv"


def write_projector(folder: Path, embeddings: Iterable[Embedding]) -> list[Written]:
    """Write all files into an empty folder.

    Every model has two columns or more: the projector takes the first line of one column for a class.
    """
    written: list[Written] = []
    for each in embeddings:
        rows = np.ascontiguousarray(each.rows, dtype="<f4")
        start = _file_name(each.name, [one.start for one in written])
        made = Written(each.name, each.rows.shape, start, rows.size <= MOST_SPELLED)
        (folder / f"{start}.tensors.bytes").write_bytes(rows.data)
        if made.text:
            _write_lines(folder / made.tensors, spelled_rows(rows))
        cells = zip(*each.columns.values(), strict=True)
        plain = ([_BREAKS.sub(" ", cell) for cell in row] for row in cells)
        _write_lines(folder / made.metadata, chain([list(each.columns)], plain))
        written.append(made)
    _write_configurations(folder, written)
    return written


def _write_configurations(folder: Path, written: Sequence[Written]) -> None:
    described = [
        {
            "tensorName": each.name,
            "tensorShape": list(each.shape),
            "tensorPath": f"{each.start}.tensors.bytes",
            "metadataPath": each.metadata,
        }
        for each in written
    ]
    messages = [
        "embeddings {\n"
        f"  tensor_name: {_text(each.name)}\n"
        f"  tensor_shape: {each.shape[0]}\n"
        f"  tensor_shape: {each.shape[1]}\n"
        f"  tensor_path: {_text(each.tensors)}\n"
        f"  metadata_path: {_text(each.metadata)}\n"
        "}\n"
        for each in written
    ]
    configuration = json.dumps({"embeddings": described}, indent=2)
    (folder / "projector_config.json").write_text(f"{configuration}\n", encoding="utf-8")
    (folder / "projector_config.pbtxt").write_text("".join(messages), encoding="utf-8")


def _text(value: str) -> str:
    """A string of protobuf's text format: UTF-8 as it is, for it knows no surrogates."""
    return json.dumps(value, ensure_ascii=False)


def foreign(files: Sequence[Path]) -> str | None:
    """The name of one of these that an export has not written, None where it has written them all."""
    for file in files:
        own = file.name in CONFIGURATIONS or _OWN.fullmatch(file.name)
        if not own or not file.is_file() or file.is_symlink():
            return file.name
    if {file.name for file in files}.isdisjoint(CONFIGURATIONS):
        return files[0].name
    return None


def _write_lines(file: Path, rows: Iterable[Sequence[str]]) -> None:
    # the projector waits for ever for the end of a file whose last line has none
    with file.open("w", encoding="utf-8", newline="") as output:
        output.writelines("\t".join(row) + "\n" for row in rows)


def _file_name(name: str, taken: Sequence[str]) -> str:
    """A model's name as the beginning of file names, unlike those ``taken``, in any case."""
    plain = _NOT_IN_NAMES.sub("_", name)
    try:
        cut = os.fsencode(plain)[:100]
    except UnicodeEncodeError:  # the file system takes ASCII alone
        cut = plain.encode("ascii", "replace").replace(b"?", b"_")[:100]
    plain = cut.decode("utf-8", "ignore").strip(".") or "model"
    found, number = plain, 1
    while found.casefold() in {each.casefold() for each in taken}:
        number += 1
        found = f"{plain}_{number}"
    return found
