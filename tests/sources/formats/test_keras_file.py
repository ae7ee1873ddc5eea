"""Files that Keras itself wrote, in its own three kinds and in those of its older versions."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from importlib import import_module, resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.errors import HeadError, SourceError
from classrel_db.sources.counted import CountingFile, open_counted
from classrel_db.sources.formats.keras_file import KerasFile, open_keras
from classrel_db.sources.head import find_head, named_head

from ..conftest import C, D, single_line

if TYPE_CHECKING:
    from collections.abc import Iterator

Build = Callable[..., Any]
ENDINGS = [".keras", ".h5"]


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setitem(os.environ, "KERAS_BACKEND", "torch")
        module = import_module("keras")
        module.utils.set_random_seed(0)
        yield module


@contextlib.contextmanager
def opened(path: Path) -> Iterator[KerasFile]:
    with open_counted(path) as file:
        yield open_keras(file, path)


def head_of(path: Path, wanted: str | None = None) -> tuple[np.ndarray, np.ndarray | None, Any]:
    with opened(path) as model:
        keys = named_head(model.shapes, wanted or model.usual_head or "")
        weight = model.read(keys.weight)
        assert weight.numbers.shape == model.shapes[keys.weight]
        assert weight.numbers.dtype == np.float32
        return weight.numbers, keys.bias and model.read(keys.bias).numbers, weight


def expected(layer: Any) -> list[np.ndarray]:
    """The kernel C×D and the bias as Keras has them."""
    kernel, *bias = (each.detach().float().numpy() for each in (v.value for v in layer.variables))
    return [kernel.reshape(kernel.shape[-2:]).T, *bias]


def save(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_weights(path) if ".weights" in path.name else model.save(path)
    return path


def dense_last(keras: Any, **how: Any) -> Any:
    layers = keras.layers
    return keras.Sequential([
        keras.Input((8,)), layers.Dense(D, activation="relu"), layers.Dropout(0.5),
        layers.Dense(C, name="species", activation="softmax", **how),
    ])  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_the_last_dense_layer(tmp_path: Path, keras: Any, ending: str, use_bias: bool) -> None:
    model = dense_last(keras, use_bias=use_bias, bias_initializer="random_normal")
    weight, bias, tensor = head_of(save(model, tmp_path / f"m{ending}"))
    kernel, *offset = expected(model.get_layer("species"))
    assert np.array_equal(weight, kernel)
    assert bias is None if not use_bias else np.array_equal(bias, offset[0])
    assert tensor.dtype == "F32"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["functional", "nested", "convolution", "teachable machine"])
def test_the_architecture_shows_the_head(
    tmp_path: Path, keras: Any, ending: str, kind: str
) -> None:
    layers = keras.layers
    pixels = keras.Input((4, 4, 3))
    backbone = keras.Model(pixels, layers.Conv2D(D, 3, name="stem", activation="relu")(pixels))
    features = backbone(pixels)
    head = layers.Dense(C, name="fc", bias_initializer="random_normal", activation="sigmoid")
    if kind == "functional":
        pooled = layers.GlobalAveragePooling2D()(features)
        # a layer that is named later, and is not the last of the graph
        other = layers.Dense(C, name="other", activation="relu")(pooled)
        scores = head(layers.Concatenate()([pooled, other]))
        model = keras.Model(pixels, layers.Reshape((C, 1))(scores))
    elif kind == "nested":
        inner = keras.Sequential([keras.Input((D,)), head, layers.Activation("softmax")])
        model = keras.Model(pixels, inner(layers.GlobalMaxPooling2D()(features)))
    elif kind == "convolution":
        head = layers.Conv2D(C, 1, name="fc", bias_initializer="random_normal")
        pooled = layers.GlobalAveragePooling2D()(head(features))
        model = keras.Model(pixels, layers.Softmax()(pooled))
    else:
        inner = [layers.Dense(D, activation="relu"), head]
        model = keras.Sequential(
            [backbone, keras.Sequential([layers.Flatten()]), keras.Sequential(inner)]
        )
        model.build((None, 4, 4, 3))
    weight, bias, _ = head_of(save(model, tmp_path / f"m{ending}"))
    kernel, offset = expected(head)
    assert np.array_equal(weight, kernel)
    assert np.array_equal(bias, offset)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_network_that_ends_otherwise_leaves_the_choice_to_the_user(
    tmp_path: Path, keras: Any, ending: str
) -> None:
    layers = keras.layers
    x = keras.Input((8,))
    hidden = layers.Dense(D, name="hidden", activation="relu")(x)
    first, second = (layers.Dense(C, name=name) for name in ("species", "family"))
    with pytest.raises(HeadError, match=r'no linear layer ends.*"hidden.weight" \(7×8\).*--head'):
        head_of(save(keras.Model(x, hidden), tmp_path / f"m{ending}"))
    normed = keras.Model(x, layers.LayerNormalization()(first(hidden)))
    with pytest.raises(HeadError, match=r'"species.weight" \(5×7\).*--head'):
        head_of(save(normed, tmp_path / f"m{ending}"))
    path = save(keras.Model(x, [first(hidden), second(hidden)]), tmp_path / f"m{ending}")
    with pytest.raises(HeadError, match=r'2 linear layers: "family.weight".*"species.weight"'):
        head_of(path)
    assert np.array_equal(head_of(path, "family")[0], expected(second)[0])


def test_weights_alone_are_found_by_their_shape(tmp_path: Path, keras: Any) -> None:
    model = dense_last(keras, bias_initializer="random_normal")
    with opened(save(model, tmp_path / "m.weights.h5")) as read:
        assert read.usual_head is None
        keys = find_head(read.shapes, C)
        assert keys.weight == "species.weight"
        assert np.array_equal(read.read(keys.weight).numbers, expected(model.layers[-1])[0])


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_every_float_comes_out_as_float32(tmp_path: Path, keras: Any, dtype: str) -> None:
    model = dense_last(keras, dtype=dtype, bias_initializer="random_normal")
    weight, bias, tensor = head_of(save(model, tmp_path / "m.keras"))
    kernel, offset = expected(model.layers[-1])
    assert np.array_equal(weight, kernel)
    assert np.array_equal(bias, offset)
    assert tensor.dtype == {"float64": "F64", "float16": "F16", "bfloat16": "BF16"}[dtype]


@pytest.mark.parametrize(
    ("ending", "use_bias"), [(".keras", True), (".keras", False), (".h5", True)]
)
def test_int8_comes_out_within_half_a_step(
    tmp_path: Path, keras: Any, ending: str, use_bias: bool
) -> None:
    model = dense_last(keras, use_bias=use_bias, bias_initializer="random_normal")
    kernel = expected(model.layers[-1])[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int8")
    weight, bias, tensor = head_of(save(model, tmp_path / f"m{ending}"))
    assert tensor.dtype == "I8"
    assert tensor.step.shape == (C, 1)
    assert np.all(np.abs(weight - kernel) <= tensor.step * 0.501)
    assert (bias is not None) == use_bias


def test_int4_is_refused(tmp_path: Path, keras: Any) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((8,)), layers.Dense(6, name="fc")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int4")
    with pytest.raises(SourceError, match="without one scale for each class"):
        head_of(save(model, tmp_path / "m.keras"))


def test_a_real_classifier_gives_the_scores_that_keras_gives(tmp_path: Path, keras: Any) -> None:
    archive = resources.files("sleepecg") / "classifiers" / "wrn-gru-mesa.zip"
    with archive.open("rb") as stream, zipfile.ZipFile(stream) as files:
        path = Path(files.extract("classifier.keras", tmp_path))
    with open_counted(path) as file:
        read = open_keras(file, path)
        weight = read.read(read.usual_head).numbers
        bias = read.read(read.usual_head.replace("weight", "bias")).numbers
        assert file.bytes_read < file.size / 4
    model = keras.saving.load_model(path, compile=False)
    before = keras.Model(model.inputs[0], model.layers[-2].output)
    beats = np.random.default_rng(0).normal(size=(1, 30, 36)).astype(np.float32)
    with torch.no_grad():
        logits = before(beats).numpy() @ weight.T + bias
        scores = torch.softmax(torch.from_numpy(logits), -1)
        assert torch.allclose(scores, torch.as_tensor(model(beats)), atol=1e-6)
    assert weight.shape == (4, 16)


def keras2(path: Path, kernel: np.ndarray, bias: np.ndarray, *, with_config: bool = True) -> Path:
    """A file in the layout of Keras 2: one group a layer, the names of which may have moved on."""
    layers = [
        {"class_name": "InputLayer", "name": "in", "config": {"name": "in"}, "inbound_nodes": []},
        {"class_name": "Dense", "name": "fc1", "config": {"name": "fc1", "activation": "relu"},
         "inbound_nodes": [[["in", 0, 0, {}]]]},
        {"class_name": "Dense", "name": "fc2", "config": {"name": "fc2", "activation": "softmax"},
         "inbound_nodes": [[["fc1", 0, 0, {}]]]},
    ]  # fmt: skip
    config = {"name": "model", "layers": layers, "output_layers": [["fc2", 0, 0]]}
    with h5py.File(path, "w") as file:
        weights = file
        if with_config:
            file.attrs["model_config"] = json.dumps(
                {"class_name": "Model", "config": config}
            ).encode()
            weights = file.create_group("model_weights")
            file["optimizer_weights/Adam/kernel:0"] = np.zeros((D, C))
        weights["fc2/fc2_1/kernel:0"] = kernel
        weights["fc2/fc2_1/bias:0"] = bias
        weights["fc1/fc1_1/kernel:0"] = np.zeros((8, D), np.float32)
        weights["fc1/fc1_1/bias:0"] = np.zeros(D, np.float32)
    return path


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f2"])
def test_a_file_of_keras_2(tmp_path: Path, matrix: np.ndarray, dtype: str) -> None:
    stored = matrix.astype(dtype)
    path = keras2(tmp_path / "m.h5", stored.T, stored[:, 0])
    with opened(path) as read:
        assert read.usual_head == "fc2.weight"
        assert set(read.shapes) == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
    weight, bias, _ = head_of(path)
    assert np.array_equal(weight, stored.astype(np.float32))
    assert np.array_equal(bias, stored[:, 0].astype(np.float32))
    path = keras2(tmp_path / "w.h5", stored.T, stored[:, 0], with_config=False)
    assert np.array_equal(head_of(path, "fc2_1")[0], stored.astype(np.float32))


def test_a_group_of_many_layers_is_read_whole(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for i in range(700):
            file[f"layer_{i}/kernel:0"] = np.full((2, 3), i, np.float32)
    with opened(tmp_path / "m.h5") as read:
        assert len(read.shapes) == 700
        assert all(np.all(read.read(f"layer_{i}.weight").numbers == i) for i in (0, 350, 699))


def test_only_the_structure_and_the_head_are_read(tmp_path: Path, matrix: np.ndarray) -> None:
    path = keras2(tmp_path / "m.h5", matrix.T, matrix[:, 0])
    with h5py.File(path, "r+") as file:
        file["model_weights/body/body/kernel:0"] = np.zeros((2000, 1000), np.float32)
    with open_counted(path) as file:
        read = open_keras(file, path)
        assert read.extent("fc2.weight") == matrix.nbytes
        assert np.array_equal(read.read("fc2.weight").numbers, matrix)
        assert file.bytes_read < 10_000 < 8_000_000 < file.size


def test_links_to_elsewhere_are_not_followed(tmp_path: Path, matrix: np.ndarray) -> None:
    keras2(tmp_path / "other.h5", matrix.T, matrix[:, 0])
    (tmp_path / "raw").write_bytes(b"\1" * matrix.nbytes)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/kernel:0"] = matrix.T
        file["a/loop"] = file["a"]
        file["c"] = h5py.SoftLink("/a")
        outside = [(str(tmp_path / "raw"), 0, matrix.nbytes)]
        file.create_dataset("d/kernel:0", (D, C), "f4", external=outside)
        layout = h5py.VirtualLayout((D, C), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "model_weights/fc2/kernel:0", (D, C))
        file.create_virtual_dataset("e/kernel:0", layout)
    with opened(tmp_path / "m.h5") as read:
        assert set(read.shapes) == {"a.weight", "d.weight", "e.weight"}
        for key in ("d.weight", "e.weight"):
            with pytest.raises(SourceError, match=r"not in .* in one piece"):
                read.read(key)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["b"] = h5py.ExternalLink("other.h5", "/model_weights/fc2")
    with pytest.raises(SourceError, match="a layout that Keras does not write"):
        head_of(tmp_path / "m.h5")


def test_compressed_and_unwritten_arrays_are_refused(tmp_path: Path, matrix: np.ndarray) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("a/kernel:0", data=matrix.T, compression="gzip")
        file.create_dataset("b/kernel:0", (2**40, 2**20), "f4", chunks=(16, 16))
        file.create_dataset("c/kernel:0", (2**20, 2**10), "f4")
        file["d/kernel:0"] = np.zeros((D, C), np.int16)
    with opened(tmp_path / "m.h5") as read:
        for key in ("a.weight", "b.weight", "c.weight"):
            with pytest.raises(SourceError, match="in one piece"):
                read.read(key)
        with pytest.raises(SourceError, match="a head is read from F16, BF16, F32, F64, I8"):
            read.read("d.weight")


def repacked(path: Path, **changed: bytes) -> Path:
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()} | changed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            if content:
                new.writestr(name, content)
    return path


def test_an_archive_that_was_packed_anew_is_read(tmp_path: Path, keras: Any) -> None:
    model = dense_last(keras)
    path = repacked(save(model, tmp_path / "m.keras"))
    assert np.array_equal(head_of(path)[0], expected(model.layers[-1])[0])


def test_code_in_the_architecture_is_not_run(tmp_path: Path, keras: Any) -> None:
    path = save(dense_last(keras), tmp_path / "m.keras")
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    # what an unsafe loader would call: os.abort
    config["config"]["layers"].insert(
        1, {"module": "os", "class_name": "abort", "config": {"name": "boom"}}
    )
    path = repacked(path, **{"config.json": json.dumps(config).encode()})
    assert head_of(path)[0].shape == (C, D)


def test_an_archive_of_a_bomb_or_without_its_parts_is_refused(tmp_path: Path, keras: Any) -> None:
    path = save(dense_last(keras), tmp_path / "m.keras")
    bomb = repacked(path, **{"model.weights.h5": b"\0" * 3_000_000})
    with pytest.raises(SourceError, match=r"refused: model.weights.h5 .* would grow"):
        head_of(bomb)
    bomb = repacked(path, **{"config.json": b" " * 17_000_000})
    with pytest.raises(SourceError, match=r"refused: config.json .* 17,000,000 bytes"):
        head_of(bomb)
    for config, message in (
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"", "without config"),
    ):
        path = save(dense_last(keras), tmp_path / "m.keras")
        with pytest.raises(SourceError, match=message):
            head_of(repacked(path, **{"config.json": config}))


def test_a_model_of_the_users_own_class_is_found_by_shape(tmp_path: Path, keras: Any) -> None:
    path = save(dense_last(keras), tmp_path / "m.keras")
    for config in (b"{}", b"[]", b"null", b'{"class_name": "Mine", "config": {"width": 7}}'):
        with opened(repacked(path, **{"config.json": config})) as read:
            assert read.usual_head is None
            assert find_head(read.shapes, C).weight == "species.weight"


def test_models_within_models_end(tmp_path: Path, keras: Any) -> None:
    config: Any = {"class_name": "Dense", "config": {"name": "fc"}}
    for _ in range(100):
        config = {"class_name": "Sequential", "config": {"name": "s", "layers": [config]}}
    path = save(dense_last(keras), tmp_path / "m.keras")
    with opened(repacked(path, **{"config.json": json.dumps(config).encode()})) as read:
        assert read.usual_head is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x89HDF\r\n\x1a\n", b"\xff" * 999])
def test_another_file_is_no_model(content: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        read_all(content)
    assert single_line(str(caught.value))


def test_a_newer_layout_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w", libver="latest") as file:
        file["fc/kernel:0"] = np.zeros((D, C))
    with pytest.raises(SourceError, match="a layout that Keras does not write"):
        head_of(tmp_path / "m.h5")


def read_all(content: bytes) -> None:
    with CountingFile(io.BytesIO(content), "m", len(content)) as file:  # type: ignore[arg-type]
        read = open_keras(file, PurePosixPath("m"))
        for key in read.shapes:
            read.read(key)
        read.usual_head  # noqa: B018


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory, keras: Any) -> list[bytes]:
    folder = tmp_path_factory.mktemp("wholes")
    old = keras2(folder / "old.h5", np.ones((D, C)), np.ones(C))
    return [old.read_bytes(), save(dense_last(keras), folder / "new.keras").read_bytes()]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_ends_in_no_other_error(wholes: list[bytes], data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(wholes)))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content) - 4))
        content[place : place + 4] = data.draw(
            st.binary(min_size=4, max_size=4) | st.sampled_from([b"\0\0\0\0", b"\xff" * 4])
        )
    content = content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    try:
        read_all(bytes(content))
    except SourceError as error:
        assert single_line(str(error))  # noqa: PT017
