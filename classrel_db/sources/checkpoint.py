"""From a checkpoint file to a head: open it by its ending, find the head, read just that."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from classrel_db.errors import HeadError, LabelError, SourceError, WeightsError
from classrel_db.records import Head, KnownHead
from classrel_db.sources.formats.dtypes import rounding
from classrel_db.sources.formats.scales import read_scaled
from classrel_db.sources.head import find_head, named_head
from classrel_db.sources.labels import IMAGENET1K, require_count
from classrel_db.sources.protocol import UnchangedHead
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import PurePath

    from classrel_db.records import LabelSpace, ZooEntry
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.formats.dtypes import Tensor
    from classrel_db.sources.head import HeadKeys

_LARGEST = 1 << 32  # bytes of a head that has to be in memory: 21,841 classes × 49,000 dimensions

_LONGEST_ROW = 1 << 20  # dimensions of a head that is worked on row by row


class Checkpoint(Protocol):
    """Named tensors in an open file, none of them read yet."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def usual_head(self) -> str | None:
        """The tensor that the format itself calls the head, where it does."""

    def in_blocks(self, key: str) -> bool:
        """Whether ``read`` gets this tensor onto the disk, block by block, when it is large."""

    def extent(self, key: str) -> int:
        """The bytes that ``read`` takes from the file."""

    def read(self, key: str) -> Tensor: ...

    def labels(self) -> LabelSpace | None:
        """The label space inside the file, where there is one."""


def _opener(module: str, function: str) -> Callable[[CountingFile, PurePath], Checkpoint]:
    """What opens one format, imported when a file of it is: a user's head is of one of them."""

    def open_format(file: CountingFile, path: PurePath) -> Checkpoint:
        opener = getattr(import_module(f"classrel_db.sources.formats.{module}"), function)
        opened: Checkpoint = opener(file, path)
        return opened

    return open_format


_TORCH = _opener("torch_checkpoint", "open_torch")
_KERAS = _opener("keras_file", "open_keras")

READERS = {
    ".safetensors": _opener("safetensors", "open_safetensors"),
    ".pth": _TORCH,
    ".pt": _TORCH,
    ".bin": _TORCH,
    ".npz": _opener("npz", "open_npz"),
    ".onnx": _opener("onnx_file", "open_onnx"),
    ".tflite": _opener("tflite_file", "open_tflite"),
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".json": _opener("sharded", "open_sharded"),
}


def read_head(
    file: CountingFile,
    path: PurePath,
    *,
    source: str,
    uri: str,
    space: LabelSpace | None,
    wanted: str | None = None,
    usual: Sequence[str] = (),
    known: KnownHead | None = None,
) -> Head:
    """Read the head in the open checkpoint ``file`` and close it; ``path`` ends in one of ``READERS``.

    ``space`` None takes the labels inside the file. ``wanted`` is the user's name of the head;
    None finds it by its shape. ``usual`` are the layers that classify, by the source's word, the main
    one first: the first in the file with a row for each label is the head, unless ``wanted`` is another.
    What is ``known`` is not read: UnchangedHead.

    Raises
    ------
    SourceError
        The file can't be read, or (as HeadError) none or several of its tensors can be the head.
    LabelError
        There are no labels, or another number than the head has rows.
    WeightsError
        The head has fewer than two classes or two dimensions.
    """
    with _opened(file, path) as checkpoint:
        space, keys = _found(checkpoint, file, space, wanted, usual)
        if known is not None and known == KnownHead(
            file.etag or "", keys.weight, space.labels, space.concepts
        ):
            raise UnchangedHead
        n_classes, dim = checkpoint.shapes[keys.weight][:2]
        if n_classes < 2 or dim < 2:
            raise WeightsError(
                f"the head {quoted(keys.weight)} of {file.shown} is {n_classes}×{dim}; "
                f"it needs at least 2 classes and 2 dimensions"
            )
        extent = _extent(checkpoint, keys)
        in_blocks = checkpoint.in_blocks(keys.weight) and dim <= _LONGEST_ROW
        if not in_blocks and max(extent, 4 * n_classes * dim) > _LARGEST:
            raise SourceError(
                f"the head {quoted(keys.weight)} of {file.shown} ({n_classes}×{dim}) does not fit in "
                f"memory: it would take {max(extent, 4 * n_classes * dim) / 1e9:,.1f} GB, and up to "
                f"{_LARGEST / 1e9:.1f} GB are read of such a file; is it the head? Larger ones are read from "
                f".safetensors and .pth"
            )
        file.expect(extent)
        weight = read_scaled(checkpoint, keys.weight, file.shown)
        return Head(
            weight=weight.numbers.reshape(n_classes, dim),
            bias=read_scaled(checkpoint, keys.bias, file.shown).numbers if keys.bias else None,
            space=space,
            source=source,
            uri=uri,
            head_key=keys.weight,
            dtype=weight.dtype,
            rounding=rounding(weight),
            etag=file.etag,
            others=tuple(
                key
                for key in _usual_heads(checkpoint, space, usual)
                if f"{key}.weight" != keys.weight
            ),
            bytes_read=min(
                file.bytes_read, file.bytes_total
            ),  # the first bytes are looked at twice
            bytes_total=file.bytes_total,
        )


def measured(
    entry: ZooEntry,
    file: CountingFile,
    path: PurePath,
    *,
    space: LabelSpace | None,
    wanted: str | None = None,
    usual: Sequence[str] = (),
) -> ZooEntry:
    """``entry`` with the sizes of the head that :func:`read_head` would read, and raises as that does."""
    with _opened(file, path) as checkpoint:
        _space, keys = _found(checkpoint, file, space, wanted, usual)
        classes, dim = checkpoint.shapes[keys.weight][:2]
        return replace(
            entry,
            classes=classes,
            dim=dim,
            head_bytes=_extent(checkpoint, keys),
            file_bytes=file.bytes_total,
        )


@contextmanager
def _opened(file: CountingFile, path: PurePath) -> Iterator[Checkpoint]:
    try:
        with file:
            yield READERS[path.suffix.lower()](file, path)
    except OSError as error:
        raise SourceError(f"can't read {file.shown}: {error}") from error


def _found(
    checkpoint: Checkpoint,
    file: CountingFile,
    space: LabelSpace | None,
    wanted: str | None,
    usual: Sequence[str],
) -> tuple[LabelSpace, HeadKeys]:
    """The labels and the tensors of the head."""
    space = space or checkpoint.labels()
    if space is None:
        raise LabelError(
            f"{file.shown} has no labels in it; give --labels FILE (txt, csv or json), "
            f"or --labels {IMAGENET1K}"
        )
    shapes = checkpoint.shapes
    if wanted is None:
        wanted = next(iter(_usual_heads(checkpoint, space, usual)), None)
    if wanted is None and checkpoint.usual_head in shapes:
        wanted = checkpoint.usual_head
    try:
        keys = named_head(shapes, wanted) if wanted else find_head(shapes, len(space.labels))
        require_count(space, shapes[keys.weight][0], keys.weight)
    except (HeadError, LabelError) as error:
        raise type(error)(f"{file.shown}: {error}") from error
    return space, keys


def _usual_heads(checkpoint: Checkpoint, space: LabelSpace, usual: Sequence[str]) -> list[str]:
    rows = (len(space.labels),)
    return [key for key in usual if checkpoint.shapes.get(f"{key}.weight", ())[:1] == rows]


def _extent(checkpoint: Checkpoint, keys: HeadKeys) -> int:
    return sum(checkpoint.extent(key) for key in (keys.weight, keys.bias) if key)
