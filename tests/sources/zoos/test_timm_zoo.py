"""timm's zoo: every entry resolved without a network, heads read from a Hub on loopback."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from classrel_db.errors import HeadError, LabelError, MissingExtraError, UnknownModelError
from classrel_db.records import LoadOptions
from classrel_db.sources import load, locate
from classrel_db.sources.labels import imagenet1k
from classrel_db.sources.zoos.timm_labels import SUBSETS, heads_of, subset_of, synsets
from classrel_db.sources.zoos.timm_zoo import TimmSource
from classrel_db.sources.zoos.zoo_table import known_heads, may_have
from tests.hub_server import COMMIT, Hub, hub
from tests.zoo_table import timm_head

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = timm.list_pretrained()

# Entries whose outputs are no classes, or classes that timm does not name, by what shows it.
FEATURES = "a feature extractor, without a classifier"
CLIP = "a projection into the space that images and texts share"
UNNAMED = "classes of a list that timm does not have"
EXCEPTIONS = {
    CLIP: ("clip", "mci", "vitamin_", "vit_pe_core_", "eva02_enormous_"),
    UNNAMED: ("resmlp_12_224.fb_dino", "resmlp_24_224.fb_dino", ".fb_inw21k", ".bamboo"),
}


def reason(name: str) -> str | None:
    """Why an entry is no classifier with known classes, by its name and timm's number of outputs."""
    if not timm.models.get_pretrained_cfg(name).num_classes:
        return FEATURES
    return next((why for why, marks in EXCEPTIONS.items() if any(m in name for m in marks)), None)


def test_every_entry_is_resolved_or_an_exception() -> None:
    source, counts = TimmSource(), Counter[str]()
    refusals: dict[str, set[type]] = defaultdict(set)
    for name in NAMES:
        cfg = timm.models.get_pretrained_cfg(name)
        try:
            resolved = source.resolve(name)
        except (HeadError, LabelError) as error:
            why = reason(name)
            assert why is not None, name
            refusals[why].add(type(error))
            counts[why] += 1
            continue
        entry = source.describe(name)
        space = synsets(subset_of(cfg))
        assert resolved == entry.name == name
        assert entry.uri == cfg.url or entry.uri.endswith(
            f"/{cfg.hf_hub_id}/resolve/main/model.safetensors"
        )
        assert heads_of(cfg)
        assert len(space.labels) == len(set(space.concepts)) == entry.classes == cfg.num_classes
        counts[space.name] += 1
    assert refusals == {FEATURES: {HeadError}, CLIP: {LabelError}, UNNAMED: {LabelError}}
    assert sum(counts.values()) == len(NAMES)
    assert counts["imagenet1k"] >= 1_300
    assert counts["imagenet12k"] >= 48
    assert counts[UNNAMED] <= 6
    assert counts[CLIP] >= 100


@pytest.mark.parametrize("subset", SUBSETS.values())
def test_labels_are_lemmas_of_their_synsets(subset: str) -> None:
    info, space = ImageNetInfo(subset), synsets(subset)
    assert space.concepts == tuple(info.label_names())
    own = dict(zip(imagenet1k().concepts, imagenet1k().labels, strict=True))
    for label, concept in zip(space.labels, space.concepts, strict=True):
        assert (
            label == own.get(concept)
            or label == info.label_name_to_description(concept).split(", ")[0]
        )


def test_the_names_of_spaces_tell_the_makers_apart() -> None:
    assert {synsets(subset).name for subset in SUBSETS.values()} == {
        "imagenet1k", "imagenet12k", "imagenet22k", "imagenet22k-ms", "imagenet21k-goog",
        "imagenet21k-miil",
    }  # fmt: skip


def test_the_table_has_the_classifiers() -> None:
    listed = {entry.name: entry for entry in TimmSource().list()}
    known = known_heads("timm")
    both = known.keys() & listed.keys()
    assert len(both) > 0.9 * max(len(known), len(listed))  # another timm has a few others
    for name in both:
        head = known[name]
        assert head.classes == listed[name].classes
        assert listed[name].head_bytes == 4 * (
            head.classes * head.dim + head.classes * head.has_bias
        )
        assert listed[name].file_bytes > listed[name].head_bytes


def test_the_table_is_what_timm_builds() -> None:
    known = known_heads("timm")
    for name in random.Random(7).sample(sorted(known.keys() & set(NAMES)), 15):
        head = known[name]
        main = heads_of(timm.models.get_pretrained_cfg(name))[0]
        built = timm_head(name, main)
        assert built == (head.classes, head.dim, head.has_bias, head.file_bytes), name


def test_efficientvims_main_head_is_on_the_last_features() -> None:
    cfg = timm.models.get_pretrained_cfg("efficientvim_m1.e300_in1k")
    assert heads_of(cfg) == ("heads.3", "heads.0", "heads.1", "heads.2")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("timm:resnet50", "resnet50.a1_in1k"),
        ("timm:resnet50.ram_in1k", "resnet50.ram_in1k"),
        ("timm:resnet50@fc", "resnet50.a1_in1k"),
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
        ("timm:deit_tiny_distilled_patch16_224@head_dist",
         "deit_tiny_distilled_patch16_224.fb_in1k@head_dist"),
    ],
)  # fmt: skip
def test_a_name_without_a_tag_is_named_whole(spec: str, name: str) -> None:
    located = locate(spec)
    assert (located.source.name, located.name, located.takes_labels) == ("timm", name, False)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (
            "timm:resnet51",
            UnknownModelError,
            'no pretrained model "resnet51"; did you mean "resnet',
        ),
        ("timm:resnet50.nobody", UnknownModelError, 'no pretrained model "resnet50.nobody"'),
        ("timm:", UnknownModelError, 'no pretrained model ""'),
        ("timm:../x", UnknownModelError, "no pretrained model"),
        ("timm:resnet50@head", UnknownModelError, 'no head "head"; it has resnet50.a1_in1k@fc'),
        ("timm:resnet50@", UnknownModelError, 'no head ""'),
        ("timm:resnet50_clip.openai", LabelError, "1,024 outputs .* hf:timm/resnet50_clip.openai"),
        (
            "timm:convnextv2_atto.fcmae",
            HeadError,
            r"features only, .* zoo 'timm:convnextv2_atto\*'` lists",
        ),
        ("timm:vit_base_patch14_dinov2.lvd142m", HeadError, "`classrel zoo timm` lists"),
        ("timm:vit_base_patch16_224.bamboo", LabelError, "115,217 outputs"),
    ],
)
def test_what_can_not_be_read_says_why(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        locate(spec)
    assert "\n" not in str(caught.value)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[timm\]"'):
        locate("timm:resnet50")
    with pytest.raises(MissingExtraError):
        locate("convnext_base.fb_in22k_ft_in1k")
    with pytest.raises(MissingExtraError):
        list(TimmSource().list())


def test_a_name_is_refused_without_an_import_only_where_timm_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = Path(timm.models.__path__[0]).rglob("*.py")
    words = {word for path in modules for word in re.findall(rb"\w+", path.read_bytes())}
    assert {name.partition(".")[0].encode() for name in NAMES} <= words
    assert may_have("timm", "resnet5O")  # once it is imported it is asked itself
    monkeypatch.delitem(sys.modules, "timm")
    for name in ("resnet50", "beit_base_patch16_224", "vit_base_patch14_dinov2"):
        assert may_have("timm", name)
    for name in ("resnet5O", "resnet5", "../x", "no\udcffname"):
        assert not may_have("timm", name)
    assert may_have("no_such_package", "resnet50")


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with hub(tmp_path / "served") as running:
        running.use(monkeypatch, tmp_path / "cache")
        yield running


def serve(running: Hub, folder: Path, name: str, ending: str = "safetensors") -> torch.nn.Module:
    model = timm.create_model(name, pretrained=False)
    path = folder / f"{name}.{ending}"
    state = model.state_dict()
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    file = "model.safetensors" if ending == "safetensors" else "pytorch_model.bin"
    running.add(timm.models.get_pretrained_cfg(name).hf_hub_id, {file: path})
    return model


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_head_equals_timms_own_loading(running: Hub, tmp_path: Path, ending: str) -> None:
    name = "test_resnet.r160_in1k"
    serve(running, tmp_path, name, ending)
    head = load(locate(f"timm:{name}"))
    model = timm.create_model(name, pretrained=True)  # through the Hub's cache
    classifier = model.get_classifier()
    assert torch.equal(torch.from_numpy(head.weight), classifier.weight)
    assert torch.equal(torch.from_numpy(head.bias), classifier.bias)
    assert head.space is imagenet1k()
    assert (head.source, head.head_key, head.revision) == ("timm", "fc.weight", COMMIT)
    assert head.license == timm.models.get_pretrained_cfg(name).license == "apache-2.0"
    file = "model.safetensors" if ending == "safetensors" else "pytorch_model.bin"
    assert head.uri == f"{running.server.address}/timm/{name}/resolve/main/{file}"
    # now it is in the cache, and needs no Hub
    assert TimmSource().describe(name).cached
    before = len(running.server.requests) + len(running.cdn.requests)
    again = load(locate(f"timm:{name}"))
    assert np.array_equal(again.weight, head.weight)
    assert (again.uri, again.revision) == (head.uri, head.revision)
    assert len(running.server.requests) + len(running.cdn.requests) == before


def test_full_fetches_into_the_hubs_cache(running: Hub, tmp_path: Path) -> None:
    name = "test_resnet.r160_in1k"
    model = serve(running, tmp_path, name)
    steps: list[tuple[int, int, str]] = []
    head = load(
        locate(f"timm:{name}"),
        LoadOptions(full=True),
        lambda done, total, stage="read", note="": steps.append((done, total, stage)),
    )
    assert torch.equal(torch.from_numpy(head.weight), model.get_classifier().weight)
    assert list((tmp_path / "cache").glob("*/snapshots/*/model.safetensors"))
    assert "download" in {stage for _, _, stage in steps}
    assert steps[-1][2] == "read"
    assert TimmSource().describe(name).cached


def test_the_other_head_of_a_distilled_model(running: Hub, tmp_path: Path) -> None:
    name = "deit_tiny_distilled_patch16_224.fb_in1k"
    model = serve(running, tmp_path, name)
    main, other = load(locate(f"timm:{name}")), load(locate(f"timm:{name}@head_dist"))
    assert torch.equal(torch.from_numpy(main.weight), model.head.weight)
    assert torch.equal(torch.from_numpy(other.weight), model.head_dist.weight)
    assert (main.head_key, main.others) == ("head.weight", ("head_dist",))
    assert (other.head_key, other.others) == ("head_dist.weight", ("head",))
    described = locate(f"timm:{name}@head_dist")
    assert described.source.describe(described.ref).dim is None


def test_a_file_with_keys_from_before_is_read_by_its_shapes(running: Hub, tmp_path: Path) -> None:
    state = {"head.weight": torch.randn(1000, 6), "head.bias": torch.randn(1000)}
    save_file({**state, "norm.weight": torch.ones(6)}, tmp_path / "old.safetensors")
    running.add("timm/swin_tiny_patch4_window7_224.ms_in1k",
                {"model.safetensors": tmp_path / "old.safetensors"})  # fmt: skip
    head = load(locate("timm:swin_tiny_patch4_window7_224.ms_in1k"))  # timm says head.fc
    assert head.head_key == "head.weight"
    assert torch.equal(torch.from_numpy(head.weight), state["head.weight"])


def test_a_file_of_an_address_is_read_there_or_from_torchs_cache(
    running: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "legacy_seresnet18.in1k"
    cfg = timm.models.get_pretrained_cfg(name)
    file = Path(cfg.url).name
    state = {"last_linear.weight": torch.randn(1000, 512), "last_linear.bias": torch.randn(1000)}
    torch.save(state, running.cdn.folder / file)
    address = running.cdn.url(file)
    changed = replace(cfg, url=address)
    monkeypatch.setattr(timm.models, "get_pretrained_cfg", lambda *_: changed)
    head = load(locate(f"timm:{name}"))
    assert torch.equal(torch.from_numpy(head.weight), state["last_linear.weight"])
    assert (head.uri, head.head_key, head.revision) == (address, "last_linear.weight", None)
    kept = tmp_path / "torch" / "hub" / "checkpoints" / file
    kept.parent.mkdir(parents=True)
    (running.cdn.folder / file).rename(kept)
    assert TimmSource().describe(name).cached
    assert np.array_equal(load(locate(f"timm:{name}")).weight, head.weight)
