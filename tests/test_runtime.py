from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.errors import DependencyError, ModelError
from ser_edge.model import Model
from ser_edge.model_file import bundled_path
from tests.helpers.models import refusal


class BuiltForNumpy1:
    def __init__(self, **_: Any) -> None:
        raise SystemError("<built-in method> returned a result with an exception set")


class LacksOperator:
    def __init__(self, **_: Any) -> None:
        raise ValueError(
            "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version "
            "of this builtin might be supported.\nRegistration failed.\n"
        )


class LacksTensorFlow:
    def __init__(self, **_: Any) -> None:
        raise RuntimeError(
            "Select TensorFlow op(s), included in the given model, is(are) not supported"
        )


class ImportFails(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        raise ImportError("numpy.core.multiarray failed to import")


def install(monkeypatch: pytest.MonkeyPatch, **runtimes: Any) -> None:
    """Let only these runtimes be importable: a class, or a module, each."""
    for package in ("ai_edge_litert", "tflite_runtime"):
        runtime = runtimes.get(package)
        module: Any = runtime
        if isinstance(runtime, type):
            module = types.ModuleType(f"{package}.interpreter")
            module.Interpreter = runtime
        parent = None if module is None else types.ModuleType(package)
        monkeypatch.setitem(sys.modules, package, parent)
        monkeypatch.setitem(sys.modules, f"{package}.interpreter", module)


def test_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(DependencyError, match="no TFLite runtime is installed: pip install"):
        Model(bundled_path())


def test_a_runtime_built_for_numpy_1_that_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tflite_runtime=BuiltForNumpy1)
    with pytest.raises(DependencyError, match=r"cannot work with numpy .*pip install \"numpy<2\""):
        Model(bundled_path())


def test_a_runtime_built_for_numpy_1_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tflite_runtime=ImportFails("tflite_runtime.interpreter"))
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(DependencyError, match=r"cannot work with numpy 2\.1\.0"):
        Model(bundled_path())


def test_a_runtime_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class LacksLibrary(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ImportError("libstdc++.so.6: cannot open shared object file")

    install(monkeypatch, tflite_runtime=LacksLibrary("tflite_runtime.interpreter"))
    with pytest.raises(DependencyError, match=r"tflite-runtime is installed but .*libstdc\+\+"):
        Model(bundled_path())


def test_the_successor_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ai_edge_litert=LacksOperator, tflite_runtime=BuiltForNumpy1)
    with pytest.raises(ModelError, match="the installed ai-edge-litert lacks"):
        Model(bundled_path())


def test_a_model_too_new_for_the_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tflite_runtime=LacksOperator)
    text = refusal(Path(bundled_path()))
    assert "tflite-runtime lacks its operator FULLY_CONNECTED version 12" in text


def test_a_model_that_needs_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, tflite_runtime=LacksTensorFlow)
    assert "operators of TensorFlow itself" in refusal(Path(bundled_path()))
