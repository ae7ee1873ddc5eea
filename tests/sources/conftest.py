"""Heads to read: small ones written by hand, and a resnet50 of its true size, built once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torchvision import models
from torchvision.models import regnet

from classrel_db.records import Head, LoadOptions
from classrel_db.sources import load, locate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

C, D = 5, 7


@pytest.fixture(scope="session")
def resnet50() -> torch.nn.Module:
    return models.resnet50(weights=None)


@pytest.fixture
def linear() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(D, C)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"class {i}\n" for i in range(C)), encoding="utf-8")
    return path


@pytest.fixture
def read(labels: Path) -> Callable[..., Head]:
    """Load a file with five labels unless others are given."""

    def load_file(path: Path, head: str | None = None, labels: Any = labels) -> Head:
        return load(locate(str(path)), LoadOptions(head=head, labels=labels))

    return load_file


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(C, D)).astype(np.float32)


def build(name: str, **config: Any) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces changes of initialisation
        return models.get_model(name, weights=None, **config)


def shapes_of(name: str, **config: Any) -> tuple[torch.nn.Module, dict[str, tuple[int, ...]]]:
    """A torchvision model without storage, and the shapes of its state dict."""
    computed = regnet.BlockParams.from_init_params.__func__

    def on_cpu(cls: type, *args: Any, **kwargs: Any) -> regnet.BlockParams:
        with torch.device("cpu"):  # regnet computes its widths with tensors
            return computed(cls, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(regnet.BlockParams, "from_init_params", classmethod(on_cpu))
        model = build(name, **config)
    return model, {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def single_line(message: str) -> bool:
    return "\n" not in message and "Traceback" not in message
