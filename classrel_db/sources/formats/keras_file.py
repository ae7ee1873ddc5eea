"""Keras models: ``.keras`` archives, whole models in ``.h5`` and files of weights alone.

The architecture, where the file has it, is JSON that shows which layer is the head. It is read and
never run: no layer is built, and code in it stays text.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
import tempfile
import weakref
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classrel_db.errors import SourceError
from classrel_db.sources.counted import CountingFile
from classrel_db.sources.formats.dtypes import Tensor, as_float32, itemsize
from classrel_db.sources.formats.hdf5 import Hdf5File
from classrel_db.sources.formats.keras_graph import KerasGraph
from classrel_db.sources.formats.linear import dequantised, last_layer
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePath

    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace
    from classrel_db.sources.formats.hdf5 import Dataset

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_LARGEST_CONFIG = 16_000_000  # bytes
_MOST_PACKED = 100  # times smaller than its content; weights that were trained never are
_NOT_THE_MODEL = ("optimizer", "_optimizer")
_LOCAL_HEADER = 30  # bytes of a zip archive before a member's name
_FORMATS = ("F16", "BF16", "F32", "F64", "I8")

# what zipfile raises on a damaged archive
_DAMAGED = (ValueError, KeyError, RuntimeError, OverflowError, EOFError, NotImplementedError, struct.error,
            zlib.error, zipfile.BadZipFile)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The weights of one layer by their paths in the file.

    ``place`` is the layer's own path and ``name`` its name. ``shape`` is C×D.
    """

    place: str
    name: str
    shape: tuple[int, int]
    weight: str
    bias: str | None
    scale: str | None


class KerasFile:
    """The linear layers of a Keras model; opening it reads what the file says of itself.

    A layer is ``NAME.weight`` with ``NAME.bias``, by its name in the model. ``config`` is the architecture
    if it is not in ``weights``.
    """

    def __init__(self, file: CountingFile, weights: Hdf5File, config: str | None = None) -> None:
        self._file = file
        self._weights = weights
        config = config or weights.notes.get("", {}).get("model_config")
        self._graph = self._architecture(config) if config else KerasGraph()
        kernels = {kernel.place: kernel for kernel in _kernels(weights)}
        by_layer = dict(_linear_layers(self._graph, kernels))
        names = {kernel.place: kernel.name for kernel in kernels.values()}
        for place, kernel in by_layer.items():
            names[kernel.place] = self._graph.layers[place].name
        shared = Counter(names.values())
        keys = {place: name if shared[name] == 1 else place for place, name in names.items()}
        self._layers = {
            place: f"{keys[kernel.place]}.weight"
            for place, kernel in by_layer.items()
            if self._graph.layers[place].gives_scores
        }
        self._paths: dict[str, tuple[_Kernel, str]] = {}
        for place, kernel in kernels.items():
            self._paths[f"{keys[place]}.weight"] = (kernel, kernel.weight)
            if kernel.bias:
                self._paths[f"{keys[place]}.bias"] = (kernel, kernel.bias)
        self.shapes = {
            key: kernel.shape if path == kernel.weight else kernel.shape[:1]
            for key, (kernel, path) in self._paths.items()
        }

    @property
    def usual_head(self) -> str | None:
        """The layer that the outputs come from; HeadError where the graph shows none, or several.

        None for a file of weights alone.
        """
        if not self._graph.layers:
            return None
        outputs, before = self._graph.outputs, self._graph.before
        return last_layer(outputs, self._layers, before, self.shapes, self._file.shown)

    def in_blocks(self, _key: str) -> bool:
        return False

    def extent(self, key: str) -> int:
        return self._weights.datasets[self._paths[key][1]].length

    def read(self, key: str) -> Tensor:
        kernel, path = self._paths[key]
        numbers = self._numbers(path, key)
        dtype = _format(self._weights.datasets[path])
        if path != kernel.weight:
            return Tensor(numbers, dtype)
        by_class = np.ascontiguousarray(numbers.reshape(kernel.shape[::-1]).T)
        if dtype != "I8":
            return Tensor(by_class, dtype)
        if kernel.scale is None:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} holds integers without one scale for each class; a "
                f"head is read from int8 with such scales, or from floating point"
            )
        with np.errstate(divide="ignore"):  # Keras multiplied by its scale
            return dequantised(by_class, 1 / self._numbers(kernel.scale, key), 0, dtype)

    def labels(self) -> LabelSpace | None:
        return None

    def _architecture(self, config: str) -> KerasGraph:
        try:
            model = json.loads(config)
        except (ValueError, RecursionError) as error:
            raise SourceError(
                f"the architecture in {self._file.shown} is not JSON; copy, download or save it again"
            ) from error
        try:
            return KerasGraph(model)
        except ValueError:
            return KerasGraph()  # a class of the user's own, whose layers are not listed

    def _numbers(self, path: str, key: str) -> NDArray[np.float32]:
        """The numbers at ``path`` as float32; integers as they are stored."""
        dataset = self._weights.datasets[path]
        dtype = _format(dataset)
        if dtype not in _FORMATS:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} is stored as {dtype}; a head is read from "
                f"{', '.join(_FORMATS)}: save it as one of these"
            )
        if dataset.length != math.prod(dataset.shape) * itemsize(dtype):
            raise SourceError(
                f"{quoted(key)} is not in {self._file.shown} in one piece: it is compressed, in another "
                f"file, or was never written; save the model again with Keras"
            )
        content = self._weights.content(dataset)
        return as_float32(content, dtype, ">" if dataset.big_endian else "<").reshape(dataset.shape)


def open_keras(file: CountingFile, _path: PurePath) -> KerasFile:
    """Open a Keras file of any of the three kinds, told apart by how it begins.

    Raises SourceError for what is none.
    """
    if file.read(2) != b"PK":
        return KerasFile(file, Hdf5File(file, 0, file.size, _NOT_THE_MODEL))
    try:
        with zipfile.ZipFile(file) as archive:
            return _from_archive(file, archive)
    except _DAMAGED as error:
        raise SourceError(
            f"{file.shown} is a damaged .keras archive; copy, download or save it again"
        ) from error


def _from_archive(file: CountingFile, archive: zipfile.ZipFile) -> KerasFile:
    members = {info.filename: info for info in archive.infolist()}
    if _CONFIG not in members or _WEIGHTS not in members:
        held = ", ".join(map(quoted, list(members)[:4])) or "nothing"
        raise SourceError(
            f"{file.shown} is a zip archive without {_CONFIG} and {_WEIGHTS}: it holds {held}; a .keras "
            f"file is written by model.save, in one part"
        )
    config, weights = members[_CONFIG], members[_WEIGHTS]
    if config.file_size > _LARGEST_CONFIG:
        raise SourceError(
            f"refused: {_CONFIG} in {file.shown} has {config.file_size:,} bytes, and at most "
            f"{_LARGEST_CONFIG:,} are read; save the model again with Keras"
        )
    text = archive.read(config).decode()
    if weights.compress_type == zipfile.ZIP_STORED and not weights.flag_bits & 1:
        header = file.read_range(weights.header_offset, _LOCAL_HEADER).tobytes()
        start = weights.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:]))
        if start + weights.file_size > file.size:
            raise file.truncated(start + weights.file_size)
        return KerasFile(file, Hdf5File(file, start, weights.file_size, _NOT_THE_MODEL), text)
    if weights.file_size > _MOST_PACKED * weights.compress_size:
        raise SourceError(
            f"refused: {_WEIGHTS} in {file.shown} would grow from {weights.compress_size:,} to "
            f"{weights.file_size:,} bytes; save the model again with Keras"
        )
    unpacked = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    with archive.open(weights) as member:
        shutil.copyfileobj(member, unpacked)
    content = CountingFile(unpacked, _WEIGHTS, weights.file_size)
    opened = KerasFile(file, Hdf5File(content, 0, content.size, _NOT_THE_MODEL), text)
    weakref.finalize(opened, content.close)
    return opened


def _linear_layers(graph: KerasGraph, kernels: dict[str, _Kernel]) -> Iterator[tuple[str, _Kernel]]:
    """The layers of the architecture, by place, whose weights can be a head's."""
    by_name: dict[str, list[_Kernel]] = {}
    if not any(place.startswith("layers/") for place in kernels):  # Keras 2 has no such places
        for place, kernel in kernels.items():
            for name in {kernel.name, place.partition("/")[0]}:
                by_name.setdefault(name, []).append(kernel)
    for place, layer in graph.layers.items():
        same_name = by_name.get(layer.name, [])
        if layer.is_linear and place in kernels:
            yield place, kernels[place]
        elif layer.is_linear and len(same_name) == 1:
            yield place, same_name[0]


def _kernels(weights: Hdf5File) -> Iterator[_Kernel]:
    """Every matrix D×C and 1×1 kernel in the file that is a layer's first variable."""
    datasets = weights.datasets
    for path, dataset in datasets.items():
        folder, _, leaf = path.rpartition("/")
        variable, colon, number = leaf.partition(":")
        if not _is_kernel(dataset.shape):
            continue
        if variable == "kernel":  # as Keras 2 names them: dense/kernel:0
            place = folder.removeprefix("model_weights/")
            name = place.rpartition("/")[2]
            others = [f"{folder}/{each}{colon}{number}" for each in ("bias", "kernel_scale")]
        elif leaf == "0" and folder.endswith("vars"):  # as Keras 3 does: layers/dense/vars/0
            place = folder.removesuffix("vars").rstrip("/")
            place = place.replace("_layer_checkpoint_dependencies", "layers")
            name = weights.notes[folder].get("name") or place.rpartition("/")[2]
            others = [f"{folder}/1", f"{folder}/2"]
            if dataset.format == "I8" and others[1] not in datasets:
                others.insert(0, "")  # without a bias the scale comes first
        else:
            continue
        *_, dim, n_classes = dataset.shape
        rows = (n_classes,)
        bias, scale = (
            each if each in datasets and datasets[each].shape == rows else None
            for each in others[:2]
        )
        yield _Kernel(place, name or "model", (n_classes, dim), path, bias, scale)


def _format(dataset: Dataset) -> str:
    """safetensors' name of a data type: Keras 3 keeps bfloat16 as bytes, and notes that it is one."""
    return "BF16" if dataset.notes.get("dtype") == "bfloat16" else dataset.format


def _is_kernel(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and min(shape) > 0 and all(size == 1 for size in shape[:-2])
