"""A model, ready to run: its metadata, its front end and an interpreter."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge import forking, model_file, runtime
from ser_edge.errors import ModelError
from ser_edge.features import FloatArray
from ser_edge.frontend import Frontend

if TYPE_CHECKING:
    import numpy.typing as npt

_MIN_PROBABILITY = 1e-9  # well below what a quantized softmax can distinguish from zero


class Model:
    """A self-describing model file, loaded. Threads may share it: one window runs at a time.
    So may forked children: each makes an interpreter of its own when it first needs one.

    Args:
        path: a `.tflite` file that `ser_edge.convert` wrote.
        num_threads: threads of the interpreter, at least 1.

    Attributes:
        path: where it was loaded from.
        metadata: what the file states: labels, front end, decision rules, ...
        frontend: from samples to the model's input.
        num_threads: threads of the interpreter.
        runtime: name of the package that runs it.
        operators: names of the operators in it, sorted.

    Raises:
        ModelError: the file is missing, broken, without metadata, or cannot run here.
        DependencyError: no TFLite runtime is installed, or one that does not fit numpy.
        ValueError: `num_threads` is below 1.

    Example:
        >>> model = Model(model_file.bundled_path())
        >>> samples = np.zeros(model.frontend.window_samples, dtype=np.float32)
        >>> model.predict(model.frontend(samples)).shape
        (6,)
    """

    def __init__(self, path: str | os.PathLike[str], *, num_threads: int = 1) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads is {num_threads}, but must be at least 1")
        self.path = os.fspath(path)
        self.num_threads = num_threads
        self._lock = threading.Lock()
        self.metadata, self._content = model_file.read(self.path)
        self.frontend = Frontend(self.metadata.frontend)
        interpreter, self.runtime = self._load()
        self._interpreter = interpreter
        self._input = self._only_tensor("input", interpreter.get_input_details())
        self._output = self._only_tensor("output", interpreter.get_output_details())
        self._check_shapes()
        self.operators: tuple[str, ...] = tuple(
            sorted({op["op_name"] for op in interpreter._get_ops_details()} - {"DELEGATE"})
        )
        forking.renew_in_child(self)

    def __repr__(self) -> str:
        return (
            f"Model({self.metadata.name!r}: {', '.join(self.metadata.labels)}; "
            f"{self.frontend}; {self.runtime})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Model, num_threads=self.num_threads), (self.path,)

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
            if self._interpreter is None:  # in a forked child
                self._interpreter, _ = self._load()
            try:
                # A fused LSTM keeps its state from one call to the next.
                self._interpreter.reset_all_variables()
                self._interpreter.set_tensor(self._input["index"], shaped)
                self._interpreter.invoke()
                raw = self._interpreter.get_tensor(self._output["index"])
            except RuntimeError as error:
                reason = runtime.explain(str(error), self.runtime)
                raise ModelError(f"{self.path} failed: {reason}") from error
        probabilities = _dequantized(raw[0], self._output)
        if not (np.isfinite(probabilities).all() and probabilities.sum() > 0):
            raise ModelError(f"{self.path}: the model's output is not a set of probabilities")
        return temperature_scaled(probabilities, self.metadata.decision.temperature)

    def renew(self) -> None:
        """Drop the interpreter and the lock of the process that this one was forked from."""
        forking.abandon(self._interpreter)
        self._interpreter = None
        self._lock = threading.Lock()

    def _load(self) -> tuple[Any, str]:
        try:
            return runtime.interpreter(self._content, self.num_threads)
        except ModelError as error:
            raise ModelError(f"{self.path} {error}") from error

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


def softmax(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Probabilities of the last axis, float64, of the logits' shape (..., n).

    Equals ``scipy.special.softmax(logits, axis=-1)`` up to rounding.

    Example:
        >>> softmax([0.0, np.log(3.0)])
        array([0.25, 0.75])
    """
    values = np.asarray(logits, dtype=np.float64)
    exp_logits = np.exp(values - values.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = exp_logits / exp_logits.sum(axis=-1, keepdims=True)
    return probabilities


def temperature_scaled(probabilities: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """Soften probabilities (temperature above 1) or sharpen them (below 1).

    Temperature scaling by Guo et al. ("On calibration of modern neural networks", ICML 2017), from
    probabilities instead of logits: ``softmax(log(p) / temperature)``.

    Args:
        probabilities: shape (..., n_labels), at least 0; those below 1e-9 count as that.
        temperature: above 0.

    Returns:
        float64, shape (..., n_labels); the last axis sums to 1.

    Example:
        >>> temperature_scaled([0.8, 0.2], 2.0).round(3)
        array([0.667, 0.333])
    """
    return softmax(np.log(np.maximum(probabilities, _MIN_PROBABILITY)) / temperature)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


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
