"""torchvision's classification architectures with their pretrained weights."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classrel_db.errors import HeadError, LabelError, SourceError, UnknownModelError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import read_head
from classrel_db.sources.counted import open_counted
from classrel_db.sources.labels import imagenet1k
from classrel_db.sources.packaged import PACKAGES
from classrel_db.sources.remote import open_remote
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classrel_db.records import Head, LabelSpace, LoadOptions
    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.protocol import ReadProgress

_DEFAULT = "DEFAULT"  # an alias in each of torchvision's enumerations

# torchvision's file names end in the first digits of their SHA-256; torch.hub reads them so too
_HASH_IN_NAME = re.compile(r"-([a-f0-9]{8,})\.")


class TorchvisionSource:
    """``NAME`` with torchvision's default weights, or ``NAME@WEIGHTS``."""

    name = "torchvision"
    takes_labels = False

    def list(self) -> Iterable[ZooEntry]:
        """Every weights of every architecture that come with a classifier."""
        from torchvision import models

        for model in self.names():
            for weights in models.get_model_weights(model):  # leaves out the alias DEFAULT
                if _has_classes(weights):
                    yield self._entry(model, weights)

    def names(self) -> Sequence[str]:
        from torchvision import models

        # without `module` the segmentation, detection and video models come too
        return tuple(models.list_models(module=models))

    def knows(self, ref: str) -> bool:
        return ref.partition("@")[0] in self.names()

    def resolve(self, ref: str) -> str:
        self._weights(ref)
        return ref

    def describe(self, ref: str) -> ZooEntry:
        model, _, _ = ref.partition("@")
        return replace(self._entry(model, self._weights(ref)), name=ref)

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        weights = self._weights(ref)
        space = _label_space(weights)
        path = _cached(weights.url)
        if options.full and not _exists(path):
            if progress is not None:
                progress(0, _size(weights), "download", "")
            _download(weights.url, path)
        if not _exists(path):
            return self._read(open_remote(weights.url, progress), path, weights, space)
        try:
            return self._read(open_counted(path, progress), path, weights, space)
        except HeadError:
            raise
        except SourceError as error:
            raise SourceError(
                f"{error} (the file is in torch's cache: delete it, and it is got again)"
            ) from error

    def _read(self, file: CountingFile, path: Path, weights: Any, space: LabelSpace) -> Head:
        return read_head(file, path, source=self.name, uri=weights.url, space=space)

    def _entry(self, model: str, weights: Any) -> ZooEntry:
        return ZooEntry(
            spec=f"{self.name}:{model}@{weights.name}",
            source=self.name,
            uri=weights.url,
            name=f"{model}@{weights.name}",
            classes=len(weights.meta["categories"]),
            file_bytes=_size(weights),
            cached=_exists(_cached(weights.url)),
        )

    def _weights(self, ref: str) -> Any:
        """The member of torchvision's enumeration of weights that ``ref`` names."""
        model, at, wanted = ref.partition("@")
        names = self.names()
        if model not in names:
            raise UnknownModelError(
                f"torchvision has no classification model {quoted(model)}"
                f"{did_you_mean(model, names)}"
            )
        by_name = _all_weights(model)
        if at and wanted not in by_name:
            raise UnknownModelError(
                f"{model} has no weights {quoted(wanted)}; torchvision has "
                f"{', '.join(f'{model}@{name}' for name in by_name if name != _DEFAULT)}"
            )
        weights = by_name[wanted if at else _DEFAULT]
        if not _has_classes(weights):
            raise HeadError(
                f"{ref}: torchvision's file has features only, no classifier; "
                f"{model}@{by_name[_DEFAULT].name} has one"
            )
        return weights


def _all_weights(model: str) -> dict[str, Any]:
    from torchvision import models

    return dict(models.get_model_weights(model).__members__)


def _size(weights: Any) -> int:
    """The bytes of the file: torchvision tells them in units of 2**20, to three decimals."""
    return int(weights.meta["_file_size"] * 2**20)


def _has_classes(weights: Any) -> bool:
    return bool(weights.meta.get("categories"))


def _label_space(weights: Any) -> LabelSpace:
    """ImageNet-1k, once torchvision's own list of classes is seen to be just that."""
    space = imagenet1k()
    if tuple(weights.meta["categories"]) != space.labels:
        raise LabelError(
            f"torchvision's classes for {weights} are not ImageNet-1k's in their usual order, and "
            f"labelling them so would be wrong; give the checkpoint as a file with --labels FILE"
        )
    return space


def _cached(url: str) -> Path:
    """Where torch keeps the file of ``url``: TORCH_HOME is honoured."""
    from urllib.parse import urlparse

    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that may not be entered; the download says so
        return False


def _download(url: str, path: Path) -> None:
    """Fetch ``url`` with torch's own function, which checks the hash and leaves no partial file."""
    import http.client
    import urllib.error

    import torch

    # what a download raises when the other side can't be reached or breaks off
    unreachable = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)
    hashed = _HASH_IN_NAME.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=hashed[1] if hashed else None, progress=False
        )
    except unreachable as error:
        raise SourceError(
            f"can't download {url} ({error}); without a network, put that file into {path.parent} "
            f"by hand, or take a model that needs none: {', '.join(PACKAGES)}"
        ) from error
    except RuntimeError as error:
        raise SourceError(
            f"the file from {url} is not the one that torchvision names: {error}; nothing was kept"
        ) from error
    except OSError as error:
        raise SourceError(f"can't keep {url} in torch's cache {path.parent}: {error}") from error
