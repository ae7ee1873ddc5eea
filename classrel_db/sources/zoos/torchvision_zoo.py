"""torchvision's classification architectures with their pretrained weights."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from classrel_db.errors import HeadError, LabelError, UnknownModelError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import read_head
from classrel_db.sources.labels import imagenet1k
from classrel_db.sources.zoos.torch_cache import cached_names, file_name, read_published
from classrel_db.sources.zoos.zoo_table import known_heads, may_have
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from classrel_db.records import Head, LabelSpace, LoadOptions
    from classrel_db.sources.protocol import ReadProgress

_DEFAULT = "DEFAULT"  # an alias in each of torchvision's enumerations

# what torchvision's README says of all its weights; few of them state more
_LICENSE = (
    "not stated for these weights; torchvision says of all that they may have their own licenses, or "
    "terms that derive from the dataset used for training"
)


class TorchvisionSource:
    """``NAME`` with torchvision's default weights, or ``NAME@WEIGHTS``."""

    name = "torchvision"
    takes_labels = False

    def list(self) -> Iterable[ZooEntry]:
        """Every weights of every architecture that come with a classifier."""
        from torchvision import models

        at_hand = cached_names()
        for model in _models():
            for weights in models.get_model_weights(model):  # leaves out the alias DEFAULT
                if _has_classes(weights):
                    yield self._entry(model, weights, at_hand)

    def names(self) -> Sequence[str]:
        """By the table that ships with the package: torchvision takes seconds to import."""
        return tuple(dict.fromkeys(name.partition("@")[0] for name in known_heads(self.name)))

    def knows(self, ref: str) -> bool:
        return ref.partition("@")[0] in self.names()

    def resolve(self, ref: str) -> str:
        self._weights(ref)
        return ref

    def describe(self, ref: str) -> ZooEntry:
        model, _, _ = ref.partition("@")
        return replace(self._entry(model, self._weights(ref), cached_names()), name=ref)

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:  # noqa: ARG002
        return self.describe(ref)  # what the zoo tells is enough

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        weights = self._weights(ref)
        read = partial(read_head, source=self.name, uri=weights.url, space=_label_space(weights))
        head = read_published(weights.url, read, progress, full=options.full, size=_size(weights))
        stated = weights.meta.get("license", _LICENSE)
        return replace(head, license=stated, reference=weights.meta.get("recipe"))

    def _entry(self, model: str, weights: Any, at_hand: AbstractSet[str]) -> ZooEntry:
        name = f"{model}@{weights.name}"
        known = known_heads(self.name).get(name)
        return ZooEntry(
            spec=f"{self.name}:{name}",
            source=self.name,
            uri=weights.url,
            name=name,
            classes=len(weights.meta["categories"]),
            dim=known.dim if known else None,
            head_bytes=known.head_bytes if known else None,
            file_bytes=_size(weights),
            cached=file_name(weights.url) in at_hand,
        )

    def _weights(self, ref: str) -> Any:
        """The member of torchvision's enumeration of weights that ``ref`` names."""
        model, at, wanted = ref.partition("@")
        if not may_have("torchvision", model) or model not in _models():
            raise UnknownModelError(
                f"torchvision has no classification model {quoted(model)}"
                f"{did_you_mean(model, self.names())}"
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


def _models() -> Sequence[str]:
    from torchvision import models

    # without `module` the segmentation, detection and video models come too
    return models.list_models(module=models)  # type: ignore[no-any-return]


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
