"""What a source of heads offers, and what is known of a head before it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from classrel_db.records import Head, LoadOptions, ZooEntry

ReadProgress = Callable[[int, int], None]
"""Called with the bytes done and the bytes of the head to read."""


class Source(Protocol):
    """Where heads come from. A ref is a spec without the source's prefix."""

    @property
    def name(self) -> str:
        """The prefix in a spec: ``torchvision``."""

    @property
    def takes_labels(self) -> bool:
        """Whether the user may name the labels; False when the source knows its own."""

    def list(self) -> Iterable[ZooEntry]:
        """Every head that can be loaded; nothing for files."""

    def names(self) -> Sequence[str]:
        """The model names, to suggest the nearest of them."""

    def knows(self, ref: str) -> bool:
        """Whether a ref without a prefix is this source's to answer."""

    def resolve(self, ref: str) -> str:
        """The default model name for ``ref``; an error when there is no such head."""

    def to_fetch(self, ref: str) -> str | None:
        """The address that ``load`` would download first; None when the bytes are at hand."""

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        """Read the head."""


@dataclass(frozen=True, slots=True)
class Located:
    """A spec whose source is known and has such a head; ``name`` is its default model name."""

    spec: str
    source: Source
    ref: str
    name: str
    takes_labels: bool
