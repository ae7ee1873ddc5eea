"""TFLite models: the graph shows which layer is the head, and where its numbers lie.

The file is one flatbuffer: tables of offsets, with the tensors' bytes between them. It is simple
enough to be followed by hand, and doing so reads the graph and the head's bytes only:
https://flatbuffers.dev/internals
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.errors import LabelError, SourceError
from classrel_db.sources.formats.dtypes import Tensor, rounded
from classrel_db.sources.formats.linear import dequantised, last_layer
from classrel_db.sources.labels import label_space
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePath

    from numpy.typing import NDArray

    from classrel_db.records import LabelSpace
    from classrel_db.sources.counted import CountingFile

# numbers of the format's schema. TensorType of what a head may be stored as: numpy's type, ours
_FORMATS = {0: ("<f4", "F32"), 1: ("<f2", "F16"), 2: ("<i4", "I32"), 3: ("u1", "U8"),
            4: ("<i8", "I64"), 9: ("i1", "I8"), 10: ("<f8", "F64")}  # fmt: skip
# BuiltinOperator
_CONV, _DEQUANTIZE, _DENSE = 3, 6, 9
# those whose result is computed from their first input without weights: average pool, dequantize,
# logistic, reshape, softmax, transpose, mean, squeeze, exp, top k, log softmax, cast, argmax, expand
# dims, log, sum, reduce max, quantize
_PASSING = frozenset({1, 6, 14, 22, 25, 39, 40, 43, 47, 48, 50, 53, 56, 70, 73, 74, 82, 114})
# and those that combine two, of which a constant must be a single number: add, mul, sub, div
_COMBINING = frozenset({0, 18, 41, 42})
# the field of a layer's options that names the activation after it; 0 is none
_ACTIVATION = {_DENSE: 0, _CONV: 3}
_AXIS_LABELS = 2  # AssociatedFileType of a file with one label a line

_MOST_READS = 1_000_000  # of single numbers and vectors: a damaged file can refer to itself,
_MOST_BYTES = 500_000_000  # and to the same part again and again
_LONGEST_VECTOR = 100_000
_LONGEST_NAME = 4_096
_LARGEST_LABELS = 10_000_000  # bytes

_BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError,
            struct.error, OverflowError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Stored:
    """A tensor with its numbers in the file."""

    table: _Table
    shape: tuple[int, ...]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class _Operator:
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: _Table | None

    @property
    def activation(self) -> int:
        field = _ACTIVATION[self.code]
        return 0 if self.options is None else self.options.number(field, "<b", 0)


class TfliteFile:
    """The linear layers of a TFLite model; opening it reads the graph without the tensors.

    A layer is ``NAME.weight`` with ``NAME.bias``, by the name of its weights.
    """

    def __init__(self, file: CountingFile, name: str) -> None:
        self._file = file
        self._name = name
        self._model = _root(file)
        graphs = self._model.tables(2)
        if not graphs:
            raise _damaged(file, "it has no graph")
        self._graph = graphs[0]  # the others are called by it
        self._tensors = self._graph.tables(0)
        self._buffers = self._model.tables(4)
        self._operators = list(self._all_operators())
        self._producers = {value: each for each in self._operators for value in each.outputs}
        self._stored: dict[str, _Stored] = {}
        self._layers: dict[int, str] = {}  # by the number of the tensor that each computes
        for operator in self._operators:
            if operator.code in _ACTIVATION:
                self._add_layer(operator)
        self.shapes = {key: stored.shape for key, stored in self._stored.items()}

    @property
    def usual_head(self) -> str | None:
        """The layer that the outputs come from; HeadError where the graph shows none, or several."""
        outputs = self._graph.numbers(2, "<i4").tolist()
        return last_layer(outputs, self._layers, self._before, self.shapes, self._file.shown)

    def in_blocks(self, _key: str) -> bool:
        return False

    def extent(self, key: str) -> int:
        return self._stored[key].length

    def read(self, key: str) -> Tensor:
        stored = self._stored[key]
        kind = stored.table.number(1, "<b", 0)
        if kind not in _FORMATS or stored.table.offset(6):
            known = ", ".join(name for _numpy, name in _FORMATS.values())
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} is sparse or of TFLite's type {kind}; a head is "
                f"read from dense {known}: convert the model to one of these"
            )
        numpy_name, dtype = _FORMATS[kind]
        if stored.length != math.prod(stored.shape) * np.dtype(numpy_name).itemsize:
            raise _damaged(self._file, f"{quoted(key)} has not the size of its shape")
        content = self._file.read_range(stored.start, stored.length)
        numbers = content.view(numpy_name).reshape(stored.shape)
        if dtype.startswith("F"):
            return Tensor(rounded(numbers), dtype)
        return dequantised(numbers, *self._scale(key, stored), dtype)

    def labels(self) -> LabelSpace | None:
        """The label file that the model's metadata names for an output, where there is one."""
        name = next(self._label_files(), None)
        if name is None:
            return None
        where = f"{quoted(name)} in {self._file.shown}"
        try:
            with zipfile.ZipFile(self._file) as archive, archive.open(name) as member:
                content = member.read(_LARGEST_LABELS + 1)
        except KeyError:
            return None
        except _BAD_ZIP as error:
            raise LabelError(
                f"{where} can't be read: {error}; give the labels with --labels"
            ) from error
        if len(content) > _LARGEST_LABELS:
            raise LabelError(f"{where} has more than {_LARGEST_LABELS:,} bytes; give --labels FILE")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LabelError(f"{where} is not UTF-8; give the labels with --labels") from error
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        return label_space(self._name, lines, None, where, first_row=1)

    def _all_operators(self) -> Iterator[_Operator]:
        # a code below 127 may be in the older field alone
        codes = [
            max(code.number(0, "<b", 0), code.number(3, "<i", 0)) for code in self._model.tables(1)
        ]
        for table in self._graph.tables(3):
            index = table.number(0, "<I", 0)
            if index >= len(codes):
                raise _damaged(self._file, "an operator is of no kind")
            yield _Operator(
                codes[index],
                tuple(table.numbers(1, "<i4").tolist()),
                tuple(table.numbers(2, "<i4").tolist()),
                table.table(4),
            )

    def _add_layer(self, operator: _Operator) -> None:
        if len(operator.inputs) < 2 or not operator.outputs:
            return
        weight = self._constant(operator.inputs[1])
        if weight is None or len(weight.shape) < 2:
            return
        rows, *window, columns = weight.shape
        if any(size != 1 for size in window):
            return
        if operator.code == _DENSE and operator.options and operator.options.number(1, "<b", 0):
            return  # its weights are in the order of one kind of processor
        weight = _Stored(weight.table, (rows, columns), weight.start, weight.length)
        bias = self._constant(operator.inputs[2]) if len(operator.inputs) > 2 else None
        if bias is None and operator.inputs[2:3] not in {(), (-1,)}:
            return
        name = weight.table.text(3) or f"tensor {operator.inputs[1]}"
        if f"{name}.weight" in self._stored:
            name = f"{name} {operator.outputs[0]}"
        self._stored[f"{name}.weight"] = weight
        if bias is not None:
            self._stored[f"{name}.bias"] = bias
        if not operator.activation:  # what is cut off at 0 is no score of a class
            self._layers[operator.outputs[0]] = f"{name}.weight"

    def _before(self, value: int) -> list[int] | None:
        """What ``last_layer`` asks: the tensors that a tensor is computed from without weights."""
        operator = self._producers.get(value)
        if operator is None or not operator.inputs:
            return None
        if operator.code in _PASSING:
            return [operator.inputs[0]]
        if operator.code in _COMBINING:
            constants = {each: self._constant(each) for each in operator.inputs}
            computed = [each for each, stored in constants.items() if stored is None]
            single = all(math.prod(stored.shape) == 1 for stored in constants.values() if stored)
            return computed if single else None
        return None

    def _constant(self, index: int) -> _Stored | None:
        """The tensor of that number, or the one that it is dequantised from, if it is in the file."""
        operator = self._producers.get(index)
        if operator is not None and operator.code == _DEQUANTIZE and operator.inputs:
            index = operator.inputs[0]
        elif operator is not None:
            return None
        if not 0 <= index < len(self._tensors):
            return None
        table = self._tensors[index]
        number = table.number(2, "<I", 0)
        if number >= len(self._buffers):
            raise _damaged(self._file, f"the tensor {index} has no buffer")
        buffer = self._buffers[number]
        start, length = buffer.vector(0) or (0, 0)
        if not length:  # a file beyond 2 GB has its numbers behind the flatbuffer
            start, length = buffer.number(1, "<Q", 0), buffer.number(2, "<Q", 0)
        if start < 2 or not length:
            return None
        shape = tuple(table.numbers(0, "<i4").tolist())
        if any(size < 0 for size in shape):
            raise _damaged(self._file, f"the tensor {index} has a negative size")
        return _Stored(table, shape, start, length)

    def _scale(
        self, key: str, stored: _Stored
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]:
        """Scales and zero points of a tensor of integers, one or one for each row."""
        quantisation = stored.table.table(4)
        scale = quantisation.numbers(2, "<f4") if quantisation else np.empty(0, np.float32)
        zero = quantisation.numbers(3, "<i8") if quantisation else np.empty(0, np.int64)
        along = quantisation.number(6, "<i", 0) if quantisation else 0
        if scale.size not in {1, stored.shape[0]} or (scale.size > 1 and along != 0):
            raise SourceError(
                f"{quoted(key)} of {self._file.shown} holds integers with {scale.size:,} scales; they are "
                f"read with one scale, or one for each class: convert the model so, or to floating point"
            )
        if zero.size not in {0, 1, scale.size}:
            raise _damaged(self._file, f"{quoted(key)} has {zero.size:,} zero points")
        return scale, zero if zero.size else np.zeros(1, np.int64)

    def _label_files(self) -> Iterator[str]:
        for entry in self._model.tables(6):
            number = entry.number(1, "<I", 0)
            if entry.text(0) != "TFLITE_METADATA" or number >= len(self._buffers):
                continue
            start, length = self._buffers[number].vector(0) or (0, 0)
            for graph in _Flatbuffer(self._file, start, length).root().tables(3) if length else ():
                for output in graph.tables(3):
                    for file in output.tables(6):
                        if file.number(2, "<b", 0) == _AXIS_LABELS:
                            yield file.text(0)


def open_tflite(file: CountingFile, path: PurePath) -> TfliteFile:
    """Open the model at ``path``; the labels inside it are a space named by its stem.

    Raises SourceError for what is no TFLite model.
    """
    return TfliteFile(file, path.stem)


def _root(file: CountingFile) -> _Table:
    if file.size < 8 or file.read_range(4, 4).tobytes() != b"TFL3":
        raise SourceError(
            f"{file.shown} is no TFLite model: it does not begin like one; is it another format, or "
            f"damaged?"
        )
    return _Flatbuffer(file, 0, file.size).root()


class _Flatbuffer:
    """A flatbuffer in a part of a file; whatever points out of that part is damaged."""

    def __init__(self, file: CountingFile, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._reads_left = _MOST_READS
        self._bytes_left = _MOST_BYTES

    def root(self) -> _Table:
        return _Table(self, self.number(0, "<I"))

    def number(self, position: int, kind: str) -> int:
        return int(struct.unpack(kind, self.content(position, struct.calcsize(kind)).tobytes())[0])

    def content(self, position: int, length: int) -> NDArray[np.uint8]:
        self._reads_left -= 1
        self._bytes_left -= length
        if min(self._reads_left, self._bytes_left) < 0:
            raise _damaged(self._file, "its graph has too many parts")
        return self._file.read_range(self.place(position, length), length)

    def place(self, position: int, length: int) -> int:
        """Where ``position`` is in the file, if ``length`` bytes from there are in this flatbuffer."""
        if position < 0 or position + length > self._length:
            raise _damaged(self._file, "a part of it lies beyond its end")
        return self._start + position

    def too_long(self, what: str, length: int) -> SourceError:
        return _damaged(self._file, f"{what} would have {length:,} elements")


class _Table:
    """A table: fields by number, each of which may be absent."""

    def __init__(self, buffer: _Flatbuffer, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._places: NDArray[np.uint16] | None = None

    def offset(self, field: int) -> int:
        """Where the field is, 0 if it is absent."""
        if self._places is None:
            start = self._position - self._buffer.number(self._position, "<i")
            size = self._buffer.number(start, "<H")
            self._places = self._buffer.content(start, size // 2 * 2).view("<u2")
        place = int(self._places[2 + field]) if 2 + field < self._places.size else 0
        return self._position + place if place else 0

    def number(self, field: int, kind: str, default: int) -> int:
        position = self.offset(field)
        return self._buffer.number(position, kind) if position else default

    def table(self, field: int) -> _Table | None:
        position = self.offset(field)
        return _Table(self._buffer, self._target(position)) if position else None

    def vector(self, field: int) -> tuple[int, int] | None:
        """Where in the file a vector of bytes begins, and its length."""
        position = self.offset(field)
        if not position:
            return None
        start = self._target(position)
        length = self._buffer.number(start, "<I")
        return self._buffer.place(start + 4, length), length

    def numbers(self, field: int, kind: str) -> NDArray[Any]:
        position = self.offset(field)
        if not position:
            return np.empty(0, kind)
        start = self._target(position)
        length = self._buffer.number(start, "<I")
        if length > _LONGEST_VECTOR:
            raise self._buffer.too_long("a list", length)
        return self._buffer.content(start + 4, length * np.dtype(kind).itemsize).view(kind)

    def tables(self, field: int) -> list[_Table]:
        start = self._target(self.offset(field)) + 4 if self.offset(field) else 0
        offsets = self.numbers(field, "<u4").tolist()
        places = [start + 4 * index + offset for index, offset in enumerate(offsets)]
        return [_Table(self._buffer, place) for place in places]

    def text(self, field: int) -> str:
        position = self.offset(field)
        if not position:
            return ""
        start = self._target(position)
        length = self._buffer.number(start, "<I")
        if length > _LONGEST_NAME:
            raise self._buffer.too_long("a name", length)
        return self._buffer.content(start + 4, length).tobytes().decode(errors="replace")

    def _target(self, position: int) -> int:
        return position + self._buffer.number(position, "<I")


def _damaged(file: CountingFile, reason: str) -> SourceError:
    return SourceError(
        f"{file.shown} is a damaged TFLite model: {reason}; copy or download it again"
    )
