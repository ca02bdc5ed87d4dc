"""The TFLite runtime: whichever package is installed, and an interpreter that it made."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ser_edge.errors import DependencyError, ModelError
from ser_edge.forking import LOADING

# Package -> the module that holds its interpreter; the first that is installed is used.
RUNTIMES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}

_NO_RUNTIME = (
    "no TFLite runtime is installed: pip install tflite-runtime (Python 3.9 to 3.11) or "
    "ai-edge-litert (64-bit, Python 3.10 or later)"
)
_NUMPY_2 = (
    "tflite-runtime was built for numpy 1 and cannot work with numpy {version}: "
    'pip install "numpy<2", or the successor of the runtime: pip install ai-edge-litert'
)


def find_runtime() -> tuple[Any, str]:
    """Find the interpreter class of the first package in :data:`RUNTIMES` that can be loaded.

    Returns:
        (class, name of its package).

    Raises:
        DependencyError: neither package is installed, or none that is can be loaded.
    """
    broken = []
    for package, module in RUNTIMES.items():
        try:
            return importlib.import_module(f"{module}.interpreter").Interpreter, package
        except ImportError as error:
            if not (isinstance(error, ModuleNotFoundError) and str(error.name).startswith(module)):
                broken.append(f"{package} is installed but cannot be loaded: {error}")
    if broken and int(np.__version__.split(".")[0]) >= 2 and "numpy" in broken[-1]:
        raise DependencyError(_NUMPY_2.format(version=np.__version__))
    raise DependencyError("; ".join(broken) or _NO_RUNTIME)


def interpreter(content: bytes, num_threads: int) -> tuple[Any, str]:
    """Load a model.

    Args:
        content: a flatbuffer that is known to be whole: the runtimes do not verify it, and a
            broken one crashes the process.
        num_threads: threads of the interpreter, at least 1.

    Returns:
        (an interpreter with its tensors allocated, name of its package).

    Raises:
        ModelError: the runtime cannot run the model.
        DependencyError: no runtime is installed, or one that does not fit numpy.
    """
    try:
        with LOADING:
            interpreter_class, package = find_runtime()
            with _quiet_stderr():
                loaded = interpreter_class(model_content=content, num_threads=num_threads)
                loaded.allocate_tensors()
    except SystemError as error:
        raise DependencyError(_NUMPY_2.format(version=np.__version__)) from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"cannot run here: {explain(str(error), package)}") from error
    return loaded, package


def explain(message: str, package: str) -> str:
    """Explain a runtime's error message in one line.

    Args:
        message: of the exception that the interpreter raised.
        package: the runtime's, a key of :data:`RUNTIMES`.
    """
    missing = missing_operator(message)
    if missing:
        return (
            f"the installed {package} lacks its operator {missing}; "
            "ai-edge-litert may have it: pip install 'ser-edge[litert]'"
        )
    if "Select TensorFlow op" in message or "custom op" in message:
        return "it needs operators of TensorFlow itself, which no device runtime has"
    return " ".join(message.split())[:300]


def missing_operator(message: str) -> str | None:
    """The operator and version that are missing by a runtime's error message, if any are.

    Example:
        >>> missing_operator("Didn't find op for builtin opcode 'ADD' version '5'.")
        'ADD version 5'
    """
    found = re.search(r"builtin opcode '(\w+)' version '(\d+)'", message)
    return f"{found[1]} version {found[2]}" if found else None


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep the runtime's greeting, written by its C++ code, off the user's screen.

    One thread at a time: two would restore each other's redirection.
    """
    try:
        saved = os.dup(2)
    except OSError:  # a daemon may have closed it
        yield
        return
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
