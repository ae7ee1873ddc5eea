"""timm's pretrained models, by their entries in timm itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from classrel_db.errors import HeadError, LabelError, MissingExtraError, UnknownModelError
from classrel_db.records import ZooEntry
from classrel_db.sources.checkpoint import read_head
from classrel_db.sources.zoos.hub_files import WEIGHTS, Repository, cached_weights, open_weights
from classrel_db.sources.zoos.timm_labels import heads_of, subset_of, synsets
from classrel_db.sources.zoos.torch_cache import cached_names, file_name, names_in, read_published
from classrel_db.sources.zoos.zoo_table import known_heads, may_have
from classrel_db.spelling import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from classrel_db.records import Head, LoadOptions
    from classrel_db.sources.protocol import ReadProgress


class TimmSource:
    """``ARCHITECTURE.TAG``, or ``ARCHITECTURE`` with timm's default tag; ``@HEAD`` takes another head.

    Distilled models have two heads, some have more: ``deit_tiny_distilled_patch16_224@head_dist``.
    """

    name = "timm"
    takes_labels = False

    def list(self) -> Iterable[ZooEntry]:
        """Every pretrained model whose classes timm states. Raises MissingExtraError without timm."""
        timm = _timm()
        at_hand = _at_hand()
        for model in timm.list_pretrained():
            cfg = timm.models.get_pretrained_cfg(model)
            if subset_of(cfg) is not None:
                yield self._entry(model, cfg, at_hand)

    def names(self) -> Sequence[str]:
        """By the table that ships with the package: timm takes seconds to import."""
        return tuple(known_heads(self.name))

    def knows(self, ref: str) -> bool:
        model = ref.partition("@")[0]
        known = known_heads(self.name)
        return model in known or model in {name.partition(".")[0] for name in known}

    def resolve(self, ref: str) -> str:
        model, cfg, head = self._find(ref)
        synsets(self._subset(model, cfg))
        return f"{model}@{head}" if head else model

    def describe(self, ref: str) -> ZooEntry:
        model, cfg, head = self._find(ref)
        entry = self._entry(model, cfg, None)
        if head:  # the table is of the main heads
            entry = replace(entry, dim=None, head_bytes=None)
        name = f"{model}@{head}" if head else model
        return replace(entry, spec=f"{self.name}:{name}", name=name)

    def look(self, ref: str, options: LoadOptions) -> ZooEntry:  # noqa: ARG002
        return self.describe(ref)  # what the zoo tells is enough

    def load(self, ref: str, options: LoadOptions, progress: ReadProgress | None) -> Head:
        model, cfg, wanted = self._find(ref)
        space = synsets(self._subset(model, cfg))
        read = partial(
            read_head,
            source=self.name,
            space=space,
            wanted=options.head or wanted,
            usual=heads_of(cfg),
        )
        if cfg.hf_hub_id:
            repository = Repository(cfg.hf_hub_id)
            opened = open_weights(repository, progress, full=options.full)
            uri = repository.shown_address(opened.path.name)
            head = replace(read(opened.file, opened.path, uri=uri), revision=opened.commit)
        else:
            at_address = partial(read, uri=cfg.url)
            head = read_published(cfg.url, at_address, progress, full=options.full)
        stated = None if cfg.license == "unknown" else cfg.license
        return replace(head, license=stated, reference=_reference(cfg))

    def _find(self, ref: str) -> tuple[str, Any, str | None]:
        """The full name, timm's configuration and the head that ``ref`` names, None for the main one."""
        model, at, head = ref.partition("@")
        named = may_have("timm", model.partition(".")[0])
        if not named or not _timm().is_model_pretrained(model):
            raise UnknownModelError(
                f"timm has no pretrained model {quoted(model)}{did_you_mean(model, self.names())}"
            )
        cfg = _timm().models.get_pretrained_cfg(model)
        full = f"{cfg.architecture}.{cfg.tag}" if cfg.tag else str(cfg.architecture)
        heads = heads_of(cfg)
        if at and head not in heads:
            raise UnknownModelError(
                f"{full} has no head {quoted(head)}; it has "
                f"{', '.join(f'{full}@{each}' for each in heads) or 'none'}"
            )
        return full, cfg, head if at and head != heads[0] else None

    def _subset(self, model: str, cfg: Any) -> str:
        """timm's name of the list of classes. Raises HeadError and LabelError where there is none."""
        subset = subset_of(cfg)
        if subset is not None:
            return subset
        if not cfg.num_classes:
            architecture = model.partition(".")[0]
            others = any(name.startswith(architecture) for name in self.names())
            wanted = f"'timm:{architecture}*'" if others else "timm"
            raise HeadError(
                f"timm's file of {model} has features only, no classifier; `classrel zoo {wanted}` lists "
                f"models that have one"
            )
        raise LabelError(
            f"timm names no classes for the {cfg.num_classes:,} outputs of {model}: an embedding, or classes "
            f"of another list; if you have that, ingest hf:{cfg.hf_hub_id} --labels FILE"
        )

    def _entry(self, model: str, cfg: Any, at_hand: AbstractSet[str] | None) -> ZooEntry:
        known = known_heads(self.name).get(model)
        return ZooEntry(
            spec=f"{self.name}:{model}",
            source=self.name,
            uri=_uri(cfg),
            name=model,
            classes=cfg.num_classes,
            dim=known.dim if known else None,
            head_bytes=known.head_bytes if known else None,
            file_bytes=known.file_bytes if known else None,
            cached=_is_cached(cfg, at_hand),
        )


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(
            'timm is not installed; pip install "classrel-db[timm]" brings it'
        ) from error
    return timm


def _uri(cfg: Any) -> str:
    return Repository(cfg.hf_hub_id).shown_address(WEIGHTS[0]) if cfg.hf_hub_id else str(cfg.url)


def _reference(cfg: Any) -> str | None:
    """The paper, by title and number, and the page that timm names as the origin of the weights."""
    papers = (cfg.paper_ids,) if isinstance(cfg.paper_ids, str) else cfg.paper_ids or ()
    return ", ".join(filter(None, (cfg.paper_name, *papers, cfg.origin_url))) or None


def _at_hand() -> AbstractSet[str]:
    """What lies in the caches: folders of the Hub's, files of torch's. Two listings, not one a model."""
    from huggingface_hub import constants

    return names_in(constants.HF_HUB_CACHE) | cached_names()


def _is_cached(cfg: Any, at_hand: AbstractSet[str] | None) -> bool:
    """Whether the weights are in a cache; ``at_hand`` saves looking for those that can't be."""
    if not cfg.hf_hub_id:
        return file_name(cfg.url) in (cached_names() if at_hand is None else at_hand)
    folder = f"models--{cfg.hf_hub_id.replace('/', '--')}"
    if at_hand is not None and folder not in at_hand:
        return False
    return cached_weights(Repository(cfg.hf_hub_id)) is not None
