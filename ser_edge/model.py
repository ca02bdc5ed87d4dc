"""A model, ready to run: its metadata, its front end and an interpreter."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ser_edge import forking, model_file, runtime
from ser_edge.errors import ModelError
from ser_edge.familiarity import Subspace
from ser_edge.features import FloatArray
from ser_edge.frontend import Frontend, fits

if TYPE_CHECKING:
    import numpy.typing as npt

_MIN_PROBABILITY = 1e-9  # well below what a quantized softmax can distinguish from zero
_MAX_DEVIATION = 3.0  # standard deviations: what is further off counts as this


class Observation(NamedTuple):
    """What a model gives for a window, or the mean of it over a recording's windows."""

    probabilities: npt.NDArray[np.float64]  # of the labels, shape (n_labels,)
    # What a profile's weights multiply: all embeddings, standardized, shape (n_inputs,).
    inputs: npt.NDArray[np.float64]
    embedding: FloatArray  # float32, shape (size,), as the network computes it
    utterance_embedding: FloatArray | None  # the same


def mean_observation(observations: Sequence[Observation]) -> Observation:
    """The mean of the observations of a recording's windows, of which there is at least one."""
    first = observations[0]
    if len(observations) == 1:
        return first
    probabilities, inputs, embeddings, utterance_embeddings = zip(*observations)
    return Observation(
        np.mean(probabilities, axis=0),
        np.mean(inputs, axis=0),
        np.mean(embeddings, axis=0, dtype=np.float32),
        None
        if first.utterance_embedding is None
        else np.mean(utterance_embeddings, axis=0, dtype=np.float32),
    )


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
        self._output, *self._embeddings = self._outputs(interpreter.get_output_details())
        self._check_shapes()
        forking.renew_in_child(self)

    def __repr__(self) -> str:
        return (
            f"Model({self.metadata.name!r}: {', '.join(self.metadata.labels)}; "
            f"{self.frontend}; {self.runtime})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Model, num_threads=self.num_threads), (self.path,)

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators in it, sorted."""
        with self._lock:
            operators = self._ready_interpreter()._get_ops_details()
        return tuple(sorted({operator["op_name"] for operator in operators} - {"DELEGATE"}))

    @property
    def n_inputs(self) -> int:
        """Length of ``Observation.inputs``; 0 for a model that cannot be adapted."""
        specs = (self.metadata.embedding, self.metadata.utterance_embedding)
        return sum(spec.size for spec in specs if spec is not None)

    def predict(self, features: FloatArray) -> npt.NDArray[np.float64]:
        """Probabilities of the labels for one window.

        Args:
            features: the front end's matrix, float32, of shape ``frontend.shape``.

        Returns:
            float64, shape (n_labels,), in the order of ``metadata.labels``; they sum to 1.

        Raises:
            ModelError: the model failed, or gave something else than probabilities.
        """
        probabilities: npt.NDArray[np.float64] = self.scores(features)[0]
        return probabilities

    def scores(self, features: FloatArray) -> npt.NDArray[np.float64]:
        """Probabilities of one window, less sure where it is unfamiliar, and as if it were not.

        Args:
            features: as for :meth:`predict`.

        Returns:
            float64, shape (2, n_labels): what :meth:`predict` gives, then what it would give if
            all windows were familiar. For a model whose metadata have no ``familiarity`` they are
            the same.

        Raises:
            ModelError: as :meth:`predict`.
        """
        familiarity = self.metadata.familiarity
        if familiarity is None:
            (raw,) = self._run(features, [self._output])
            return np.stack([self._probabilities(raw)] * 2)
        raw, activation = self._run(features, [self._output, self._embeddings[1]])
        probabilities = self._probabilities(raw)
        embedding = _dequantized(activation, self._embeddings[1])
        unfamiliarity = self._subspace.unfamiliarity(self._standardized(embedding, 1))
        softened = temperature_scaled(probabilities, familiarity.softening(unfamiliarity))
        return np.stack([softened, probabilities])

    def observe(self, features: FloatArray) -> Observation:
        """The probabilities of one window, as if it were familiar, and its embeddings.

        Args:
            features: as for :meth:`predict`.

        Raises:
            ModelError: the model gives no embedding, it failed, or gave no probabilities.
        """
        self.check_adaptable()
        raw, *activations = self._run(features, [self._output, *self._embeddings])
        vectors = [
            _dequantized(values, tensor) for values, tensor in zip(activations, self._embeddings)
        ]
        inputs = [self._standardized(vector, place) for place, vector in enumerate(vectors)]
        return Observation(
            self._probabilities(raw),
            np.concatenate(inputs),
            vectors[0].astype(np.float32),
            vectors[1].astype(np.float32) if len(vectors) > 1 else None,
        )

    def check_adaptable(self) -> None:
        """Refuse a model without an embedding.

        Raises:
            ModelError: it has none.
        """
        if not self._embeddings:
            raise ModelError(
                f"the model {self.metadata.name} gives no embedding, so it cannot be adapted: "
                "convert it again"
            )

    def _standardized(self, vector: npt.NDArray[np.float64], place: int) -> npt.NDArray[np.float64]:
        """The units of an embedding, the first or the second, less their mean and of one scale."""
        mean, scale, limit = self._scaling[place]
        scaled = (vector - mean) * scale
        if not np.isfinite(scaled).all():
            raise ModelError(f"{self.path}: the model's embedding is not finite")
        clipped: npt.NDArray[np.float64] = np.clip(scaled, -limit, limit)
        return clipped

    @functools.cached_property
    def _subspace(self) -> Subspace:
        familiarity, embedding = self.metadata.familiarity, self.metadata.utterance_embedding
        assert familiarity is not None
        assert embedding is not None
        return Subspace.of(familiarity, embedding.size)

    @functools.cached_property
    def _scaling(self) -> list[tuple[Any, Any, Any]]:
        """Mean, factor and limit of the units of each embedding.

        The squares of the scaled units of a training clip sum to 1 on average.
        """
        scaling = []
        for spec in (self.metadata.embedding, self.metadata.utterance_embedding):
            if spec is not None:
                std = np.asarray(spec.std)
                fires = std > 0
                unit = 1 / np.sqrt(max(1, fires.sum()))
                factor = np.where(fires, unit / np.where(fires, std, 1.0), 0.0)
                scaling.append((np.asarray(spec.mean), factor, _MAX_DEVIATION * unit))
        return scaling

    def _run(self, features: FloatArray, outputs: list[dict[str, Any]]) -> list[npt.NDArray[Any]]:
        """The tensors of these outputs for one window, without the batch."""
        shaped = _quantized(features, self._input).reshape(self._input["shape"])
        with self._lock:
            interpreter = self._ready_interpreter()
            try:
                # A fused LSTM keeps its state from one call to the next.
                interpreter.reset_all_variables()
                interpreter.set_tensor(self._input["index"], shaped)
                interpreter.invoke()
                return [interpreter.get_tensor(output["index"])[0] for output in outputs]
            except RuntimeError as error:
                reason = runtime.explain(str(error), self.runtime)
                raise ModelError(f"{self.path} failed: {reason}") from error

    def _probabilities(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        probabilities = _dequantized(raw, self._output)
        if not (np.isfinite(probabilities).all() and probabilities.sum() > 0):
            raise ModelError(f"{self.path}: the model's output is not a set of probabilities")
        return temperature_scaled(probabilities, self.metadata.decision.temperature)

    def renew(self) -> None:
        """Drop the interpreter and the lock of the process that this one was forked from."""
        forking.abandon(self._interpreter)
        self._interpreter = None
        self._lock = threading.Lock()

    def _ready_interpreter(self) -> Any:
        """That of this process; to be called with the lock held."""
        if self._interpreter is None:  # in a forked child
            self._interpreter, _ = self._load()
        return self._interpreter

    def _load(self) -> tuple[Any, str]:
        try:
            return runtime.interpreter(self._content, self.num_threads)
        except ModelError as error:
            raise ModelError(f"{self.path} {error}") from error

    def _outputs(self, tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The tensor of the probabilities, then those of the embeddings."""
        specs = [
            spec
            for spec in (self.metadata.embedding, self.metadata.utterance_embedding)
            if spec is not None
        ]
        if len(tensors) <= max((spec.output for spec in specs), default=0):
            raise ModelError(
                f"{self.path}: the model has {len(tensors)} outputs, but its metadata tell of more"
            )
        if not specs:
            return [self._only_tensor("output", tensors)]
        for spec in specs:
            shape = tuple(int(n) for n in tensors[spec.output]["shape"])
            if shape != (1, spec.size):
                raise ModelError(
                    f"{self.path}: output {spec.output} gives {_times(shape)} values for an "
                    f"embedding of {spec.size}"
                )
        wanted = [tensors[0], *(tensors[spec.output] for spec in specs)]
        return [self._only_tensor("output", [tensor]) for tensor in wanted]

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
        if not fits(inputs, wanted):
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


def temperature_scaled(
    probabilities: npt.ArrayLike, temperature: float | npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Soften probabilities (temperature above 1) or sharpen them (below 1).

    Temperature scaling by Guo et al. ("On calibration of modern neural networks", ICML 2017), from
    probabilities instead of logits: ``softmax(log(p) / temperature)``.

    Args:
        probabilities: shape (..., n_labels), at least 0; those below 1e-9 count as that.
        temperature: above 0; one for all, or of a shape that broadcasts with the probabilities.

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
