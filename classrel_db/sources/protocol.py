"""What a source of heads offers, and what is known of a head before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classrel_db.records import Head, LoadOptions, ZooEntry


class ReadProgress(Protocol):
    """Called with the bytes done and the bytes to read: 0 where they are not known."""

    def __call__(
        self, done: int, total: int, stage: Literal["read", "download"] = "read", note: str = ""
    ) -> None:
        """``download`` is of a whole file; ``note`` says why, before the first byte of it."""


class UnchangedHead(Exception):  # noqa: N818
    """The head is just what ``LoadOptions.known`` says; it was not read again."""


class Source(Protocol):
    """Where heads come from. A ref is a spec without the source's prefix."""

    @property
    def name(self) -> str:
        """The prefix in a spec: ``torchvision``."""

    @property
    def takes_labels(self) -> bool:
        """Whether the user may name the labels; False when the source knows its own."""

    def list(self) -> Iterable[ZooEntry]:
        """Every head that can be loaded, without a network; nothing for files and addresses."""

    def names(self) -> Sequence[str]:
        """The model names, to suggest the nearest of them."""

    def knows(self, ref: str) -> bool:
        """Whether a ref without a prefix is this source's to answer."""

    def resolve(self, ref: str) -> str:
        """The default model name for ``ref``; an error when there is no such head."""

    def describe(self, ref: str) -> ZooEntry:
        """What ``load`` would read, as far as that is known without a network; as of ``resolve``."""

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:
        """The same with the sizes that only opening the file tells; raises as ``load``."""

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        """Read the head; raises UnchangedHead where it is known."""


@dataclass(frozen=True, slots=True)
class Located:
    """A spec whose source is known and has such a head; ``name`` is its default model name."""

    spec: str
    source: Source
    ref: str
    name: str
    takes_labels: bool
