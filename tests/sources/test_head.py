from __future__ import annotations

import pytest
from torchvision import models

from classrel_db.errors import HeadError, LabelError
from classrel_db.sources.head import HeadKeys, find_head, named_head

from .conftest import shapes_of

# torchvision's classifier by the beginning of an architecture's name, from its source code
HEADS = {
    "alexnet": "classifier.6",
    "convnext": "classifier.2",
    "densenet": "classifier",
    "efficientnet": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "maxvit": "classifier.5",
    "mnasnet": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3": "classifier.3",
    "regnet": "fc",
    "resnet": "fc",
    "resnext": "fc",
    "shufflenet": "fc",
    "squeezenet": "classifier.1",
    "swin": "head",
    "vgg": "classifier.6",
    "vit": "heads.head",
    "wide_resnet": "fc",
}
ARCHITECTURES = models.list_models(module=models)


def test_torchvision_has_the_80_architectures() -> None:
    assert len(ARCHITECTURES) >= 80


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_finds_the_head_of_every_torchvision_architecture(name: str) -> None:
    model, shapes = shapes_of(name)
    with_weights = [key for key, module in model.named_modules() if list(module.parameters(False))]
    expected = next((HEADS[start] for start in HEADS if name.startswith(start)), with_weights[-1])
    assert expected == with_weights[-1]
    bias = f"{expected}.bias"
    assert find_head(shapes, 1000) == HeadKeys(
        f"{expected}.weight", bias if bias in shapes else None
    )


def test_maxvit_is_the_architecture_without_a_bias() -> None:
    _model, shapes = shapes_of("maxvit_t")
    assert find_head(shapes, 1000) == HeadKeys("classifier.5.weight", None)


def test_a_bias_decides_between_two_matrices_with_as_many_rows() -> None:
    shapes = {"embed.weight": (10, 4), "fc.weight": (10, 8), "fc.bias": (10,)}
    assert find_head(shapes, 10) == HeadKeys("fc.weight", "fc.bias")


def test_a_bias_of_another_length_is_no_bias() -> None:
    shapes = {"fc.weight": (10, 8), "fc.bias": (9,)}
    assert find_head(shapes, 10) == HeadKeys("fc.weight", None)


def test_a_1x1_convolution_can_be_the_head_but_no_3x3_one() -> None:
    shapes = {
        "a.weight": (10, 8, 1, 1),
        "a.bias": (10,),
        "b.weight": (10, 8, 3, 3),
        "b.bias": (10,),
    }
    assert find_head(shapes, 10) == HeadKeys("a.weight", "a.bias")


def test_auxiliary_classifiers_are_skipped_at_any_depth() -> None:
    shapes = {
        "state_dict.aux1.fc2.weight": (10, 8),
        "state_dict.aux1.fc2.bias": (10,),
        "state_dict.AuxLogits.fc.weight": (10, 8),
        "state_dict.AuxLogits.fc.bias": (10,),
        "state_dict.fc.weight": (10, 8),
        "state_dict.fc.bias": (10,),
    }
    assert find_head(shapes, 10) == HeadKeys("state_dict.fc.weight", "state_dict.fc.bias")


def test_two_candidates_are_an_error_that_lists_them() -> None:
    shapes = {"a.weight": (10, 8), "a.bias": (10,), "b.weight": (10, 6), "b.bias": (10,)}
    with pytest.raises(HeadError, match=r'"a\.weight" \(10×8\), "b\.weight" \(10×6\).*--head KEY'):
        find_head(shapes, 10)


def test_two_candidates_without_bias_are_an_error_too() -> None:
    with pytest.raises(HeadError, match="2 tensors have 10 rows"):
        find_head({"a.weight": (10, 8), "b.weight": (10, 6)}, 10)


def test_a_hidden_layer_as_wide_as_the_labels_does_not_pass_for_the_head() -> None:
    # hidden (with bias) -> head (without): the rule "the one with a bias" alone would take hidden
    shapes = {"hidden.weight": (10, 8), "hidden.bias": (10,), "head.weight": (10, 10)}
    with pytest.raises(HeadError, match=r"hidden.*head"):
        find_head(shapes, 10)


def test_square_layers_before_a_square_head_are_an_error() -> None:
    shapes = {f"layer{i}.{kind}": shape for i in range(3) for kind, shape in
              (("weight", (10, 10)), ("bias", (10,)))}  # fmt: skip
    with pytest.raises(HeadError, match="3 tensors"):
        find_head(shapes, 10)


def test_convolutions_without_bias_do_not_make_a_choice() -> None:
    # resnet18 with 512 classes: its 1×1 convolution has as many rows, and a layer takes as many
    _model, shapes = shapes_of("resnet18", num_classes=512)
    assert find_head(shapes, 512) == HeadKeys("fc.weight", "fc.bias")


def test_an_optimizer_state_of_the_same_shape_is_no_candidate() -> None:
    shapes = {"model.fc.weight": (10, 8), "optimizer.state.0.exp_avg": (10, 8)}
    assert find_head(shapes, 10) == HeadKeys("model.fc.weight", None)


def test_no_candidate_lists_the_matrices_and_the_number_of_labels() -> None:
    shapes = {f"layer{i}.weight": (i + 20, 8) for i in range(9)}
    with pytest.raises(HeadError, match=r'10 rows.*"layer0\.weight" \(20×8\).* and 3 more'):
        find_head(shapes, 10)


def test_a_file_without_matrices_is_said_to_be_without_classifier() -> None:
    with pytest.raises(HeadError, match="no 2-D tensor"):
        find_head({"conv.weight": (10, 3, 3, 3)}, 10)


def test_one_matrix_with_another_number_of_rows_is_a_question_of_labels() -> None:
    with pytest.raises(LabelError, match=r'10 labels for the 11 rows of "fc.weight"'):
        find_head({"fc.weight": (11, 8), "fc.bias": (11,)}, 10)


@pytest.mark.parametrize("wanted", ["fc", "fc.weight", "model.fc", "model.fc.weight"])
def test_the_user_may_name_the_head_in_short(wanted: str) -> None:
    shapes = {"model.fc.weight": (10, 8), "model.fc.bias": (10,), "model.other.weight": (10, 8)}
    assert named_head(shapes, wanted) == HeadKeys("model.fc.weight", "model.fc.bias")


def test_a_short_name_that_fits_two_tensors_is_an_error() -> None:
    shapes = {"model.fc.weight": (10, 8), "ema.fc.weight": (10, 8)}
    with pytest.raises(HeadError, match="fits 2 tensors"):
        named_head(shapes, "fc")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(HeadError, match=r'no tensor "clasifier".*did you mean "classifier.weight"'):
        named_head({"classifier.weight": (10, 8), "x.weight": (4, 4)}, "clasifier")


def test_an_unknown_name_near_to_none_gets_the_matrices() -> None:
    with pytest.raises(HeadError, match=r'"zzz" in the file; the file.s 2-D tensors: "fc\.weight"'):
        named_head({"fc.weight": (10, 8)}, "zzz")


@pytest.mark.parametrize("shape", [(), (10,), (10, 3, 3, 3), (2, 3, 4)])
def test_a_named_tensor_of_another_form_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(HeadError, match="can't be a head"):
        named_head({"fc.weight": shape}, "fc")
