"""Checkpoints in several files: an index in JSON names the file of each tensor.

{"metadata": {…}, "weight_map": {"classifier.weight": "model-00002-of-00002.safetensors", …}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from classrel_db.errors import SourceError
from classrel_db.sources.formats.safetensors import open_safetensors
from classrel_db.sources.formats.torch_checkpoint import open_torch
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.formats.dtypes import Tensor

INDEX = ".index.json"  # the end of an index's name

_LARGEST_INDEX = 100_000_000  # bytes

_READERS: dict[str, Callable[[CountingFile, PurePath], Any]] = {
    ".safetensors": open_safetensors,
    ".bin": open_torch,
}


class ShardedFile:
    """The tensors of all files that an index names; a file is opened for what is asked of it."""

    usual_head = None

    def __init__(self, index: CountingFile) -> None:
        self._index = index
        self._places = shards_of(index)
        self._opened: dict[str, Any] = {}
        self.shapes = _Shapes(self._places, self.shard)

    def shard(self, key: str) -> Any:
        """The file of a tensor; KeyError where the index names none."""
        name = self._places[key]
        if name not in self._opened:
            path = PurePath(name)
            self._opened[name] = _READERS[path.suffix](self._index.beside(name), path)
        found = self._opened[name]
        if key not in found.shapes:
            raise _malformed(self._index, f"{quoted(key)} is not in {quoted(name)}")
        return found

    def in_blocks(self, key: str) -> bool:
        return bool(self.shard(key).in_blocks(key))

    def extent(self, key: str) -> int:
        return int(self.shard(key).extent(key))

    def read(self, key: str) -> Tensor:
        tensor: Tensor = self.shard(key).read(key)
        return tensor

    def labels(self) -> LabelSpace | None:
        return None


class _Shapes(Mapping[str, tuple[int, ...]]):
    """The shapes of all tensors, each looked up in its own file."""

    def __init__(self, places: Mapping[str, str], shard: Callable[[str], Any]) -> None:
        self._places = places
        self._shard = shard

    def __getitem__(self, key: str) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._shard(key).shapes[key]
        return shape

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def open_sharded(file: CountingFile, _path: PurePath) -> ShardedFile:
    """Open the index of a checkpoint in several files, which lie beside it."""
    return ShardedFile(file)


def shards_of(index: CountingFile) -> dict[str, str]:
    """The plain name of the file of each tensor, by an index. Raises SourceError."""
    if index.size > _LARGEST_INDEX:
        raise _malformed(index, f"it has {index.size:,} bytes")
    try:
        content = json.loads(index.read_range(0, index.size).tobytes())
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise _malformed(index, "it is not JSON") from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise _malformed(index, "it has no weight_map")
    for name in set(map(str, places.values())):
        plain = name == PurePath(name).name and not set(name) & set("/\\:%?#")
        if not plain or PurePath(name).suffix not in _READERS:
            raise _malformed(
                index,
                f"it names the file {quoted(name)}, and files beside it end in {', '.join(_READERS)}",
            )
    return {key: str(name) for key, name in places.items()}


def _malformed(file: CountingFile, reason: str) -> SourceError:
    return SourceError(
        f"{file.shown} is no index of a checkpoint in several files: {reason}; is it another file, or "
        f"damaged?"
    )
