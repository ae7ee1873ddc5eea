"""Classifiers in repositories of the Hugging Face Hub, with the labels of their own config.json."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from classrel_db.errors import HeadError, LabelError, SourceError, UnknownModelError
from classrel_db.records import LabelSpace, ZooEntry
from classrel_db.sources.checkpoint import measured, read_head
from classrel_db.sources.labels import given_labels, imagenet1k_by_lemmas, label_space
from classrel_db.sources.zoos.hub_files import (
    WEIGHTS,
    Repository,
    cached_file,
    cached_weights,
    commit_of,
    fetch,
    open_weights,
    require_hub,
)
from classrel_db.sources.zoos.timm_labels import heads_of, recognised, subset_of, synsets
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from classrel_db.records import Head, LoadOptions
    from classrel_db.sources.protocol import ReadProgress
    from classrel_db.sources.zoos.hub_files import HubFile

HEADS = (
    # with a second one that learned from a teacher: DeiT, LeViT, SwiftFormer
    "cls_classifier", "distillation_classifier",
    "classifier.linear", "classifier_distill.linear",
    "head", "dist_head",
    # most; ResNet, RegNet and BiT; RoBERTa; AST; BART
    "classifier", "classifier.1", "classifier.out_proj", "classifier.dense", "classification_head.out_proj",
    # HGNet and TextNet; decoders of text and ImageGPT; XLNet; Perceiver
    "fc", "score", "logits_proj", "perceiver.decoder.decoder.final_layer",
)  # fmt: skip
"""The layers that classify in transformers' models, by their names, which no model has two pairs of."""

_LARGEST = 100_000_000  # bytes of a config.json or a model card
_PLACEHOLDER = re.compile(r"LABEL_\d+")  # transformers' name of a class without one


class HubSource:
    """``OWNER/NAME``, or ``OWNER/NAME@REVISION`` for a branch, a tag or a commit.

    A model whose weights lie in the Hub's cache is read from there, without a network.
    """

    name = "hf"
    takes_labels = True

    def list(self) -> Iterable[ZooEntry]:
        return ()

    def names(self) -> Sequence[str]:
        return ()

    def knows(self, ref: str) -> bool:  # noqa: ARG002
        return False  # a file in a folder is written in the same way

    def resolve(self, ref: str) -> str:
        _repository(ref)
        return ref

    def describe(self, ref: str) -> ZooEntry:
        repository = _repository(ref)
        path = cached_weights(repository)
        return ZooEntry(
            spec=f"{self.name}:{ref}",
            source=self.name,
            uri=repository.shown_address(path.name if path else WEIGHTS[0]),
            name=ref,
            file_bytes=path.stat().st_size if path else None,
            cached=path is not None,
        )

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:
        opened = _open(_repository(ref), options, None)
        weights, space = opened.weights, opened.space
        return measured(
            self.describe(ref),
            weights.file,
            weights.path,
            space=space,
            wanted=options.head,
            usual=opened.heads,
        )

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        repository = _repository(ref)
        opened = _open(repository, options, progress)
        weights = opened.weights
        head = read_head(
            weights.file,
            weights.path,
            source=self.name,
            uri=repository.shown_address(weights.path.name),
            space=opened.space,
            wanted=options.head,
            usual=opened.heads,
            known=options.known,
        )
        card = opened.card()
        return replace(head, revision=weights.commit, license=_license(card) if card else None)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The open weights of a repository, their labels and heads, and the model card: all at one commit."""

    weights: HubFile
    space: LabelSpace
    heads: tuple[str, ...]
    card: Callable[[], Path | None]


def _open(repository: Repository, options: LoadOptions, progress: ReadProgress | None) -> _Opened:
    at_hand = cached_weights(repository) is not None
    cached = cached_file(repository, "config.json") if at_hand else None
    path = cached or fetch(repository, "config.json", progress)
    # one commit for all files, even if the branch moves on meanwhile
    at_commit = Repository(repository.name, commit_of(path)) if path else repository
    config = _config(path, repository) if path else {}
    space = given_labels(options) or _label_space(config, repository)
    weights = open_weights(at_commit, progress, full=options.full)
    get = cached_file if at_hand else partial(fetch, progress=progress)
    return _Opened(weights, space, _heads(config), partial(get, at_commit, "README.md"))


def _repository(ref: str) -> Repository:
    """Raises UnknownModelError for what can't name one."""
    require_hub()
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    name, at, revision = ref.partition("@")
    try:
        utils.validate_repo_id(name)  # type: ignore[attr-defined]
    except HFValidationError as error:
        raise UnknownModelError(
            f"{quoted(ref, 300)} names no model of the Hugging Face Hub; give hf:OWNER/NAME, or "
            f"hf:OWNER/NAME@REVISION"
        ) from error
    if at and (not re.fullmatch(r"[\w.][\w./-]*", revision) or ".." in revision):
        raise UnknownModelError(
            f"{quoted(revision)} is no revision of {quoted(name, 300)}; give a branch, a tag or a commit "
            f"after the @"
        )
    return Repository(name, revision) if at else Repository(name)


def _config(path: Path, repository: Repository) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        content = json.loads(path.read_bytes()) if size <= _LARGEST else None
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise SourceError(f"the config.json of {repository.shown} is not JSON") from error
    if not isinstance(content, dict):
        raise SourceError(f"the config.json of {repository.shown} is not an object, or too large")
    return content


def _heads(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The layers that classify, as timm's kind of config.json says, or by transformers' names."""
    stated = _timm_config(config).classifier
    if isinstance(stated, str | list) and stated and all(isinstance(each, str) for each in stated):
        heads = heads_of(SimpleNamespace(classifier=stated))
        return (*heads, *(f"timm_model.{head}" for head in heads))
    return HEADS


def _timm_config(config: Mapping[str, Any]) -> Any:
    """What timm's kind of config.json says of the classes; None each where it is of another kind."""
    stated = config.get("pretrained_cfg")
    whole = {**(stated if isinstance(stated, dict) else {}), **config}
    if "architecture" not in whole:
        whole = {}
    fields = ("tag", "num_classes", "classifier", "label_names", "label_descriptions")
    found = {field: whole.get(field) for field in fields}
    found["tag"] = found["tag"] if isinstance(found["tag"], str) else None
    return SimpleNamespace(**found)


def _label_space(config: Mapping[str, Any], repository: Repository) -> LabelSpace:
    """The classes that config.json names. Raises LabelError or HeadError where it names none."""
    where = f"the config.json of {repository.shown}"
    timm = _timm_config(config)
    labels = _in_order(config.get("id2label") or timm.label_names, where)
    if not labels:
        subset = subset_of(timm)
        if subset is not None:
            return synsets(subset)
        raise _no_labels(config, repository)
    if all(map(_PLACEHOLDER.fullmatch, labels)):
        raise LabelError(
            f"the labels in {where} are placeholders ({quoted(labels[0])} …); give --labels FILE"
        )
    known = imagenet1k_by_lemmas(labels) or recognised(labels)
    if known is not None:
        return known
    described = timm.label_descriptions
    try:
        if isinstance(described, dict) and all(isinstance(described.get(k), str) for k in labels):
            return label_space(repository.name, [described[k] for k in labels], labels, where, 0)
        return label_space(repository.name, labels, None, where, 0)
    except LabelError as error:
        raise LabelError(f"{error}; give the labels with --labels FILE") from error


def _in_order(labels: object, where: str) -> list[str]:
    """Labels that stand in a list, or under the numbers from 0; empty where there are none."""
    if isinstance(labels, dict):
        keys = [str(index) for index in range(len(labels))]
        if not all(key in labels for key in keys):
            raise LabelError(
                f"the labels in {where} don't stand under the numbers from 0 to {len(labels) - 1}; "
                f"give them with --labels FILE"
            )
        labels = [labels[key] for key in keys]
    if not isinstance(labels, list):
        return []
    if not all(isinstance(label, str) for label in labels):
        raise LabelError(f"the labels in {where} are not all text; give them with --labels FILE")
    return labels


def _no_labels(config: Mapping[str, Any], repository: Repository) -> LabelError | HeadError:
    stated = config.get("architectures") or config.get("architecture") or "not stated"
    architecture = ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)
    if "Classification" not in architecture and "architectures" in config:
        return HeadError(
            f"{repository.shown} has no classifier: its architecture is {quoted(architecture)}, and its "
            f"config.json names no labels; take a model that was trained to classify, or give --labels FILE"
        )
    return LabelError(
        f"{repository.shown} names no labels in its config.json (architecture: {quoted(architecture)}); "
        f"give --labels FILE, or --labels imagenet1k"
    )


def _license(card: Path) -> str | None:
    """The licence that a model card states at its top; None where it states none."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError  # type: ignore[import-untyped]

    if card.stat().st_size > _LARGEST:
        return None
    try:
        stated = metadata_load(card) or {}
    except (ValueError, RecursionError, YAMLError):  # ValueError: no mapping, or no UTF-8
        return None
    found = stated.get("license")
    if found == "other":
        found = stated.get("license_name") or found
    return found if isinstance(found, str) else None
