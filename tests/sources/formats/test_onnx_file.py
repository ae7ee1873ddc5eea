from __future__ import annotations

import io
import itertools
import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import magika
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from classrel_db.errors import HeadError, LabelError, MissingExtraError, SourceError
from classrel_db.sources.counted import CountingFile, open_counted
from classrel_db.sources.formats.onnx_file import OnnxFile, open_onnx
from classrel_db.sources.head import named_head

from ..conftest import C, D, single_line

MAGIKA = Path(magika.__file__).parent / "models" / "standard_v3_3"
Node = Callable[..., onnx.NodeProto]
node: Node = helper.make_node


@contextmanager
def opened(path: Path) -> Iterator[OnnxFile]:
    with open_counted(path) as file:
        yield open_onnx(file, path)


def head_of(path: Path, wanted: str | None = None) -> tuple[np.ndarray, np.ndarray | None, Any]:
    """Weight and bias of the head, and the weight as it was read."""
    with opened(path) as model:
        keys = named_head(model.shapes, wanted or model.usual_head)
        weight = model.read(keys.weight)
        assert weight.numbers.shape == model.shapes[keys.weight]
        assert weight.numbers.dtype == np.float32
        return weight.numbers, keys.bias and model.read(keys.bias).numbers, weight


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    tensors: dict[str, np.ndarray | onnx.TensorProto],
    *,
    inputs: tuple[int, ...] = (2, D),
    outputs: tuple[str, ...] = ("y",),
    metadata: dict[str, str] | None = None,
    **how: Any,
) -> onnx.ModelProto:
    stored = []
    for name, value in tensors.items():
        tensor = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        tensor.name = name
        stored.append(tensor)
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path, **how)
    return model


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return np.asarray(ort.InferenceSession(path, options).run(None, {"x": x})[0])


@pytest.fixture
def bias(matrix: np.ndarray) -> np.ndarray:
    return matrix[:, 0].copy()


def test_the_head_of_magika_gives_the_scores_that_magika_gives(tmp_path: Path) -> None:
    labels = json.loads((MAGIKA / "config.min.json").read_text())["target_labels_space"]
    model = onnx.load(MAGIKA / "model.onnx")
    with open_counted(MAGIKA / "model.onnx") as file:
        read = open_onnx(file, MAGIKA / "model.onnx")
        key = read.usual_head
        assert file.bytes_read < file.size / 20
        weight = read.read(key).numbers
        bias = read.read(key.replace(".weight", ".bias")).numbers
        assert file.bytes_read < file.size / 20 + weight.nbytes + bias.nbytes
    assert weight.shape == (len(labels), 512)
    product = next(each for each in model.graph.node if f"{each.name}.weight" == key)
    model.graph.output.append(helper.make_empty_tensor_value_info(product.input[0]))
    session = ort.InferenceSession(model.SerializeToString())
    content = np.random.default_rng(0).integers(0, 257, (3, 2048)).astype(np.int32)
    expected, features = session.run(None, {session.get_inputs()[0].name: content})
    logits = features.astype(np.float64) @ weight.T + bias
    scores = np.exp(logits - logits.max(1, keepdims=True))
    assert np.allclose(scores / scores.sum(1, keepdims=True), expected, atol=1e-6)


def product_of(weight: np.ndarray, bias: np.ndarray) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """The ways to write ``x @ weight.T + bias``: the nodes from ``x`` to ``y``, and the tensors."""
    both = {"w": weight, "b": bias}
    turned = {"w": weight.T.copy(), "b": bias}
    add = node("Add", ["m", "b"], ["y"])
    return {
        "Gemm": ([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], both),
        "Gemm, not turned": ([node("Gemm", ["x", "w", "b"], ["y"])], turned),
        "Gemm with factors": (
            [node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)],
            {"w": 2 * weight, "b": bias / 2},
        ),
        "MatMul and Add": ([node("MatMul", ["x", "w"], ["m"]), add], turned),
        "Add before": (
            [node("MatMul", ["x", "w"], ["m"]), node("Add", ["b", "m"], ["y"])],
            turned,
        ),
        "between reshapes": (
            [
                node("MatMul", ["x", "w"], ["n"]),
                node("Reshape", ["n", "three"], ["m"]),
                node("Add", ["m", "b"], ["a"]),
                node("Reshape", ["a", "two"], ["y"]),
            ],
            turned | {"three": np.array([2, 1, C]), "two": np.array([2, C])},
        ),
        "convolution": (
            [
                node("Unsqueeze", ["x", "axes"], ["i"]),
                node("Conv", ["i", "w", "b"], ["c"]),
                node("GlobalAveragePool", ["c"], ["g"]),
                node("Flatten", ["g"], ["y"]),
            ],
            {"w": weight[:, :, None, None], "b": bias, "axes": np.array([2, 3])},
        ),
        "constants": (
            [
                node("Constant", [], ["w"], value=numpy_helper.from_array(weight)),
                node("Transpose", ["w"], ["t"], perm=[1, 0]),
                node("Identity", ["t"], ["u"]),
                node("MatMul", ["x", "u"], ["m"]),
                add,
            ],
            {"b": bias},
        ),
        "half precision, cast": (
            [
                node("Cast", ["w"], ["u"], to=TensorProto.FLOAT),
                node("Gemm", ["x", "u", "b"], ["y"], transB=1),
            ],
            {"w": weight.astype(np.float16), "b": bias},
        ),
    }


WAYS = tuple(product_of(np.zeros((C, D), np.float32), np.zeros(C, np.float32)))


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_linear_layer_is_read(
    tmp_path: Path, matrix: np.ndarray, bias: np.ndarray, way: str
) -> None:
    save(tmp_path / "m.onnx", *product_of(matrix, bias)[way])
    x = np.random.default_rng(1).normal(size=(2, D)).astype(np.float32)
    weight, offset, _ = head_of(tmp_path / "m.onnx")
    assert weight.shape == (C, D)
    assert np.allclose(x @ weight.T + offset, run(tmp_path / "m.onnx", x), atol=1e-5)


def test_a_layer_without_bias_has_none(tmp_path: Path, matrix: np.ndarray) -> None:
    save(tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["y"])], {"w": matrix.T.copy()})
    weight, offset, _ = head_of(tmp_path / "m.onnx")
    assert np.array_equal(weight, matrix)
    assert offset is None


@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
def test_every_float_comes_out_as_the_number_it_is(
    tmp_path: Path, matrix: np.ndarray, dtype: str
) -> None:
    import ml_dtypes

    stored = matrix.astype(getattr(ml_dtypes, dtype, dtype))
    nodes = [node("Cast", ["w"], ["u"], to=1), node("Gemm", ["x", "u"], ["y"], transB=1)]
    save(tmp_path / "m.onnx", nodes, {"w": numpy_helper.from_array(stored)})
    weight, _, tensor = head_of(tmp_path / "m.onnx")
    assert np.array_equal(weight, stored.astype(np.float32))
    names = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "bfloat16": "BF16"}
    assert tensor.dtype == names.get(dtype, f"F{dtype[5:]}")


def test_numbers_in_the_typed_field_are_read(tmp_path: Path, matrix: np.ndarray) -> None:
    big = np.tile(matrix, (1, 20))
    for weight in (matrix, big):
        tensor = helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.ravel().tolist())
        assert tensor.float_data
        save(tmp_path / "m.onnx", [node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": tensor})
        assert np.array_equal(head_of(tmp_path / "m.onnx")[0], weight)


class _Samples(quantization.CalibrationDataReader):
    def __init__(self) -> None:
        x = np.random.default_rng(2).normal(size=(8, 1, D)).astype(np.float32)
        self._left = iter([{"x": each} for each in x])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("form", "way"),
    [
        *itertools.product(["QDQ", "QOperator"], ["Gemm", "MatMul and Add", "convolution"]),
        ("dynamic", "Gemm"),  # it leaves convolutions to the others
        ("dynamic", "MatMul and Add"),
    ],
)
def test_what_onnxruntime_quantises_comes_out_within_half_a_step(
    tmp_path: Path,
    matrix: np.ndarray,
    bias: np.ndarray,
    form: str,
    kind: str,
    per_channel: bool,
    way: str,
) -> None:
    logging.getLogger().setLevel(logging.ERROR)
    source, path = tmp_path / "float.onnx", tmp_path / "m.onnx"
    save(source, *product_of(matrix, bias)[way], inputs=(1, D))
    weight_type = quantization.QuantType[kind]
    if form == "dynamic":
        quantization.quantize_dynamic(
            source, path, per_channel=per_channel, weight_type=weight_type
        )
    else:
        quantization.quantize_static(
            source,
            path,
            _Samples(),
            quant_format=quantization.QuantFormat[form],
            per_channel=per_channel,
            weight_type=weight_type,
            activation_type=quantization.QuantType.QUInt8,
        )
    weight, offset, tensor = head_of(path)
    assert tensor.dtype in {"I8", "U8"}  # it takes int8 where it has no operator for the other
    assert tensor.step.shape in {(), (C, 1)}
    half = np.broadcast_to(tensor.step, (C, 1)) / 2
    assert np.all(np.abs(weight - matrix) <= half * 1.001)
    assert np.allclose(offset, bias, atol=float(half.max()))


@pytest.mark.parametrize(
    "after",
    [
        ["Softmax"],
        ["Sigmoid"],
        ["LogSoftmax", "Exp"],
        ["Identity", "Squeeze", "Softmax"],
    ],
)
def test_what_only_turns_scores_into_others_may_follow(
    tmp_path: Path, matrix: np.ndarray, after: list[str]
) -> None:
    values = ["m", *(f"v{i}" for i in range(len(after) - 1)), "y"]
    nodes = [node("Gemm", ["x", "w"], ["m"], transB=1, name="fc")]
    nodes += [
        node(kind, [old], [new]) for kind, old, new in zip(after, values, values[1:], strict=False)
    ]
    save(tmp_path / "m.onnx", nodes, {"w": matrix})
    assert np.array_equal(head_of(tmp_path / "m.onnx")[0], matrix)


def test_a_softmax_in_parts_a_temperature_and_side_outputs(
    tmp_path: Path, matrix: np.ndarray
) -> None:
    nodes = [
        node("Gemm", ["x", "w"], ["m"], transB=1),
        node("Constant", [], ["t"], value_float=0.07),
        node("Div", ["m", "t"], ["d"]),
        node("ReduceMax", ["d"], ["top"]),
        node("Sub", ["d", "top"], ["s"]),
        node("Exp", ["s"], ["e"]),
        node("ReduceSum", ["e"], ["all"]),
        node("Div", ["e", "all"], ["y"]),
        node("ArgMax", ["y"], ["best"]),
    ]
    save(tmp_path / "m.onnx", nodes, {"w": matrix}, outputs=("y", "best", "x"))
    assert np.array_equal(head_of(tmp_path / "m.onnx")[0], matrix)


def network(matrix: np.ndarray, *last: onnx.NodeProto) -> tuple[list[Any], dict[str, Any]]:
    nodes = [
        node("Gemm", ["x", "h.weight"], ["h"], transB=1, name="hidden"),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "onnx::MatMul_7"], ["m"], name="/fc/MatMul"),
        *last,
    ]
    return nodes, {"h.weight": np.eye(D, dtype=np.float32), "onnx::MatMul_7": matrix.T.copy()}


@pytest.mark.parametrize(
    ("last", "tensors"),
    [
        (node("Relu", ["m"], ["y"]), {}),
        (node("Mul", ["m", "each"], ["y"]), {"each": np.ones(C, np.float32)}),
        (node("Add", ["m", "r"], ["y"]), {}),
        (node("LayerNormalization", ["m", "each"], ["y"]), {"each": np.ones(C, np.float32)}),
    ],
)
def test_what_changes_the_classes_leaves_the_choice_to_the_user(
    tmp_path: Path, matrix: np.ndarray, last: onnx.NodeProto, tensors: dict[str, np.ndarray]
) -> None:
    nodes, weights = network(matrix, last)
    save(tmp_path / "m.onnx", nodes, weights | tensors)
    with pytest.raises(
        HeadError, match=r'"/fc/MatMul.weight" \(5×7\), "h.weight".*--head'
    ) as caught:
        head_of(tmp_path / "m.onnx")
    assert single_line(str(caught.value))
    for name in ("/fc/MatMul", "onnx::MatMul_7", "/fc/MatMul.weight"):
        assert np.array_equal(head_of(tmp_path / "m.onnx", name)[0], matrix)
    for name in ("h", "hidden"):
        assert np.array_equal(head_of(tmp_path / "m.onnx", name)[0], np.eye(D))


def test_two_heads_are_listed(tmp_path: Path, matrix: np.ndarray) -> None:
    nodes, weights = network(matrix, node("Gemm", ["r", "g.weight"], ["z"], transB=1))
    weights |= {"g.weight": 2 * matrix}
    save(tmp_path / "m.onnx", nodes, weights, outputs=("m", "z"))
    with pytest.raises(HeadError, match=r"2 linear layers: .*fc/MatMul.*g.weight.*--head"):
        head_of(tmp_path / "m.onnx")
    assert np.array_equal(head_of(tmp_path / "m.onnx", "g")[0], 2 * matrix)
    # their mean is of both as well
    nodes += [node("Add", ["m", "z"], ["y"])]
    save(tmp_path / "m.onnx", nodes, weights)
    with pytest.raises(HeadError, match="2 linear layers"):
        head_of(tmp_path / "m.onnx")


def test_a_network_without_linear_layer_has_no_head(tmp_path: Path) -> None:
    save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {})
    with pytest.raises(HeadError, match="no linear layer"):
        head_of(tmp_path / "m.onnx")
    wide = {"w": np.ones((C, D, 3, 3), np.float32)}
    save(tmp_path / "m.onnx", [node("Conv", ["x", "w"], ["y"])], wide, inputs=(1, D, 9, 9))
    with pytest.raises(HeadError, match="no linear layer"):
        head_of(tmp_path / "m.onnx")


def test_only_the_graph_and_the_head_are_read(tmp_path: Path, matrix: np.ndarray) -> None:
    nodes = [
        node("MatMul", ["x", "body"], ["b"]),
        node("MatMul", ["b", "back"], ["r"]),
        node("Gemm", ["r", "w"], ["y"], transB=1),
    ]
    tensors = {
        "body": np.ones((D, 100_000), np.float32),
        "back": np.ones((100_000, D), np.float32),
        "w": np.tile(matrix, (100, 1)),
    }
    save(tmp_path / "m.onnx", nodes, tensors)
    with open_counted(tmp_path / "m.onnx") as file:
        model = open_onnx(file, tmp_path / "m.onnx")
        assert model.extent("w.weight") == 100 * C * D * 4
        assert np.array_equal(model.read("w.weight").numbers, tensors["w"])
        assert file.bytes_read < 50_000 < 5_000_000 < file.size


@pytest.fixture
def external(tmp_path: Path, matrix: np.ndarray) -> Callable[[str], Path]:
    """A model whose weights are in another file, of a given name, in the folder ``model``."""

    def build(location: str) -> Path:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        tensors = {"fc.weight": matrix, "body": np.ones((D, 100_000), np.float32)}
        nodes = [
            node("Gemm", ["x", "fc.weight"], ["y"], transB=1),
            node("MatMul", ["x", "body"], ["z"]),
        ]
        save(
            folder / "m.onnx", nodes, tensors, save_as_external_data=True, location="numbers",
            size_threshold=0,
        )  # fmt: skip
        model = onnx.load(folder / "m.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            place = next(each for each in tensor.external_data if each.key == "location")
            place.value = location
        (folder / "m.onnx").write_bytes(model.SerializeToString())
        return folder / "m.onnx"

    return build


def test_external_data_is_read_from_the_file_beside(
    external: Callable[[str], Path], matrix: np.ndarray
) -> None:
    path = external("numbers")
    with open_counted(path) as file:
        model = open_onnx(file, path)
        assert np.array_equal(model.read("fc.weight").numbers, matrix)
        assert file.bytes_total > 2_800_000
        assert file.bytes_read < 2_000


@pytest.mark.parametrize(
    "location",
    [
        "../numbers", "/etc/passwd", "folder/numbers", "..", ".", "", "C:\\numbers", "..\\numbers",
        "a\0b", "/", "./numbers",
    ],
)  # fmt: skip
def test_external_data_outside_the_folder_is_refused_before_it_is_opened(
    external: Callable[[str], Path], location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = external(location)
    with open_counted(path) as file:
        model = open_onnx(file, path)
        monkeypatch.setattr(CountingFile, "beside", lambda *_: pytest.fail("opened"))
        with pytest.raises(SourceError, match=r"refused: .* own folder") as caught:
            model.read("fc.weight")
    assert single_line(str(caught.value))


def test_a_link_out_of_the_folder_is_refused_but_a_cache_of_links_is_read(
    external: Callable[[str], Path], tmp_path: Path, matrix: np.ndarray
) -> None:
    path = external("numbers")
    numbers = path.with_name("numbers")
    outside = numbers.rename(tmp_path / "outside")
    numbers.symlink_to(outside)
    with pytest.raises(SourceError, match="refused"):
        head_of(path, "fc")
    numbers.unlink()
    numbers.symlink_to("numbers")
    with pytest.raises(SourceError, match="refused"):
        head_of(path, "fc")
    numbers.unlink()
    numbers.symlink_to(outside)
    model = path.rename(tmp_path / "model.blob")
    path.symlink_to(model)
    assert np.array_equal(head_of(path, "fc")[0], matrix)


def test_external_data_that_is_not_there_is_named(external: Callable[[str], Path]) -> None:
    path = external("elsewhere")
    with pytest.raises(SourceError, match=r"no file .*elsewhere"):
        head_of(path, "fc")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"offset": "999999999"}, "cut short"),
        ({"length": "7"}, "does not fit"),
        ({"offset": "-1"}, "does not fit"),
        ({"offset": "nan"}, "does not fit"),
        ({"offset": "9" * 30}, "does not fit"),
    ],
)
def test_external_data_at_no_place_is_refused(
    external: Callable[[str], Path], place: dict[str, str], message: str
) -> None:
    path = external("numbers")
    model = onnx.load(path, load_external_data=False)
    for key, value in place.items():
        entries = model.graph.initializer[0].external_data
        next(each for each in entries if each.key == key).value = value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match=message):
        head_of(path, "fc")


NAMES = {i: f"Class {i}" for i in range(C)}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", str(NAMES)),
        ("id2label", json.dumps(NAMES)),
        ("classes", json.dumps(list(NAMES.values()))),
        ("labels", str(list(NAMES.values()))),
    ],
)
def test_labels_in_the_metadata(tmp_path: Path, matrix: np.ndarray, key: str, text: str) -> None:
    nodes = [node("Gemm", ["x", "w"], ["y"], transB=1)]
    save(tmp_path / "mine.onnx", nodes, {"w": matrix}, metadata={key: text, "author": "nobody"})
    with opened(tmp_path / "mine.onnx") as model:
        space = model.labels()
    assert space.name == "mine"
    assert space.labels == tuple(NAMES.values())


@pytest.mark.parametrize(
    "text",
    ["", "a, b", "{1: 'a'}", "[1, 2]", "[" * 10_000, "__import__('os').abort()", "{'a': 0}", "[]",
     "9" * 5_000],
)  # fmt: skip
def test_metadata_of_another_kind_is_no_label_list(
    tmp_path: Path, matrix: np.ndarray, text: str
) -> None:
    nodes = [node("Gemm", ["x", "w"], ["y"], transB=1)]
    save(tmp_path / "m.onnx", nodes, {"w": matrix}, metadata={"names": text})
    with opened(tmp_path / "m.onnx") as model:
        assert model.labels() is None


def test_labels_that_can_not_stand_are_refused(tmp_path: Path, matrix: np.ndarray) -> None:
    nodes = [node("Gemm", ["x", "w"], ["y"], transB=1)]
    save(tmp_path / "m.onnx", nodes, {"w": matrix}, metadata={"names": "['a', 'A']"})
    with opened(tmp_path / "m.onnx") as model, pytest.raises(LabelError, match="same concept"):
        model.labels()


def test_integers_without_meaning_are_refused(tmp_path: Path, matrix: np.ndarray) -> None:
    nodes = [node("Cast", ["w"], ["u"], to=1), node("Gemm", ["x", "u"], ["y"], transB=1)]
    save(tmp_path / "m.onnx", nodes, {"w": matrix.astype(np.int8)})
    with pytest.raises(SourceError, match="what numbers they stand for"):
        head_of(tmp_path / "m.onnx")
    save(tmp_path / "m.onnx", nodes, {"w": matrix.astype(np.int16)})
    with pytest.raises(SourceError, match="data type 5"):
        head_of(tmp_path / "m.onnx")


@pytest.mark.parametrize("dims", [(C, 2**61), (2**62, 2**62), (C, D + 1), (C, 2**40)])
@pytest.mark.parametrize("columns", [D, 100 * D])
def test_a_tensor_that_claims_more_than_its_bytes_is_refused(
    tmp_path: Path, matrix: np.ndarray, dims: tuple[int, int], columns: int
) -> None:
    tensor = numpy_helper.from_array(np.resize(matrix, (C, columns)))
    tensor.ClearField("dims")
    tensor.dims.extend(dims)
    save(tmp_path / "m.onnx", [node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": tensor})
    with pytest.raises(SourceError) as caught:
        head_of(tmp_path / "m.onnx")
    assert single_line(str(caught.value))


def test_a_graph_that_runs_in_circles_ends(tmp_path: Path) -> None:
    nodes = [node("Softmax", ["a"], ["y"]), node("Softmax", ["y"], ["a"])]
    nodes += [node("Transpose", ["u"], ["v"]), node("Transpose", ["v"], ["u"])]
    nodes += [node("MatMul", ["x", "u"], ["z"])]
    save(tmp_path / "m.onnx", nodes, {}, outputs=("y", "z"))
    with pytest.raises(HeadError, match="no linear layer"):
        head_of(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"\0" * 9, b"PK\x03\x04 a zip", b"\x08\x07", b"\xff" * 99])
def test_another_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(SourceError, match="no ONNX model") as caught:
        head_of(tmp_path / "m.onnx")
    assert single_line(str(caught.value))


def test_a_graph_of_endless_parts_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classrel_db.sources.formats.onnx_file._MOST_FIELDS", 10_000)
    nodes = b"\x0a\x00" * 3_000_000
    length = b"\x3a" + bytes([len(nodes) & 127 | 128, len(nodes) >> 7 & 127 | 128,
                              len(nodes) >> 14 & 127 | 128, len(nodes) >> 21])  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(length + nodes)
    with pytest.raises(SourceError, match="more than 10,000 parts"):
        head_of(tmp_path / "m.onnx")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "m.onnx"
    matrix = np.random.default_rng(0).normal(size=(C, D * 60)).astype(np.float32)
    nodes = [node("Gemm", ["x", "w", "b"], ["m"], transB=1), node("Softmax", ["m"], ["y"])]
    save(path, nodes, {"w": matrix, "b": matrix[:, 0].copy()}, metadata={"names": str(NAMES)})
    return path.read_bytes()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_ends_in_no_other_error(whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        # the graph is at both ends, the numbers are between them
        place = data.draw(st.integers(-250, 250))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    with _in_memory(bytes(content)) as file:
        try:
            model = open_onnx(file, PurePosixPath("m.onnx"))
            model.labels()
            for key in model.shapes:
                assert model.read(key).numbers.size == math.prod(model.shapes[key])
            assert model.usual_head in model.shapes
        except (SourceError, LabelError) as error:
            assert single_line(str(error))  # noqa: PT017


@contextmanager
def _in_memory(content: bytes) -> Iterator[CountingFile]:
    with CountingFile(io.BytesIO(content), "m.onnx", len(content)) as file:  # type: ignore[arg-type]
        yield file


def test_without_the_package_the_message_names_the_extra(
    tmp_path: Path, matrix: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "m.onnx", [node("Gemm", ["x", "w"], ["y"], transB=1)], {"w": matrix})
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "classrel-db\[onnx\]"'):
        head_of(tmp_path / "m.onnx")
