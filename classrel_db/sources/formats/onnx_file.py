"""ONNX models: the graph shows which layer is the head, and where its numbers lie.

The file is one protobuf message, which its library reads whole. Here it is read as a skeleton: the
graph with its short tensors, and of the long ones the place in the file. The library takes the
skeleton, and only the head's numbers are read after it.
"""

from __future__ import annotations

import ast
import io
import json
import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import MissingExtraError, SourceError
from classrel_db.sources.formats.dtypes import Tensor, rounded
from classrel_db.sources.formats.linear import dequantised, last_layer
from classrel_db.sources.formats.onnx_graph import Graph
from classrel_db.sources.labels import label_space
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from pathlib import PurePath

    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.formats.onnx_graph import Constant, Layer

# TensorProto.DataType of what a head may be stored as: safetensors' name
_FORMATS = {1: "F32", 2: "U8", 3: "I8", 6: "I32", 10: "F16", 11: "F64", 16: "BF16",
            17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2", 20: "F8_E5M2FNUZ"}  # fmt: skip
_INTEGERS = frozenset({"U8", "I8", "I32"})

_LABEL_KEYS = ("names", "id2label", "labels", "classes", "class_names")
_LONGEST_LABELS = 1_000_000  # characters

# the messages of the format: what is kept of each field by its number. Doc strings, value types and
# inner graphs are left out; _NUMBERS is left where it lies if it is long.
_KEPT, _NUMBERS = "kept", "numbers"
_ENTRY = {1: _KEPT, 2: _KEPT}
_TENSOR = {
    **dict.fromkeys((1, 2, 5, 7, 8, 11, 14), _KEPT), 4: _NUMBERS, 9: _NUMBERS, 10: _NUMBERS, 13: _ENTRY,
}  # fmt: skip
_ATTRIBUTE = {**dict.fromkeys((1, 2, 3, 7, 8, 20), _KEPT), 5: _TENSOR}
_NODE = {**dict.fromkeys((1, 2, 3, 4, 7), _KEPT), 5: _ATTRIBUTE}
_GRAPH = {1: _NODE, 2: _KEPT, 5: _TENSOR, 12: {1: _KEPT}}
_MODEL = {1: _KEPT, 7: _GRAPH, 8: _ENTRY, 14: _ENTRY}

_LONG = 1_024  # bytes of a tensor from which on it is not part of the skeleton
_LARGEST_SKELETON = 32_000_000  # bytes
_MOST_FIELDS = 2_000_000
_READ_AHEAD = 4_096  # bytes
_LONGEST_VARINT = 10
_DELIMITED = 2  # protobuf's type of a field with a length; those of a fixed number of bytes:
_FIXED = {1: 8, 5: 4}


class OnnxFile:
    """The linear layers of an ONNX model; opening it reads the graph without the long tensors.

    A layer is ``NAME.weight`` with ``NAME.bias``, by the name of its tensor or of its node.
    """

    def __init__(self, file: CountingFile, path: PurePath) -> None:
        self._file = file
        self._path = path
        self._model = _model(file)
        self._graph = Graph(self._model.graph)
        self._beside: dict[str, CountingFile] = {}
        self._tensors: dict[str, tuple[Layer, Constant]] = {}
        self._layers: dict[str, str] = {}  # by the value that each computes
        for layer in self._graph.layers():
            self._name(layer)
        self.shapes = {
            key: layer.shape if constant is layer.weight else layer.shape[:1]
            for key, (layer, constant) in self._tensors.items()
        }

    @property
    def usual_head(self) -> str | None:
        """The layer that the outputs come from; HeadError where the graph shows none, or several."""
        outputs = [output.name for output in self._model.graph.output]
        shapes = {key: self.shapes[key] for key in self._layers.values()}
        return last_layer(outputs, self._layers, self._graph.before, shapes, self._file.shown)

    def in_blocks(self, _key: str) -> bool:
        return False

    def extent(self, key: str) -> int:
        tensor = self._tensors[key][1].tensor
        return self._length(key, tensor) if tensor.data_location else 0

    def read(self, key: str) -> Tensor:
        layer, constant = self._tensors[key]
        is_weight = constant is layer.weight
        stored = self._array(key, constant.tensor)
        stored = stored.reshape(stored.shape[:2]) if is_weight else stored.reshape(-1)
        stored = stored.T if constant.turned else stored
        stored = np.ascontiguousarray(stored)
        factor = np.float32(layer.factor if is_weight else layer.bias_factor)
        dtype = self._format(key, constant.tensor)
        if not constant.scales and dtype in _INTEGERS:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} holds integers, and the model does not say what "
                f"numbers they stand for; export it in floating point"
            )
        if not constant.scales and factor == 1:
            return Tensor(rounded(stored), dtype)
        scale = self._scale(key, constant, len(stored)) * factor
        zero = 0 if constant.zero is None else self._array(key, constant.zero)
        if np.size(zero) not in {1, scale.size}:
            raise self._damaged(f"{quoted(key)} has {np.size(zero):,} zero points")
        return dequantised(stored, scale, zero, dtype)

    def labels(self) -> LabelSpace | None:
        """The labels in the model's metadata, as ultralytics and others write them."""
        metadata = {entry.key: entry.value for entry in self._model.metadata_props}
        for key in _LABEL_KEYS:
            labels = _label_list(metadata.get(key, ""))
            if labels:
                where = f"{quoted(key)} in the metadata of {self._file.shown}"
                return label_space(self._path.stem, labels, None, where, first_row=0)
        return None

    def _name(self, layer: Layer) -> None:
        """File a layer under its tensor's name and its node's; the more telling one comes first."""
        tensor = layer.weight.tensor.name.removesuffix(".weight")
        names = [layer.node.name or layer.node.output[0], tensor]
        if tensor != layer.weight.tensor.name:
            names.reverse()
        for name in names:
            if name and f"{name}.weight" not in self._tensors:
                self._tensors[f"{name}.weight"] = (layer, layer.weight)
                self._layers.setdefault(layer.value, f"{name}.weight")
                if layer.bias is not None:
                    self._tensors[f"{name}.bias"] = (layer, layer.bias)

    def _scale(self, key: str, constant: Constant, n_rows: int) -> NDArray[np.float32]:
        scale = np.ones(1, np.float32)
        for part in constant.scales:
            scale = scale * rounded(self._array(key, part)).reshape(-1)
        by_row = constant.axis % len(constant.tensor.dims or [1]) == int(constant.turned)
        if scale.size != 1 and not (by_row and scale.size == n_rows):
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} has {scale.size:,} scales; such weights are read "
                f"with one scale, or one for each class: export it so, or in floating point"
            )
        return scale

    def _array(self, key: str, tensor: Any) -> NDArray[Any]:
        """The numbers of a tensor in its shape, as numpy's type or one that ``ml_dtypes`` adds."""
        from onnx import numpy_helper

        length = self._length(key, tensor)
        if tensor.data_location:
            content = self._content(key, tensor, length)
            return content.view(_dtype(tensor)).reshape(tuple(tensor.dims))
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            raise self._damaged(
                f"the tensor of {quoted(key)} has not the size of its shape"
            ) from error

    def _length(self, key: str, tensor: Any) -> int:
        """The bytes of a tensor whose format can be a head's."""
        self._format(key, tensor)
        if min(tensor.dims, default=0) < 0:
            raise self._damaged(f"{quoted(key)} has a negative size")
        return int(math.prod(tensor.dims) * _dtype(tensor).itemsize)

    def _content(self, key: str, tensor: Any, length: int) -> NDArray[np.uint8]:
        """The bytes of a long tensor, which lie in this file or in one beside it."""
        place = {entry.key: entry.value for entry in tensor.external_data}
        location = place.get("location")
        file = self._file if location is None else self._external(location)
        start = _whole_number(place.get("offset", "0"))
        stored = _whole_number(place.get("length", str(length)))
        if start is None or stored != length:
            raise self._damaged(f"{quoted(key)} does not fit the place where its numbers are")
        return file.read_range(start, length)

    def _external(self, location: str) -> CountingFile:
        """The file of that name in the model's own folder, and nowhere else."""
        if location not in self._beside:
            names = {PurePosixPath(location).name, PureWindowsPath(location).name}
            if names != {location} or location == ".." or not location.isprintable():
                raise self._outside(location)
            if isinstance(self._path, Path) and not _stays(self._path, location):
                raise self._outside(location)
            self._beside[location] = self._file.beside(location)
        return self._beside[location]

    def _outside(self, location: str) -> SourceError:
        return SourceError(
            f"refused: {self._file.shown} keeps its numbers in {quoted(location)}, which is not a file "
            f"in its own folder; put that file beside the model and correct its external data"
        )

    def _format(self, key: str, tensor: Any) -> str:
        if tensor.data_type not in _FORMATS:
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} is stored in ONNX's data type {tensor.data_type}; a "
                f"head is read from {', '.join(_FORMATS.values())}: export it as one of these"
            )
        return _FORMATS[tensor.data_type]

    def _damaged(self, reason: str) -> SourceError:
        return _damaged(self._file, reason)


def open_onnx(file: CountingFile, path: PurePath) -> OnnxFile:
    """Open the model at ``path``; labels inside it are a space named by its stem.

    Raises SourceError for what is no ONNX model, MissingExtraError without the package ``onnx``.
    """
    return OnnxFile(file, path)


def _model(file: CountingFile) -> Any:
    """The skeleton of the model, in the library's classes."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtraError(
            f"reading {file.shown} needs the package onnx, which is not installed; "
            f'pip install "classrel-db[onnx]" brings it'
        ) from error
    skeleton = _Skeleton(file).read()
    try:
        model = onnx.ModelProto.FromString(skeleton)
    except DecodeError as error:
        raise _damaged(file, "its graph can't be read") from error
    if not model.graph.node:
        raise _damaged(file, "it has no graph")
    return model


class _Skeleton:
    """A protobuf message without what is not needed of it, and without long tensors.

    Of those it keeps the place in this file, as the format does of tensors in another one: what it
    lacks is the name of that file.
    """

    def __init__(self, file: CountingFile) -> None:
        self._file = file
        self._buffered = io.BufferedReader(file, _READ_AHEAD)
        self._fields_left = _MOST_FIELDS
        self._bytes_left = _LARGEST_SKELETON

    def read(self) -> bytes:
        try:
            return bytes(self._message(0, self._file.size, _MODEL))
        finally:
            self._buffered.detach()  # or it would close the file

    def _message(self, start: int, end: int, rules: dict[int, Any]) -> bytearray:
        """The message in the bytes from ``start`` to ``end``, by the ``rules`` for its fields."""
        result = bytearray()
        position = start
        while position < end:
            tag, content = self._varint(position, end)
            rule = rules.get(tag >> 3)
            if tag & 7 != _DELIMITED:
                content = self._after_number(tag & 7, content, end)
                result += self._taken(position, content) if rule else b""
                position = content
                continue
            length, content = self._varint(content, end)
            if length > end - content:
                raise _damaged(self._file, "a part of it is longer than the whole")
            if isinstance(rule, dict):
                inner = self._message(content, content + length, rule)
                result += _varint(tag) + _varint(len(inner)) + inner
            elif rule == _NUMBERS and length > _LONG:
                result += _place(content, length)
            elif rule:
                result += self._taken(position, content + length)
            position = content + length
        return result

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """The whole number at ``position``, and where it ends."""
        self._fields_left -= 1
        if self._fields_left < 0:
            raise _damaged(self._file, f"its graph has more than {_MOST_FIELDS:,} parts")
        self._buffered.seek(position)
        number = 0
        for index, byte in enumerate(self._buffered.read(min(_LONGEST_VARINT, end - position))):
            number |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return number, position + index + 1
        raise _damaged(self._file, "its fields can't be told apart")

    def _after_number(self, wire_type: int, position: int, end: int) -> int:
        if wire_type == 0:
            return self._varint(position, end)[1]
        if wire_type not in _FIXED or position + _FIXED[wire_type] > end:
            raise _damaged(self._file, "its fields can't be told apart")
        return position + _FIXED[wire_type]

    def _taken(self, start: int, stop: int) -> bytes:
        self._bytes_left -= stop - start
        if self._bytes_left < 0:
            raise SourceError(
                f"{self._file.shown} has a graph of more than {_LARGEST_SKELETON:,} bytes beside its "
                f"tensors; save its weights as raw data, as onnx.numpy_helper.from_array does"
            )
        self._buffered.seek(start)
        return self._buffered.read(stop - start)


def _place(start: int, length: int) -> bytes:
    """The fields of a tensor that say that its numbers are elsewhere, and where."""
    from onnx import StringStringEntryProto, TensorProto

    place = {"offset": str(start), "length": str(length)}
    entries = [StringStringEntryProto(key=key, value=value) for key, value in place.items()]
    tensor = TensorProto(data_location=TensorProto.EXTERNAL, external_data=entries)
    return bytes(tensor.SerializeToString())


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _stays(path: Path, location: str) -> bool:
    """Whether the file beside the model at ``path`` is there, and no link to another folder.

    A cache keeps links to its store: there, both files lie in one folder when the links are followed.
    """
    try:
        folders = {path.parent.resolve(), path.resolve().parent}
        return (path.parent / location).resolve().parent in folders
    except (OSError, RuntimeError):  # RuntimeError: a link that leads to itself
        return False


def _label_list(text: str) -> list[str] | None:
    """The labels in a JSON or Python literal: a list, or a mapping from the indices 0, 1, …"""
    if not 0 < len(text) <= _LONGEST_LABELS:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        try:
            content = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    if isinstance(content, dict):
        by_index = {str(key): value for key, value in content.items()}
        content = [by_index.get(str(index)) for index in range(len(content))]
    if isinstance(content, list) and all(isinstance(label, str) for label in content):
        return content
    return None


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _dtype(tensor: Any) -> np.dtype[Any]:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))


def _damaged(file: CountingFile, reason: str) -> SourceError:
    return SourceError(
        f"{file.shown} is no ONNX model, or is damaged: {reason}; copy, download or export it again"
    )
