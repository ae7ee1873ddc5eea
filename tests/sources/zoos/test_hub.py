"""Repositories of the Hugging Face Hub, read from one on loopback."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from transformers.models.auto import modeling_auto

from classrel_db.errors import (
    HeadError,
    LabelError,
    MissingExtraError,
    SourceError,
    UnknownModelError,
)
from classrel_db.records import Head, LoadOptions
from classrel_db.sources import load, locate, tries
from classrel_db.sources.head import named_head
from classrel_db.sources.labels import imagenet1k, imagenet1k_by_lemmas
from classrel_db.sources.zoos.hub import HEADS, HubSource
from classrel_db.sources.zoos.timm_labels import synsets
from tests.hub_server import COMMIT, Hub, hub

from ..conftest import shapes_of, single_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

C, D = 5, 16
NAMES = [f"bird {index}" for index in range(C)]
REPOSITORY = "someone/birds"


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.0)
    with hub(tmp_path / "served") as running:
        running.use(monkeypatch, tmp_path / "cache")
        yield running


@pytest.fixture
def vit() -> Any:
    config = transformers.ViTConfig(
        hidden_size=D, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=16, id2label=dict(enumerate(NAMES)),
    )  # fmt: skip
    return transformers.ViTForImageClassification(config)


def published(running: Hub, model: Any, folder: Path, **how: Any) -> None:
    """Save ``model`` with transformers' own function, and put what that wrote on the Hub."""
    model.save_pretrained(folder, **how)
    add(running, folder)


def add(running: Hub, folder: Path) -> None:
    for path in folder.iterdir():
        small = path.name in {"config.json", "README.md"} or path.name.endswith(".index.json")
        running.add(REPOSITORY, {path.name: path.read_bytes() if small else path})


def described(running: Hub, config: dict[str, Any], classes: int = C) -> None:
    """A repository with this config.json and a head of random numbers."""
    path = running.cdn.folder / "described.safetensors"
    save_file({"classifier.weight": torch.randn(classes, D)}, path)
    running.add(REPOSITORY, {"config.json": json.dumps(config).encode(), "model.safetensors": path})


def read(spec: str = f"hf:{REPOSITORY}", **options: Any) -> Head:
    return load(locate(spec), LoadOptions(**options))


def refused(error: type[Exception], message: str, spec: str = f"hf:{REPOSITORY}") -> None:
    with pytest.raises(error, match=message) as caught:
        read(spec)
    assert single_line(str(caught.value))


@pytest.mark.parametrize("shard", ["10GB", "20kB"], ids=["one file", "shards"])
@pytest.mark.parametrize("full", [False, True], ids=["ranges", "full"])
def test_a_head_equals_transformers_own_loading(
    running: Hub, vit: Any, tmp_path: Path, shard: str, full: bool
) -> None:
    published(running, vit, tmp_path / "saved", max_shard_size=shard)
    assert (tmp_path / "saved" / "model.safetensors").exists() == (shard == "10GB")
    head = read(full=full)
    loaded = transformers.ViTForImageClassification.from_pretrained(tmp_path / "saved")
    assert torch.equal(torch.from_numpy(head.weight), loaded.classifier.weight)
    assert torch.equal(torch.from_numpy(head.bias), loaded.classifier.bias)
    assert head.space.labels == tuple(NAMES)
    assert (head.source, head.head_key, head.revision) == ("hf", "classifier.weight", COMMIT)
    file = "model.safetensors" if shard == "10GB" else "model.safetensors.index.json"
    assert head.uri == f"{running.server.address}/{REPOSITORY}/resolve/main/{file}"
    assert locate(f"hf:{REPOSITORY}").name == REPOSITORY
    assert HubSource().describe(REPOSITORY).cached == full
    before = len(running.server.requests)
    if full:  # it lies in the cache, and needs no network
        assert np.array_equal(read().weight, head.weight)
        assert len(running.server.requests) == before


def test_of_shards_only_the_heads_is_opened(running: Hub, vit: Any, tmp_path: Path) -> None:
    published(running, vit, tmp_path / "saved", max_shard_size="5kB")
    index = json.loads((tmp_path / "saved" / "model.safetensors.index.json").read_bytes())
    places = index["weight_map"]
    assert len(set(places.values())) > 3
    head = read()
    assert torch.equal(torch.from_numpy(head.weight), vit.classifier.weight)
    heads = {places["classifier.weight"], places["classifier.bias"]}
    assert {Path(each.path).name for each in running.cdn.requests} == heads


def test_pytorch_model_bin_is_read_where_there_is_nothing_better(
    running: Hub, vit: Any, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    vit.save_pretrained(saved)
    (saved / "model.safetensors").unlink()
    torch.save(vit.state_dict(), saved / "pytorch_model.bin")
    add(running, saved)
    head = read()
    assert torch.equal(torch.from_numpy(head.weight), vit.classifier.weight)
    assert head.uri.endswith("pytorch_model.bin")


def classifiers() -> list[str]:
    """The image, audio and video classifiers of transformers by the names of their classes."""
    tables = ("IMAGE", "AUDIO", "VIDEO")
    found: list[str] = []
    for table in tables:
        names = getattr(modeling_auto, f"MODEL_FOR_{table}_CLASSIFICATION_MAPPING_NAMES").values()
        found += [one for each in names for one in ([each] if isinstance(each, str) else each)]
    return found


# natten is not installable here; these two need a configuration by hand; this one scores text tokens
NOT_BUILT = {
    "DinatForImageClassification",
    "PerceiverForImageClassificationFourier",
    "PerceiverForImageClassificationConvProcessing",
    "ShieldGemma2ForImageClassification",
}


def test_the_head_of_every_transformers_classifier_is_found() -> None:
    n = 37  # no layer is as wide, so the rows tell the classifiers
    for name in sorted(set(classifiers()) - NOT_BUILT):
        build = getattr(transformers, name)
        with torch.device("meta"):
            model = build(build.config_class(num_labels=n))
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        last = [key for key, shape in shapes.items() if len(shape) > 1 and shape[0] == n]
        if name == "TimmWrapperForImageClassification":
            assert last == ["timm_model.fc.weight"]  # which its config.json names
            continue
        found = [key for key in HEADS if f"{key}.weight" in shapes]
        assert [f"{key}.weight" for key in found] == last, name
        assert named_head(shapes, found[0]).weight == last[0]


def test_the_second_head_of_a_distilled_model(running: Hub, tmp_path: Path) -> None:
    config = transformers.DeiTConfig(
        hidden_size=D, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, id2label=dict(enumerate(NAMES)),
    )  # fmt: skip
    model = transformers.DeiTForImageClassificationWithTeacher(config)
    published(running, model, tmp_path / "saved")
    main, other = read(), read(head="distillation_classifier")
    assert torch.equal(torch.from_numpy(main.weight), model.cls_classifier.weight)
    assert torch.equal(torch.from_numpy(other.weight), model.distillation_classifier.weight)
    assert main.others == ("distillation_classifier",)


def test_a_text_classifier_is_read_too(running: Hub, tmp_path: Path) -> None:
    config = transformers.RobertaConfig(
        vocab_size=99, hidden_size=D, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, id2label={0: "bad", 1: "good"},
    )  # fmt: skip
    model = transformers.RobertaForSequenceClassification(config)
    published(running, model, tmp_path / "saved")
    head = read()
    assert torch.equal(torch.from_numpy(head.weight), model.classifier.out_proj.weight)


def test_a_timm_repository_names_its_classes_itself(running: Hub) -> None:
    path = running.cdn.folder / "m.safetensors"
    save_file({"head.fc.weight": torch.randn(1000, D), "x.weight": torch.randn(1000, D)}, path)
    stated = {"tag": "a1_in1k", "classifier": "head.fc", "num_classes": 1000}
    config = {"architecture": "any", "num_classes": 1000, "pretrained_cfg": stated}
    running.add(REPOSITORY, {"config.json": json.dumps(config).encode(), "model.safetensors": path})
    assert read().space is imagenet1k()
    assert read().head_key == "head.fc.weight"
    own = {"label_names": [f"n{index}" for index in range(1000)]}
    own["label_descriptions"] = {name: f"the {name}" for name in own["label_names"]}
    config["pretrained_cfg"] = {**stated, **own}
    running.files[REPOSITORY]["config.json"] = json.dumps(config).encode()
    (Path(constants.HF_HUB_CACHE) / "models--someone--birds").rename(
        Path(constants.HF_HUB_CACHE) / "gone"
    )
    head = read()
    assert head.space.labels[:2] == ("the n0", "the n1")
    assert head.space.concepts[:2] == ("n0", "n1")


def lemmas() -> list[str]:
    return list(ImageNetInfo("imagenet-1k").label_descriptions())


@pytest.mark.parametrize(
    "labels",
    [
        lambda: lemmas(),
        lambda: [each.partition(", ")[0] for each in lemmas()],
        lambda: list(imagenet1k().labels),
        lambda: [label.replace(" ", "_").upper() for label in imagenet1k().labels],
        lambda: list(imagenet1k().concepts),
    ],
    ids=["lemmas", "first lemmas", "labels", "spelled otherwise", "ids"],
)
def test_imagenet_is_recognised_by_its_names(labels: Callable[[], list[str]]) -> None:
    given = labels()
    assert imagenet1k_by_lemmas(given) is imagenet1k()
    behind = imagenet1k_by_lemmas(["background", *given])
    assert behind is not None
    assert behind.labels == ("background", *imagenet1k().labels)
    assert behind.name == "imagenet1k-background"
    assert imagenet1k_by_lemmas(["tench", *given]) is None
    assert imagenet1k_by_lemmas(given[:-1]) is None
    given[7], given[8] = given[8], given[7]
    assert imagenet1k_by_lemmas(given) is None


def test_imagenets_doubled_names_are_no_hindrance(running: Hub) -> None:
    labels = [each.partition(", ")[0] for each in lemmas()]
    assert labels.count("crane") == 2
    described(running, {"id2label": dict(enumerate(labels))}, 1000)
    assert read().space is imagenet1k()


def test_imagenet_22k_is_recognised_too(running: Hub) -> None:
    labels = ImageNetInfo("imagenet-22k").label_descriptions()
    described(running, {"id2label": dict(enumerate(labels))}, len(labels))
    assert read().space == synsets("imagenet-22k")


def test_the_users_labels_go_before_the_models(running: Hub, labels: Path) -> None:
    described(running, {"id2label": dict(enumerate(NAMES))})
    assert read(labels=labels).space.labels[0] == "class 0"


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"architectures": ["ViTModel"]}, HeadError, 'no classifier: its architecture is "ViTModel"'),
        ({"architectures": ["ViTForImageClassification"]}, LabelError, "no labels in its config.json"),
        ({}, LabelError, "no labels"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, LabelError, "placeholders .*--labels FILE"),
        ({"id2label": {"1": "a", "2": "b"}}, LabelError, "numbers from 0 to 1"),
        ({"id2label": {"0": 3, "1": "b"}}, LabelError, "not all text"),
        ({"id2label": {"0": "crane", "1": "crane"}}, LabelError, "same concept.*--labels FILE"),
        ({"id2label": {"0": "a", "1": ""}}, LabelError, "empty"),
        ({"id2label": {"0": "a", "1": "b"}}, LabelError, "2 labels"),
        ({"id2label": 7, "architectures": 7}, HeadError, "no classifier"),
        ({"pretrained_cfg": 7, "architecture": [1], "label_names": 7}, LabelError, "no labels"),
    ],
)  # fmt: skip
def test_labels_that_can_not_be_taken(
    running: Hub, config: dict[str, Any], error: type[Exception], message: str
) -> None:
    described(running, config)
    refused(error, message)


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff", b"[" * 100_000, b""])
def test_a_config_that_is_none(running: Hub, content: bytes) -> None:
    described(running, {})
    running.files[REPOSITORY]["config.json"] = content
    refused(SourceError, "config.json")


@pytest.mark.parametrize(
    ("card", "license"),
    [
        (b"---\nlicense: apache-2.0\n---\ntext", "apache-2.0"),
        (b"---\nlicense: other\nlicense_name: nvidia\n---\n", "nvidia"),
        (b"---\nlicense: [a, b]\n---\n", None),
        (b"---\nlicense: [a\n---\n", None),
        (b"---\n- a\n---\n", None),
        (b"\xff", None),
        (b"no metadata", None),
        (None, None),
    ],
)
def test_the_licence_is_the_cards(running: Hub, card: bytes | None, license: str | None) -> None:
    described(running, {"id2label": dict(enumerate(NAMES))})
    if card is not None:
        running.files[REPOSITORY]["README.md"] = card
    assert read().license == license


def test_a_revision_is_read_at_its_commit(running: Hub) -> None:
    described(running, {"id2label": dict(enumerate(NAMES))})
    head = read(f"hf:{REPOSITORY}@v1")
    assert head.revision == COMMIT
    assert head.uri.endswith(f"/{REPOSITORY}/resolve/v1/model.safetensors")
    ranges = [each for each in running.server.requests if each.range is not None]
    assert ranges
    assert all(f"/resolve/{COMMIT}/" in each.path for each in ranges)


def test_the_token_goes_to_the_hub_alone(running: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    described(running, {"id2label": dict(enumerate(NAMES))})
    head = read()
    sent = [
        {key.lower(): value for key, value in each.headers.items()}.get("authorization")
        for each in running.server.requests
    ]
    assert set(sent) == {"Bearer hf_secret"}
    assert running.cdn.requests
    for each in running.cdn.requests:
        assert "hf_secret" not in str(each.headers)
    assert "secret" not in repr(head).lower()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (
            401,
            "GatedRepo",
            r"is gated: accept its conditions on http.*/someone/birds, then `hf auth login`",
        ),
        (403, "GatedRepo", "HF_TOKEN"),
        (401, "RepoNotFound", "there is no model .*or it is private"),
        (404, "RepoNotFound", "there is no model"),
        (404, "RevisionNotFound", 'has no revision "main"'),
        (403, "", r"may not be read \(the server answers 403\)"),
        (429, "", "the server answers 429 .*Try again later"),
        (500, "", "the server answers 500"),
        (418, "", "the server answers 418"),
    ],
)
@pytest.mark.parametrize("timm", [False, True], ids=["hf", "timm"])
def test_what_the_hub_refuses_is_explained(
    running: Hub, status: int, code: str, message: str, timm: bool
) -> None:
    repository = "timm/resnet50.a1_in1k" if timm else REPOSITORY
    running.failing[repository] = (status, code)
    spec = "timm:resnet50.a1_in1k" if timm else f"hf:{REPOSITORY}"
    refused(SourceError, message.replace("someone/birds", repository), spec)


def test_a_repository_that_is_not_there(running: Hub) -> None:
    refused(SourceError, 'no model "nobody/nothing" on the Hugging Face Hub', "hf:nobody/nothing")
    described(running, {"id2label": dict(enumerate(NAMES))})
    refused(SourceError, 'has no revision "v2"', f"hf:{REPOSITORY}@v2")


def test_a_repository_without_weights_or_configuration(running: Hub, labels: Path) -> None:
    running.add(REPOSITORY, {"config.json": json.dumps({"id2label": {"0": "a"}}).encode()})
    refused(SourceError, "has none of model.safetensors")
    described(running, {})
    del running.files[REPOSITORY]["config.json"]
    (Path(constants.HF_HUB_CACHE) / "models--someone--birds").rename(
        Path(constants.HF_HUB_CACHE) / "gone"
    )
    assert read(labels=labels).revision == COMMIT


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"classifier.weight": "../../secret.safetensors"}}, "names the file"),
        ({"weight_map": {"classifier.weight": "/etc/x.safetensors"}}, "names the file"),
        ({"weight_map": {"classifier.weight": "http://x/y.safetensors"}}, "names the file"),
        ({"weight_map": {"classifier.weight": "weights.pkl"}}, "names the file"),
        ({"weight_map": {"classifier.weight": 3}}, "names the file"),
        ({"weight_map": {"classifier.weight": "lost.safetensors"}}, "no file at"),
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": []}, "no weight_map"),
        ([], "no weight_map"),
        ("{", "not JSON"),
    ],
)
def test_an_index_that_misleads_is_refused(running: Hub, index: Any, message: str) -> None:
    content = index if isinstance(index, str) else json.dumps(index)
    config = json.dumps({"id2label": dict(enumerate(NAMES))})
    running.add(
        REPOSITORY,
        {"config.json": config.encode(), "model.safetensors.index.json": content.encode()},
    )
    refused(SourceError, message)


def test_shards_are_searched_for_a_head_without_a_usual_name(running: Hub) -> None:
    tensors = {"body.weight": torch.ones(D, D), "top.weight": torch.randn(C, D)}
    places = {}
    for index, (key, tensor) in enumerate(tensors.items()):
        places[key] = f"model-{index}.safetensors"
        save_file({key: tensor}, running.cdn.folder / places[key])
        running.add(REPOSITORY, {places[key]: running.cdn.folder / places[key]})
    config = json.dumps({"id2label": dict(enumerate(NAMES))}).encode()
    index = json.dumps({"weight_map": places}).encode()
    running.add(REPOSITORY, {"config.json": config, "model.safetensors.index.json": index})
    assert torch.equal(torch.from_numpy(read().weight), tensors["top.weight"])
    moved = {**places, "top.weight": places["body.weight"]}
    running.files[REPOSITORY]["model.safetensors.index.json"] = json.dumps(
        {"weight_map": moved}
    ).encode()
    refused(SourceError, '"top.weight" is not in "model-0.safetensors"')


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What huggingface_hub writes to its log, which goes to the terminal."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    lines: list[str] = []
    handler = Kept(logging.WARNING)
    logger = logging.getLogger("huggingface_hub")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_without_network(running: Hub, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(tries, "_FIRST_PAUSE", 0.5)
    monkeypatch.setattr("time.sleep", pauses.append)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    template = f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for spec in (f"hf:{REPOSITORY}", "timm:resnet50.a1_in1k"):
        pauses.clear()
        refused(SourceError, "can't read .*is there a network", spec)
        assert sum(pauses) == pytest.approx(1.5)
    assert said == []


@pytest.mark.parametrize("full", [False, True], ids=["ranges", "full"])
def test_a_busy_hub_is_asked_again_when_it_says(
    running: Hub, monkeypatch: pytest.MonkeyPatch, said: list[str], full: bool
) -> None:
    described(running, {"id2label": dict(enumerate(NAMES))})
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    busy = [(429, {"Retry-After": "7"}, b""), (503, {}, b""), (500, {}, b""), (502, {}, b"")]
    running.server.answers["/"] = lambda request: busy.pop(0) if busy else running.answer(request)
    assert read(full=full).space.labels == tuple(NAMES)
    assert sum(pauses) == pytest.approx(7)
    assert said == []


def test_a_busy_hub_is_not_asked_for_ever(running: Hub) -> None:
    running.failing["timm/resnet50.a1_in1k"] = (503, "")
    refused(SourceError, "the server answers 503", "timm:resnet50.a1_in1k")
    assert len(running.server.requests) == 5


def test_who_gives_up_need_not_wait_for_the_hub(
    running: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.server.answers["/"] = lambda _request: (429, {"Retry-After": "50"}, b"")
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)

    def stopped(*_arguments: object) -> None:
        if pauses:
            raise KeyboardInterrupt

    for spec in (f"hf:{REPOSITORY}", "timm:resnet50.a1_in1k"):
        pauses.clear()
        with pytest.raises(KeyboardInterrupt):
            load(locate(spec), LoadOptions(), stopped)
        assert sum(pauses) < 0.5


def test_what_others_ask_the_hub_is_still_said(running: Hub, said: list[str]) -> None:
    refused(SourceError, "there is no model")
    logging.getLogger("huggingface_hub.utils").warning("to be heard")
    assert said == ["to be heard"]


def test_offline_only_the_cache_is_read(running: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    described(running, {"id2label": dict(enumerate(NAMES))})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for spec in (f"hf:{REPOSITORY}", "timm:resnet50.a1_in1k"):
        refused(SourceError, "not in the cache, and HF_HUB_OFFLINE allows no network", spec)
    assert not running.server.requests
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    head = read(full=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert np.array_equal(read().weight, head.weight)


def test_a_server_that_is_no_hub(running: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    running.server.answers["/"] = lambda _request: (200, {}, b"{}")
    refused(SourceError, "HF_ENDPOINT", "timm:resnet50.a1_in1k")
    refused(SourceError, "X-Repo-Commit|HF_ENDPOINT")


def test_a_cache_that_can_not_be_written(running: Hub, tmp_path: Path) -> None:
    described(running, {"id2label": dict(enumerate(NAMES))})
    (tmp_path / "cache").write_text("a file where a folder should be")
    refused(SourceError, "can't keep .* in its cache")


@pytest.mark.parametrize(
    "ref", ["", "a b/c", "a/b/c", "../x", "a/b@", "a/b@x y", "a/b@-x", "a/b@x/../y", "a/..b"]
)
def test_what_names_no_repository(ref: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        locate(f"hf:{ref}")
    assert single_line(str(caught.value))


def test_without_huggingface_hub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[hub\]"'):
        locate("hf:google/vit-base-patch16-224")


def test_a_file_of_1_2_gb_costs_its_head(running: Hub, tmp_path: Path) -> None:
    """vit_h_14's tensors by their names in half precision, with numbers only in the head."""
    _model, shapes = shapes_of("vit_h_14")
    header, at = {}, 0
    for key, shape in shapes.items():
        length = 2 * int(np.prod(shape))
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + length]}
        at += length
    content = json.dumps(header).encode()
    weight = np.random.default_rng(0).normal(size=(1000, 1280)).astype(np.float16)
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        start = 8 + len(content)
        file.seek(start + header["heads.head.weight"]["data_offsets"][0])
        file.write(weight.tobytes())
        file.truncate(start + at)
    assert path.stat().st_size > 1_200_000_000
    labels = dict(enumerate(imagenet1k().labels))
    config = json.dumps({"id2label": labels}).encode()
    running.add(REPOSITORY, {"config.json": config, "model.safetensors": path})
    head = read()
    assert np.array_equal(head.weight, weight)
    assert running.cdn.sent() + running.server.sent() <= 1.05 * 2 * 1000 * 1281 + 1_000_000
