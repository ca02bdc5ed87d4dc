"""One `.tflite` file: its metadata, its front end and an interpreter that runs it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge.errors import DependencyError, ModelError
from ser_edge.features import FloatArray
from ser_edge.frontend import Frontend
from ser_edge.metadata import Metadata

if TYPE_CHECKING:
    import numpy.typing as npt

METADATA_FILE = "ser_edge.json"
LABELS_FILE = "labels.txt"

_MAX_METADATA_BYTES = 1_000_000
# The end of a file, in which metadata and labels lie packed; what is before is not unpacked.
_MAX_ARCHIVE_BYTES = 2_000_000
_MAX_MODEL_BYTES = 150_000_000
# Where a FlatBuffer of TFLite's schema says so.
_IDENTIFIER = slice(4, 8)
_TFLITE = b"TFL3"

_NO_RUNTIME = (
    "no TFLite runtime is installed: pip install tflite-runtime (Python 3.9 to 3.11) or "
    "ai-edge-litert (64-bit, Python 3.10 or later)"
)
_NUMPY_2 = (
    "tflite-runtime was built for numpy 1 and cannot work with numpy {version}: "
    'pip install "numpy<2", or the successor of the runtime: pip install ai-edge-litert'
)


class Model:
    """A self-describing model, ready to run. Made by :meth:`load`; may be shared by threads.

    Attributes:
        path: where it was loaded from.
        metadata: what the file says of itself.
        frontend: from samples to the model's input.
        num_threads: threads of the interpreter.
        runtime: name of the package that runs it.
        operators: names of the operators in it, sorted.

    Example:
        >>> from ser_edge.classifier import bundled_path
        >>> model = Model.load(bundled_path())
        >>> samples = np.zeros(model.frontend.window_samples, dtype=np.float32)
        >>> model.predict(model.frontend(samples)).shape
        (6,)
    """

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, num_threads: int = 1) -> Model:
        """Load a model file that `ser_edge.convert` wrote.

        Args:
            path: the `.tflite` file.
            num_threads: threads of the interpreter, at least 1.

        Raises:
            ModelError: the file is missing, broken, without metadata, or cannot run here.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy.
        """
        return cls(path, num_threads=num_threads)

    def __init__(self, path: str | os.PathLike[str], *, num_threads: int = 1) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads is {num_threads}, but must be at least 1")
        self.path = os.fspath(path)
        self.num_threads = num_threads
        self._lock = threading.Lock()
        self.metadata, content = _read(self.path)
        self.frontend = Frontend(self.metadata.frontend)
        interpreter, self.runtime = _interpreter(self.path, content, num_threads)
        self._interpreter = interpreter
        self._input = self._only_tensor("input", interpreter.get_input_details())
        self._output = self._only_tensor("output", interpreter.get_output_details())
        self._check_shapes()
        self.operators: tuple[str, ...] = tuple(
            sorted({op["op_name"] for op in interpreter._get_ops_details()} - {"DELEGATE"})
        )

    def __repr__(self) -> str:
        return (
            f"Model({self.metadata.name!r}: {', '.join(self.metadata.labels)}; "
            f"{self.frontend}; {self.runtime})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, (self.path, self.num_threads)

    def predict(self, features: FloatArray) -> npt.NDArray[np.float64]:
        """Probabilities of the labels for one window.

        Args:
            features: the front end's matrix, float32, of shape ``frontend.shape``.

        Returns:
            float64, shape (n_labels,), in the order of ``metadata.labels``; they sum to 1.

        Raises:
            ModelError: the model failed, or gave something else than probabilities.
        """
        shaped = _quantized(features, self._input).reshape(self._input["shape"])
        with self._lock:
            try:
                # A fused LSTM keeps its state from one call to the next.
                self._interpreter.reset_all_variables()
                self._interpreter.set_tensor(self._input["index"], shaped)
                self._interpreter.invoke()
                raw = self._interpreter.get_tensor(self._output["index"])
            except RuntimeError as error:
                reason = _reason(str(error), self.runtime)
                raise ModelError(f"{self.path} failed: {reason}") from error
        probabilities = _dequantized(raw[0], self._output)
        if not (np.isfinite(probabilities).all() and probabilities.sum() > 0):
            raise ModelError(f"{self.path}: the model's output is not a set of probabilities")
        # The floor is well below what a quantized softmax can tell from zero.
        logits = np.log(np.maximum(probabilities, 1e-9)) / self.metadata.decision.temperature
        odds = np.exp(logits - logits.max())
        calibrated: npt.NDArray[np.float64] = odds / odds.sum()
        return calibrated

    def _only_tensor(self, role: str, tensors: list[dict[str, Any]]) -> dict[str, Any]:
        if len(tensors) != 1:
            raise ModelError(f"{self.path}: the model has {len(tensors)} {role}s instead of one")
        (tensor,) = tensors
        dtype = np.dtype(tensor["dtype"])
        scale, _ = tensor["quantization"]
        if dtype != np.float32 and not (dtype.kind in "iu" and scale > 0):
            raise ModelError(
                f"{self.path}: the model's {role} is {dtype.name}, but must be float32 or "
                "quantized integers"
            )
        return tensor

    def _check_shapes(self) -> None:
        wanted = self.frontend.shape
        inputs = tuple(int(n) for n in self._input["shape"])
        # Two-dimensional convolutions want a channel axis.
        if inputs not in ((1, *wanted), (1, *wanted, 1)):
            raise ModelError(
                f"{self.path}: the model takes {_times(inputs)} values, but its front end gives "
                f"{_times((1, *wanted))}"
            )
        outputs = tuple(int(n) for n in self._output["shape"])
        if outputs != (1, len(self.metadata.labels)):
            raise ModelError(
                f"{self.path}: the model gives {_times(outputs)} values for "
                f"{len(self.metadata.labels)} labels"
            )


def _load(path: str, num_threads: int) -> Model:
    return Model(path, num_threads=num_threads)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _read(path: str) -> tuple[Metadata, bytes]:
    """The checked metadata and flatbuffer of a model file."""
    try:
        with open(path, "rb") as file:
            if file.read(_IDENTIFIER.stop)[_IDENTIFIER] != _TFLITE:
                raise ModelError(f"{path} is not a TFLite model")
            metadata = Metadata.parse(_read_member(path, file, METADATA_FILE))
            size = metadata.flatbuffer.bytes
            if size > _MAX_MODEL_BYTES:
                raise ModelError(f"{path}: a model of {size} bytes is too large")
            file.seek(0)
            content = file.read(size)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    except ModelError as error:
        raise error if path in str(error) else ModelError(f"{path}: {error}") from error
    # The runtime does not verify what it is given: a broken flatbuffer crashes the process.
    if hashlib.sha256(content).hexdigest() != metadata.flatbuffer.sha256:
        raise ModelError(f"{path} is damaged: its contents do not match its checksum")
    return metadata, content


def _read_member(path: str, file: Any, name: str) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MAX_ARCHIVE_BYTES))
    end = io.BytesIO(file.read(_MAX_ARCHIVE_BYTES))
    try:
        with zipfile.ZipFile(end) as archive:
            # Other methods unpack as much as a hostile file holds, however little is asked for.
            method = archive.getinfo(name).compress_type
            if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"compression method {method}")
            with archive.open(name) as member:
                data = member.read(_MAX_METADATA_BYTES + 1)
    except KeyError as error:
        raise ModelError(_no_metadata(path)) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        OverflowError,
    ) as error:
        if not zipfile.is_zipfile(end):
            raise ModelError(_no_metadata(path)) from error
        raise ModelError(f"{path} is damaged: {error}") from error
    if len(data) > _MAX_METADATA_BYTES:
        raise ModelError(f"{path}: its metadata is larger than {_MAX_METADATA_BYTES} bytes")
    return data


def _no_metadata(path: str) -> str:
    return (
        f"{path} carries no ser-edge metadata: make it from the trained model with ser-edge-convert"
    )


def _interpreter(path: str, content: bytes, num_threads: int) -> tuple[Any, str]:
    """An interpreter with its tensors allocated, and the name of its package."""
    interpreter_class, runtime = find_runtime()
    try:
        with _quiet_stderr():
            interpreter = interpreter_class(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
    except SystemError as error:
        raise DependencyError(_NUMPY_2.format(version=np.__version__)) from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path} cannot run here: {_reason(str(error), runtime)}") from error
    return interpreter, runtime


def find_runtime() -> tuple[Any, str]:
    """The interpreter class and the package that it comes from: the successor where it is.

    Raises:
        DependencyError: neither package is installed, or none that is can be loaded.
    """
    broken = []
    for runtime in ("ai-edge-litert", "tflite-runtime"):
        package = runtime.replace("-", "_")
        try:
            return importlib.import_module(f"{package}.interpreter").Interpreter, runtime
        except ImportError as error:
            if not (isinstance(error, ModuleNotFoundError) and str(error.name).startswith(package)):
                broken.append(f"{runtime} is installed but cannot be loaded: {error}")
    if broken and int(np.__version__.split(".")[0]) >= 2 and "numpy" in broken[-1]:
        raise DependencyError(_NUMPY_2.format(version=np.__version__))
    raise DependencyError("; ".join(broken) or _NO_RUNTIME)


def _reason(message: str, runtime: str) -> str:
    missing = re.search(r"builtin opcode '(\w+)' version '(\d+)'", message)
    if missing:
        return (
            f"the installed {runtime} lacks its operator {missing[1]} version {missing[2]}; "
            "ai-edge-litert may have it: pip install 'ser-edge[litert]'"
        )
    if "Select TensorFlow op" in message or "custom op" in message:
        return "it needs operators of TensorFlow itself, which no device runtime has"
    return " ".join(message.split())[:300]


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep the runtime's greeting, written by its C++ code, off the user's screen."""
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


def _quantized(values: FloatArray, tensor: dict[str, Any]) -> npt.NDArray[Any]:
    dtype = tensor["dtype"]
    if dtype == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    limits = np.iinfo(dtype)
    steps = np.rint(values / scale + zero_point)
    quantized: npt.NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(dtype)
    return quantized


def _dequantized(values: npt.NDArray[Any], tensor: dict[str, Any]) -> npt.NDArray[np.float64]:
    real: npt.NDArray[np.float64] = values.astype(np.float64)
    if tensor["dtype"] != np.float32:
        scale, zero_point = tensor["quantization"]
        real = (real - zero_point) * scale
    return real
