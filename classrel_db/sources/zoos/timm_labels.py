"""What timm's configurations state of a classifier: which layer it is, and what its classes are."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from classrel_db.errors import MissingExtraError
from classrel_db.records import LabelSpace
from classrel_db.sources.labels import imagenet1k

if TYPE_CHECKING:
    from collections.abc import Sequence

# The last data set that a tag names is what the classifier was trained on: in22k_ft_in1k.
_DATA_SET = re.compile(r"(?:^|_)(in\d+k)(?=_|$)")

# timm's name of the list of synsets, by that data set and the number of classes: the makers of
# ImageNet's larger sets each left out others.
SUBSETS = {
    ("in1k", 1000): "imagenet-1k",
    ("in12k", 11821): "imagenet-12k",
    ("in22k", 21841): "imagenet-22k",
    ("in22k", 21842): "imagenet-22k-ms",
    ("in21k", 21843): "imagenet-21k-goog",
    ("in21k", 11221): "imagenet-21k-miil",
}

# These have a head on each stage, and the last of these is on the last features.
_STAGES = [f"heads.{stage}" for stage in range(4)]


def subset_of(cfg: Any) -> str | None:
    """timm's name of the list of a model's classes; None where timm states none."""
    named: list[str] = _DATA_SET.findall(cfg.tag or "")
    return SUBSETS.get((named[-1], cfg.num_classes)) if named else None


def heads_of(cfg: Any) -> tuple[str, ...]:
    """The layers that classify, the main one first: distilled models have two, some have more."""
    stated = cfg.classifier
    heads = (stated,) if isinstance(stated, str) else tuple(stated or ())
    if list(heads[:4]) == _STAGES:
        return (_STAGES[-1], *(head for head in heads if head != _STAGES[-1]))
    return heads


@cache
def synsets(subset: str) -> LabelSpace:
    """The classes of one of timm's lists; concepts are WordNet ids, labels the first lemmas.

    A class of ImageNet-1k has the label that it has there. Others may share a label.
    """
    known = imagenet1k()
    if subset == SUBSETS["in1k", 1000]:
        return known
    info = _info(subset)
    ids = tuple(info.label_names())
    own = dict(zip(known.concepts, known.labels, strict=True))
    labels = tuple(own.get(each) or _first_lemma(info, each) for each in ids)
    return LabelSpace(subset.replace("-", "", 1), labels, ids)


def recognised(labels: Sequence[str]) -> LabelSpace | None:
    """The list of timm's whose lemmas ``labels`` are, in its order; None without such a list or timm."""
    if find_spec("timm") is None:
        return None
    for (_data_set, length), subset in SUBSETS.items():
        if length == len(labels) != len(imagenet1k().labels):
            lemmas = _info(subset).label_descriptions()
            if [label.casefold() for label in labels] == [each.casefold() for each in lemmas]:
                return synsets(subset)
    return None


def _info(subset: str) -> Any:
    try:
        from timm.data import imagenet_info
    except ImportError as error:
        raise MissingExtraError(
            f'the classes of {subset} are in timm; pip install "classrel-db[timm]" brings it'
        ) from error
    return imagenet_info.ImageNetInfo(subset)


def _first_lemma(info: Any, synset: str) -> str:
    return str(info.label_name_to_description(synset)).partition(", ")[0]
