"""From a checkpoint file to a head: open it by its ending, find the head, read just that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from classrel_db.errors import HeadError, LabelError, SourceError, WeightsError
from classrel_db.records import Head
from classrel_db.sources.dtypes import rounding
from classrel_db.sources.head import find_head, named_head
from classrel_db.sources.keras_file import open_keras
from classrel_db.sources.labels import IMAGENET1K, require_count
from classrel_db.sources.npz import open_npz
from classrel_db.sources.onnx_file import open_onnx
from classrel_db.sources.safetensors import open_safetensors
from classrel_db.sources.scales import read_scaled
from classrel_db.sources.sharded import open_sharded
from classrel_db.sources.tflite_file import open_tflite
from classrel_db.sources.torch_checkpoint import open_torch
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import PurePath

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.dtypes import Tensor

_LARGEST = 1 << 32  # bytes of a head, stored or as float32: 21,841 classes × 49,000 dimensions


class Checkpoint(Protocol):
    """Named tensors in an open file, none of them read yet."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def usual_head(self) -> str | None:
        """The tensor that the format itself calls the head, where it does."""

    def extent(self, key: str) -> int:
        """The bytes that ``read`` takes from the file."""

    def read(self, key: str) -> Tensor: ...

    def labels(self) -> LabelSpace | None:
        """The label space inside the file, where there is one."""


READERS: dict[str, Callable[[CountingFile, PurePath], Checkpoint]] = {
    ".safetensors": open_safetensors,
    ".pth": open_torch,
    ".pt": open_torch,
    ".bin": open_torch,
    ".npz": open_npz,
    ".onnx": open_onnx,
    ".tflite": open_tflite,
    ".keras": open_keras,
    ".h5": open_keras,
    ".hdf5": open_keras,
    ".json": open_sharded,
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
) -> Head:
    """Read the head in the open checkpoint ``file`` and close it; ``path`` ends in one of ``READERS``.

    ``space`` None takes the labels inside the file. ``wanted`` is the user's name of the head;
    None finds it by its shape. ``usual`` are the layers that classify, by the source's word, the main
    one first: the first in the file with a row for each label is the head, unless ``wanted`` is another.

    Raises
    ------
    SourceError
        The file can't be read, or (as HeadError) none or several of its tensors can be the head.
    LabelError
        There are no labels, or another number than the head has rows.
    WeightsError
        The head has fewer than two classes or two dimensions.
    """
    try:
        with file:
            checkpoint = READERS[path.suffix.lower()](file, path)
            return _read(checkpoint, file, source, uri, space, wanted, usual)
    except OSError as error:
        raise SourceError(f"can't read {file.shown}: {error}") from error


def _read(
    checkpoint: Checkpoint,
    file: CountingFile,
    source: str,
    uri: str,
    space: LabelSpace | None,
    wanted: str | None,
    usual: Sequence[str],
) -> Head:
    space = space or checkpoint.labels()
    if space is None:
        raise LabelError(
            f"{file.shown} has no labels in it; give --labels FILE (txt, csv or json), "
            f"or --labels {IMAGENET1K}"
        )
    shapes = checkpoint.shapes
    rows = (len(space.labels),)
    heads = [key for key in usual if shapes.get(f"{key}.weight", ())[:1] == rows]
    if wanted is None and heads:
        wanted = heads[0]
    if wanted is None and checkpoint.usual_head in shapes:
        wanted = checkpoint.usual_head
    try:
        keys = named_head(shapes, wanted) if wanted else find_head(shapes, len(space.labels))
        n_classes, dim = shapes[keys.weight][:2]
        require_count(space, n_classes, keys.weight)
    except (HeadError, LabelError) as error:
        raise type(error)(f"{file.shown}: {error}") from error
    if n_classes < 2 or dim < 2:
        raise WeightsError(
            f"the head {quoted(keys.weight)} of {file.shown} is {n_classes}×{dim}; "
            f"it needs at least 2 classes and 2 dimensions"
        )
    extent = sum(checkpoint.extent(key) for key in (keys.weight, keys.bias) if key)
    if max(extent, 4 * n_classes * dim) > _LARGEST:
        raise SourceError(
            f"the head {quoted(keys.weight)} of {file.shown} ({n_classes}×{dim}) does not fit in "
            f"memory: it would take {max(extent, 4 * n_classes * dim) / 1e9:,.1f} GB, and up to "
            f"{_LARGEST / 1e9:.1f} GB are read; is it the head?"
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
        others=tuple(key for key in heads if f"{key}.weight" != keys.weight),
        bytes_read=min(file.bytes_read, file.bytes_total),  # the first bytes are looked at twice
        bytes_total=file.bytes_total,
    )
