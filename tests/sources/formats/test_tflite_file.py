"""Models written and read with the format's own bindings; one is a real one, with its numbers in int8."""

from __future__ import annotations

import io
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import pymicro_wakeword
import pytest
import tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.errors import HeadError, LabelError, SourceError
from classrel_db.sources.counted import CountingFile, open_counted
from classrel_db.sources.formats.tflite_file import TfliteFile, open_tflite
from classrel_db.sources.head import named_head

from ..conftest import C, D, single_line

if TYPE_CHECKING:
    from collections.abc import Iterator

WAKE_WORDS = sorted((Path(pymicro_wakeword.__file__).parent / "models").glob("*.tflite"))
OPERATORS = tflite.BuiltinOperator
KINDS = tflite.TensorType
TYPES = {"f4": KINDS.FLOAT32, "f2": KINDS.FLOAT16, "i1": KINDS.INT8, "u1": KINDS.UINT8, "i4": KINDS.INT32,
         "i2": KINDS.INT16}  # fmt: skip


@dataclass
class Value:
    """A tensor of a model; without numbers it is computed."""

    name: str
    numbers: np.ndarray | None = None
    scale: list[float] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)
    along: int = 0
    sparse: bool = False


@dataclass
class Step:
    kind: int
    inputs: list[str]
    output: str
    activation: int = 0


def model_of(
    values: list[Value], steps: list[Step], outputs: list[str], metadata: bytes = b""
) -> bytes:
    """A TFLite file with one graph; values that only pass between steps need not be listed."""
    known = {value.name for value in values}
    passing = dict.fromkeys(each for step in steps for each in (*step.inputs, step.output))
    values = values + [Value(name) for name in passing if name and name not in known]
    index = {"": -1} | {value.name: i for i, value in enumerate(values)}
    build = flatbuffers.Builder(0)

    def vector(start: Any, items: list[int], prepend: str) -> int:
        start(build, len(items))
        for item in reversed(items):
            getattr(build, prepend)(item)
        return build.EndVector()

    contents = [value.numbers for value in values] + [np.frombuffer(metadata, np.uint8)]
    data = [
        None if each is None or not each.size
        else build.CreateNumpyVector(np.frombuffer(each.tobytes(), np.uint8))
        for each in contents
    ]  # fmt: skip
    buffers = []
    for each in data:
        tflite.BufferStart(build)
        if each is not None:
            tflite.BufferAddData(build, each)
        buffers.append(tflite.BufferEnd(build))
    tensors = []
    for i, value in enumerate(values):
        name = build.CreateString(value.name)
        shape = () if value.numbers is None else value.numbers.shape
        sizes = vector(tflite.TensorStartShapeVector, list(shape), "PrependInt32")
        quantised = None
        if value.scale:
            scale = build.CreateNumpyVector(np.array(value.scale, np.float32))
            zero = build.CreateNumpyVector(np.array(value.zero, np.int64)) if value.zero else None
            tflite.QuantizationParametersStart(build)
            tflite.QuantizationParametersAddScale(build, scale)
            if zero is not None:
                tflite.QuantizationParametersAddZeroPoint(build, zero)
            tflite.QuantizationParametersAddQuantizedDimension(build, value.along)
            quantised = tflite.QuantizationParametersEnd(build)
        sparsity = None
        if value.sparse:
            tflite.SparsityParametersStart(build)
            sparsity = tflite.SparsityParametersEnd(build)
        tflite.TensorStart(build)
        if sparsity is not None:
            tflite.TensorAddSparsity(build, sparsity)
        tflite.TensorAddName(build, name)
        tflite.TensorAddShape(build, sizes)
        kind = "f4" if value.numbers is None else value.numbers.dtype.str[1:]
        tflite.TensorAddType(build, TYPES[kind])
        tflite.TensorAddBuffer(build, i)
        if quantised is not None:
            tflite.TensorAddQuantization(build, quantised)
        tensors.append(tflite.TensorEnd(build))
    kinds = sorted({step.kind for step in steps})
    codes = []
    for kind in kinds:
        tflite.OperatorCodeStart(build)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(build, min(kind, 127))
        tflite.OperatorCodeAddBuiltinCode(build, kind)
        codes.append(tflite.OperatorCodeEnd(build))
    operators = []
    for step in steps:
        options = None
        if step.kind == OPERATORS.FULLY_CONNECTED:
            tflite.FullyConnectedOptionsStart(build)
            tflite.FullyConnectedOptionsAddFusedActivationFunction(build, step.activation)
            options = tflite.FullyConnectedOptionsEnd(build)
        elif step.kind == OPERATORS.CONV_2D:
            tflite.Conv2DOptionsStart(build)
            tflite.Conv2DOptionsAddFusedActivationFunction(build, step.activation)
            options = tflite.Conv2DOptionsEnd(build)
        taken = [index[each] for each in step.inputs]
        inputs = vector(tflite.OperatorStartInputsVector, taken, "PrependInt32")
        result = vector(tflite.OperatorStartOutputsVector, [index[step.output]], "PrependInt32")
        tflite.OperatorStart(build)
        tflite.OperatorAddOpcodeIndex(build, kinds.index(step.kind))
        tflite.OperatorAddInputs(build, inputs)
        tflite.OperatorAddOutputs(build, result)
        if options is not None:
            tflite.OperatorAddBuiltinOptions(build, options)
        operators.append(tflite.OperatorEnd(build))

    def tables(start: Any, items: list[int]) -> int:
        return vector(start, items, "PrependUOffsetTRelative")

    parts = (
        tables(tflite.SubGraphStartTensorsVector, tensors),
        vector(tflite.SubGraphStartInputsVector, [index["x"]], "PrependInt32"),
        vector(
            tflite.SubGraphStartOutputsVector, [index[each] for each in outputs], "PrependInt32"
        ),
        tables(tflite.SubGraphStartOperatorsVector, operators),
    )
    tflite.SubGraphStart(build)
    tflite.SubGraphAddTensors(build, parts[0])
    tflite.SubGraphAddInputs(build, parts[1])
    tflite.SubGraphAddOutputs(build, parts[2])
    tflite.SubGraphAddOperators(build, parts[3])
    graph = tables(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(build)])
    codes_vector = tables(tflite.ModelStartOperatorCodesVector, codes)
    buffers_vector = tables(tflite.ModelStartBuffersVector, buffers)
    name = build.CreateString("TFLITE_METADATA")
    tflite.MetadataStart(build)
    tflite.MetadataAddName(build, name)
    tflite.MetadataAddBuffer(build, len(values))
    described = tables(tflite.ModelStartMetadataVector, [tflite.MetadataEnd(build)])
    tflite.ModelStart(build)
    tflite.ModelAddVersion(build, 3)
    tflite.ModelAddOperatorCodes(build, codes_vector)
    tflite.ModelAddSubgraphs(build, graph)
    tflite.ModelAddBuffers(build, buffers_vector)
    tflite.ModelAddMetadata(build, described)
    build.Finish(tflite.ModelEnd(build), b"TFL3")
    return bytes(build.Output())


@contextmanager
def opened(content: bytes, name: str = "m.tflite") -> Iterator[TfliteFile]:
    with CountingFile(io.BytesIO(content), name, len(content)) as file:  # type: ignore[arg-type]
        yield open_tflite(file, PurePosixPath(name))


def head_of(content: bytes, wanted: str | None = None) -> tuple[np.ndarray, np.ndarray | None, Any]:
    with opened(content) as model:
        keys = named_head(model.shapes, wanted or model.usual_head)
        weight = model.read(keys.weight)
        assert weight.numbers.shape == model.shapes[keys.weight]
        assert weight.numbers.dtype == np.float32
        return weight.numbers, keys.bias and model.read(keys.bias).numbers, weight


DENSE = Step(OPERATORS.FULLY_CONNECTED, ["x", "w", "b"], "z")
SOFTMAX = Step(OPERATORS.SOFTMAX, ["z"], "y")


def dense(weight: Value, bias: Value, *more: Step) -> bytes:
    weight.name, bias.name = "w", "b"
    return model_of([weight, bias], [DENSE, *more, SOFTMAX], ["y"])


def test_a_dense_layer_before_softmax(matrix: np.ndarray) -> None:
    weight, bias, tensor = head_of(dense(Value("", matrix), Value("", matrix[:, 0])))
    assert np.array_equal(weight, matrix)
    assert np.array_equal(bias, matrix[:, 0])
    assert (tensor.dtype, tensor.step) == ("F32", None)


def test_a_layer_without_bias(matrix: np.ndarray) -> None:
    for inputs in (["x", "w"], ["x", "w", ""]):
        step = Step(OPERATORS.FULLY_CONNECTED, inputs, "z")
        _, bias, _ = head_of(model_of([Value("w", matrix)], [step], ["z"]))
        assert bias is None


def test_a_1x1_convolution_before_the_mean(matrix: np.ndarray) -> None:
    steps = [
        Step(OPERATORS.CONV_2D, ["x", "w", "b"], "c"),
        Step(OPERATORS.MEAN, ["c", "axes"], "m"),
        Step(OPERATORS.RESHAPE, ["m"], "z"),
        SOFTMAX,
    ]
    values = [Value("w", matrix[:, None, None]), Value("b", matrix[:, 0]),
              Value("axes", np.array([1, 2], "i4"))]  # fmt: skip
    weight, bias, _ = head_of(model_of(values, steps, ["y"]))
    assert np.array_equal(weight, matrix)
    assert np.array_equal(bias, matrix[:, 0])
    values[0].numbers = np.ones((C, 3, 3, D), np.float32)
    with pytest.raises(HeadError, match="no linear layer"):
        head_of(model_of(values, steps, ["y"]))


def test_half_precision_behind_a_dequantise_step(matrix: np.ndarray) -> None:
    steps = [
        Step(OPERATORS.DEQUANTIZE, ["half"], "w"),
        Step(OPERATORS.DEQUANTIZE, ["half b"], "b"),
        DENSE,
    ]
    half = matrix.astype(np.float16)
    values = [Value("half", half), Value("half b", half[:, 0])]
    weight, bias, tensor = head_of(model_of(values, steps, ["z"]))
    assert np.array_equal(weight, half.astype(np.float32))
    assert np.array_equal(bias, half[:, 0].astype(np.float32))
    assert tensor.dtype == "F16"


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "shape"),
    [
        ("i1", [0.5], [0], ()),
        ("u1", [0.25], [128], ()),
        ("i1", [0.1, 0.2, 0.3, 0.4, 0.5], [0] * C, (C, 1)),
        ("i1", [0.1, 0.2, 0.3, 0.4, 0.5], [], (C, 1)),
        ("u1", [0.1, 0.2, 0.3, 0.4, 0.5], [1, 2, 3, 4, 5], (C, 1)),
    ],
)
def test_integers_come_out_as_the_numbers_they_stand_for(
    dtype: str, scale: list[float], zero: list[int], shape: tuple[int, ...]
) -> None:
    stored = np.random.default_rng(0).integers(0, 128, (C, D)).astype(dtype)
    bias = np.arange(C, dtype="i4") * 1000
    weight, offset, tensor = head_of(
        dense(Value("", stored, scale, zero), Value("", bias, [0.001], [0]))
    )
    by_row = np.broadcast_to(np.array(scale, np.float32), C)[:, None].astype(float)
    shift = np.broadcast_to(zero or [0], C)[:, None]
    assert np.allclose(weight, by_row * (stored.astype(int) - shift), rtol=1e-6)
    assert np.allclose(offset, bias * 0.001)
    assert tensor.step.shape == shape
    assert tensor.dtype == {"i1": "I8", "u1": "U8"}[dtype]


@pytest.mark.parametrize(
    "weight",
    [
        Value("", np.ones((C, D), "i1")),
        Value("", np.ones((C, D), "i1"), [0.1] * D, [], 1),
        Value("", np.ones((C, D), "i1"), [0.1] * 3),
        Value("", np.ones((C, D), "i1"), [0.1], [0, 0]),
        Value("", np.ones((C, D), "i2"), [0.1]),
    ],
)
def test_integers_of_another_kind_are_refused(weight: Value) -> None:
    with pytest.raises(SourceError) as caught:
        head_of(dense(weight, Value("", np.ones(C, np.float32))))
    assert single_line(str(caught.value))


@pytest.mark.parametrize("path", WAKE_WORDS, ids=lambda path: path.stem)
def test_a_real_model_in_int8(path: Path) -> None:
    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    kinds = [
        max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        for code in map(model.OperatorCodes, range(model.OperatorCodesLength()))
    ]
    steps = map(graph.Operators, range(graph.OperatorsLength()))
    last = [each for each in steps if kinds[each.OpcodeIndex()] == OPERATORS.FULLY_CONNECTED][-1]
    expected = []
    for index in (1, 2):
        tensor = graph.Tensors(last.Inputs(index))
        stored = model.Buffers(tensor.Buffer()).DataAsNumpy()
        stored = stored.view("i1" if tensor.Type() == tflite.TensorType.INT8 else "<i4")
        scale = tensor.Quantization().ScaleAsNumpy().astype(float)
        expected.append((stored.reshape(tensor.ShapeAsNumpy()) * scale).astype(np.float32))
    with open_counted(path) as file:
        read = open_tflite(file, path)
        key = read.usual_head
        assert np.array_equal(read.read(key).numbers, expected[0])
        assert np.allclose(read.read(key.replace("weight", "bias")).numbers, expected[1])
        assert file.bytes_read < file.size / 6


def test_only_the_graph_and_the_head_are_read(matrix: np.ndarray) -> None:
    values = [Value("body", np.ones((D, 300_000), "f4")), Value("w", matrix)]
    steps = [
        Step(OPERATORS.FULLY_CONNECTED, ["x", "body"], "h"),
        Step(OPERATORS.FULLY_CONNECTED, ["h", "w"], "z"),
    ]
    content = model_of(values, steps, ["z"])
    with CountingFile(io.BytesIO(content), "m", len(content)) as file:  # type: ignore[arg-type]
        model = open_tflite(file, PurePosixPath("m"))
        assert model.extent("w.weight") == matrix.nbytes
        assert np.array_equal(model.read(model.usual_head).numbers, matrix)
        assert file.bytes_read < 3_000 < 8_000_000 < file.size


@pytest.mark.parametrize(
    ("last", "values"),
    [
        (Step(OPERATORS.RELU, ["z"], "y"), []),
        (Step(OPERATORS.MUL, ["z", "each"], "y"), [Value("each", np.ones(C, "f4"))]),
        (Step(OPERATORS.ADD, ["z", "h"], "y"), []),
    ],
)
def test_what_changes_the_classes_leaves_the_choice_to_the_user(
    matrix: np.ndarray, last: Step, values: list[Value]
) -> None:
    first = Step(OPERATORS.FULLY_CONNECTED, ["x", "v"], "h", activation=1)
    steps = [first, Step(OPERATORS.FULLY_CONNECTED, ["h", "w"], "z"), last]
    content = model_of(
        [Value("v", np.eye(D, dtype="f4")), Value("w", matrix), *values], steps, ["y"]
    )
    with pytest.raises(HeadError, match=r'"w.weight" \(5×7\), "v.weight" \(7×7\); .*--head'):
        head_of(content)
    assert np.array_equal(head_of(content, "w")[0], matrix)


def test_a_layer_with_an_activation_is_no_head_and_a_scale_is_no_activation(
    matrix: np.ndarray,
) -> None:
    values = [Value("w", matrix), Value("b", matrix[:, 0]), Value("t", np.array([3], "f4"))]
    step = Step(OPERATORS.FULLY_CONNECTED, ["x", "w", "b"], "z", activation=1)
    with pytest.raises(HeadError, match="no linear layer ends"):
        head_of(model_of(values, [step], ["z"]))
    scaled = [DENSE, Step(OPERATORS.DIV, ["z", "t"], "y"), Step(OPERATORS.ARG_MAX, ["y"], "k")]
    assert np.array_equal(head_of(model_of(values, scaled, ["y", "k", "x"]))[0], matrix)


def test_two_heads_are_listed(matrix: np.ndarray) -> None:
    values = [Value("v", matrix), Value("w", 2 * matrix)]
    steps = [Step(OPERATORS.FULLY_CONNECTED, ["x", each], f"y {each}") for each in "vw"]
    with pytest.raises(HeadError, match=r'2 linear layers: "v.weight".*"w.weight"'):
        head_of(model_of(values, steps, ["y v", "y w"]))


def metadata_naming(*names: tuple[str, int]) -> bytes:
    """The metadata of a model whose one output has files of the given kinds."""
    build = flatbuffers.Builder(0)

    def table(fields: dict[int, int], numbers: dict[int, int] | None = None) -> int:
        build.StartObject(8)
        for slot, offset in fields.items():
            build.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in (numbers or {}).items():
            build.PrependInt8Slot(slot, number, 0)
        return build.EndObject()

    def tables(items: list[int]) -> int:
        build.StartVector(4, len(items), 4)
        for item in reversed(items):
            build.PrependUOffsetTRelative(item)
        return build.EndVector()

    files = [table({0: build.CreateString(name)}, {2: kind}) for name, kind in names]
    output = table({6: tables(files)})
    graph = table({3: tables([output])})
    build.Finish(table({3: tables([graph])}), b"M001")
    return bytes(build.Output())


def labelled(matrix: np.ndarray, metadata: bytes, files: dict[str, bytes]) -> bytes:
    model = model_of([Value("w", matrix), Value("b", matrix[:, 0])], [DENSE], ["z"], metadata)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
    return model + archive.getvalue()


def test_the_label_file_in_the_model(matrix: np.ndarray) -> None:
    names = [f"Möwe {i}" for i in range(C)]
    files = {"about.txt": b"a model", "labels.txt": "\r\n".join(names).encode() + b"\r\n"}
    metadata = metadata_naming(("about.txt", 1), ("labels.txt", 2))
    with opened(labelled(matrix, metadata, files), "gulls.tflite") as model:
        assert model.labels().labels == tuple(names)
        assert model.labels().name == "gulls"


def test_without_a_label_file_there_are_no_labels(matrix: np.ndarray) -> None:
    for metadata in (b"", metadata_naming(("about.txt", 1)), metadata_naming(("lost.txt", 2))):
        with opened(labelled(matrix, metadata, {"labels.txt": b"a\nb"})) as model:
            assert model.labels() is None


def test_a_label_file_that_can_not_be_read_is_refused(
    matrix: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = metadata_naming(("labels.txt", 2))
    content = labelled(matrix, metadata, {"labels.txt": b"\xff\xfe"})
    with opened(content) as model, pytest.raises(LabelError, match="not UTF-8"):
        model.labels()
    with opened(content[:-30]) as model, pytest.raises(LabelError, match="can't be read"):
        model.labels()
    monkeypatch.setattr("classrel_db.sources.formats.tflite_file._LARGEST_LABELS", 1)
    with opened(content) as model, pytest.raises(LabelError, match="more than 1 bytes"):
        model.labels()


def test_sparse_tensors_and_wrong_sizes_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(SourceError, match="is sparse"):
        head_of(dense(Value("", matrix, sparse=True), Value("", matrix[:, 0])))
    content = dense(Value("", matrix), Value("", matrix[:, 0]))
    changed = content.replace(
        np.array([C, D], "<i4").tobytes(), np.array([C, 2**31 - 1], "<i4").tobytes()
    )
    with pytest.raises(SourceError, match="not the size of its shape"):
        head_of(changed)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip", b"TFL3", b"\0\0\0\0TFL3", b"\xff" * 99])
def test_another_file_is_no_model(content: bytes) -> None:
    with pytest.raises(SourceError, match="TFLite") as caught:
        head_of(content)
    assert single_line(str(caught.value))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_ends_in_no_other_error(data: st.DataObject) -> None:
    numbers = np.ones((C, D), np.float32)
    content = bytearray(
        labelled(numbers, metadata_naming(("labels.txt", 2)), {"labels.txt": b"a\nb\nc\nd\ne"})
    )
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content) - 4))
        content[place : place + 4] = data.draw(
            st.binary(min_size=4, max_size=4) | st.sampled_from([b"\0\0\0\0", b"\xff" * 4])
        )
    content = content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    try:
        with opened(bytes(content)) as model:
            for key in model.shapes:
                model.read(key)
            assert model.usual_head in model.shapes
            model.labels()
    except (SourceError, LabelError) as error:
        assert single_line(str(error))  # noqa: PT017
