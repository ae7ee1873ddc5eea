"""The pickles in torch's checkpoints: which tensors there are, and of which storage each is a view.

Nothing is ever unpickled but by torch's own restricted unpickler, the one behind
``torch.load(..., weights_only=True)``, which builds tensors and plain containers and refuses
everything else. The storages that it asks for are given to it without numbers, on torch's device
``meta``: so a pickle costs its own bytes, whatever the checkpoint weighs.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from classrel_db.errors import SourceError
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    import torch

    from classrel_db.sources.counted import CountingFile

# Bytes. A tensor takes some 150, so this is for 50,000 of them; and a hostile byte makes an object of
# some hundred bytes in memory.
LONGEST_PICKLE = 8 << 20

REMEDY = (
    'save tensors only: torch.save(model.state_dict(), "weights.pth"), '
    'or safetensors.torch.save_file(model.state_dict(), "weights.safetensors")'
)

_DEEPEST = 20  # levels of a nested checkpoint

# What the restricted unpickler would build, by the last or only part of the name in the pickle.
# Sparse tensors leave a trace in torch itself, quantised ones can't be built without their numbers,
# others have no storage of their own, and byte arrays take memory that the file need not have.
_NOT_READ = {
    b"_rebuild_sparse_tensor": "sparse tensors",
    b"torch.sparse": "sparse tensors",
    b"torch.cuda.sparse": "sparse tensors",
    b"_rebuild_qtensor": "tensors that torch quantised",
    b"_rebuild_device_tensor_from_cpu_tensor": "tensors of another device",
    b"_rebuild_device_tensor_from_numpy": "tensors of another device",
    b"_rebuild_nested_tensor": "nested tensors",
    b"_rebuild_wrapper_subclass": "tensors of other kinds",
    b"bytearray": "byte arrays",
}

# what torch and its unpickler raise on a pickle that is no checkpoint, or a damaged one
DAMAGED = (UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError,
           AttributeError, AssertionError, ArithmeticError, MemoryError, struct.error,
           ImportError)  # fmt: skip

# Python's filters of warnings belong to the process. Nothing waits for a file while it is held.
_UNPICKLING = threading.Lock()


class PickleEndsError(EOFError):
    """The bytes end before the pickle does: there may be more of them in the file."""


class _NotReadError(UnpicklingError):
    """A kind of object that a head is not read from."""


class Pickles(io.BytesIO):
    """Pickles one after the other, as torch's restricted unpickler reads them."""

    def load(self, storages: Storages | None = None) -> Any:
        """The next object; its tensors are views of ``storages``."""
        from torch._weights_only_unpickler import Unpickler

        unpickler: Any = Unpickler(self, encoding="utf-8")
        if storages is not None:
            unpickler.persistent_load = storages.find
        return unpickler.load()

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if size is not None and len(content) < size:
            raise PickleEndsError("the pickle goes on")
        return content

    def readline(self, size: int | None = -1) -> bytes:
        """One half of the name of a class or function: nothing else is read by lines."""
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise PickleEndsError("the pickle goes on")
        if line[:-1] in _NOT_READ:
            raise _NotReadError(_NOT_READ[line[:-1]])
        return line


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of numbers in a file: ``count`` of them, ``itemsize`` bytes each."""

    count: int
    itemsize: int

    @property
    def length(self) -> int:
        """Its bytes."""
        return self.count * self.itemsize


@dataclass(frozen=True, slots=True)
class Part:
    """``length`` bytes of the storage ``key``, from its byte ``start`` on."""

    key: str
    start: int
    length: int


class Storages:
    """The storages that a pickle names: ``by_key``, in the order of their first mention."""

    def __init__(self) -> None:
        self.by_key: dict[str, Storage] = {}
        self._given: dict[str, torch.UntypedStorage] = {}
        self._parts: dict[int, Part] = {}

    def find(self, saved: Any) -> torch.storage.TypedStorage:
        """The storage of a persistent id: what it holds, its key, its device, how many numbers.

        The older format has a sixth entry, for a storage that is a part of another: the key of the
        part, where it begins and how long it is. Today's torch reads such entries and writes none.
        """
        import torch

        _, kind, key, _device, count, *view = saved
        dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
        storage = Storage(count, dtype.itemsize)
        name, start, length = view[0] if view and view[0] is not None else (key, 0, count)
        if any(type(number) is not int for number in (count, start, length)):
            raise TypeError("a storage has no number of numbers")
        if not 0 <= start <= start + length <= count:
            raise ValueError("a part of a storage lies outside it")
        if self.by_key.setdefault(key, storage).length != storage.length:
            raise ValueError("a storage has two lengths")
        if name not in self._given:
            part = Part(key, start * storage.itemsize, length * storage.itemsize)
            given = torch.UntypedStorage(part.length, device="meta")  # type: ignore[no-untyped-call]
            self._given[name] = given
            self._parts[given._cdata] = part
        return torch.storage.TypedStorage(  # type: ignore[no-untyped-call]
            wrap_storage=self._given[name], dtype=dtype, _internal=True
        )

    def part(self, tensor: torch.Tensor) -> Part | None:
        """What ``tensor`` is a view of; None when it was saved without numbers."""
        return self._parts.get(tensor.untyped_storage()._cdata)


@dataclass(frozen=True, slots=True)
class View:
    """A tensor without its numbers: the ``offset`` and ``strides`` are in numbers of ``itemsize`` bytes.

    ``dtype`` is torch's name of it, ``part`` what it is a view of: None when it was saved without
    numbers. ``negated`` says that the numbers are those stored with the other sign.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: str
    itemsize: int
    part: Part | None
    negated: bool

    @property
    def extent(self) -> int:
        """The bytes from the first of its numbers to the last."""
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.strides, strict=True)
        return self.itemsize * (1 + sum((size - 1) * stride for size, stride in steps))


@contextmanager
def unpickling(file: CountingFile) -> Iterator[None]:
    """Around all that unpickles what was read from ``file``: failures in the user's words.

    PickleEndsError passes: whoever has read a part of the file may read more.
    """
    import torch  # noqa: F401  # before the lock: it takes a second

    try:
        with _UNPICKLING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's notes are for whoever wrote the file
            yield
    except PickleEndsError:
        raise
    except DAMAGED as error:
        raise _refusal(file, error) from error


def named_views(content: Any, storages: Storages) -> dict[str, View]:
    """Every tensor in nested containers by its dotted name; a bare one is called ``weight``."""
    return {name: _view(tensor, storages) for name, tensor in _walk(content, (), set())}


def _view(tensor: torch.Tensor, storages: Storages) -> View:
    view = View(
        shape=tuple(map(int, tensor.shape)),
        strides=tuple(map(int, tensor.stride())),
        offset=int(tensor.storage_offset()),
        dtype=str(tensor.dtype),
        itemsize=tensor.dtype.itemsize,
        part=storages.part(tensor),
        negated=bool(tensor.is_neg()),
    )
    if len(view.strides) != len(view.shape) or min((0, view.offset, *view.strides)) < 0:
        raise ValueError("a tensor has strides that no tensor has")  # a pickle can set its methods
    return view


def _walk(
    content: Any, names: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each container is walked once: a pickle can hold itself."""
    import torch

    if isinstance(content, torch.Tensor):
        yield ".".join(names) or "weight", content
    elif isinstance(content, Mapping | list | tuple) and len(names) < _DEEPEST:
        if id(content) in seen:
            return
        seen.add(id(content))
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from _walk(value, (*names, str(key)), seen)


def _refusal(file: CountingFile, error: BaseException) -> SourceError:
    """What went wrong, in the user's words: torch's own run over many lines."""
    if isinstance(error, _NotReadError):
        return SourceError(
            f"{file.shown} holds {error}, which are not read; convert them to dense tensors of "
            f"floats, and {REMEDY}"
        )
    unsafe = re.search(r"GLOBAL (\S+)", str(error))
    if unsafe:
        return SourceError(
            f"refused: {file.shown} holds {quoted(unsafe[1].rstrip('.'))}, which is no tensor, and "
            f"unpickling it runs code of whoever wrote the file (or the file is damaged); {REMEDY}"
        )
    return SourceError(
        f"{file.shown} is a damaged torch checkpoint, or holds more than tensors "
        f"({type(error).__name__}); copy or download it again, or {REMEDY}"
    )
