"""The source model, ready to be called: a Keras file rebuilt, or a SavedModel's signature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import ModelError

from ...backend import tensorflow
from ..sandbox import one_line
from . import inputs, keras2, outputs, source_file

_SIGNATURE = "serving_default"
# Operations that reach files, other processes or Python.
_REACHING_OUT = ("File", "PyFunc", "Save", "Restore", "Print", "Debug", "Dataset", "Summary")
# A SavedModel restores its own weights, in a function that conversion leaves out.
_RESTORING = frozenset(
    "MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch StringJoin".split()
)


@dataclass(frozen=True)
class SourceModel:
    """A trained model, as its author had it."""

    format: str  # what it was loaded from
    shape: tuple[int | None, ...]  # of the input, without the batch; None: any length will do
    n_outputs: int  # length of a row of outputs
    parameters: int | None  # number of weights, where known
    recurrent: tuple[str, ...]  # names of the layers that keep a state, where known
    trackable: Any  # what holds the variables
    function: Any  # float32 tensor (batch, *shape) -> (batch, n_outputs), as in inference
    activation: str | None = None  # name of the last one, where known
    notes: tuple[str, ...] = ()  # what is different from the source, a sentence each

    def check(self, shape: Sequence[int], n_labels: int, description: str) -> tuple[int, ...]:
        """Check that a front end's matrix and the labels fit.

        Args:
            shape: of the front end's matrix.
            n_labels: number of labels.
            description: of the front end, for the error message.

        Returns:
            The input's full shape: `shape`, with or without axes of length 1 as the model wants.

        Raises:
            ModelError: the model takes another shape, or gives another number of outputs.
        """
        wanted = self._filled(shape)
        if wanted is None:
            turned = self.shape == tuple(reversed(shape))
            hint = ": its layout is the other one" if turned else ""
            raise ModelError(
                f"the model takes {_times(self.shape)} values, but the front end ({description}) "
                f"gives {_times(shape)}{hint}"
            )
        outputs.check_count(self.n_outputs, n_labels)
        return wanted

    def _filled(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """The input's shape for a matrix of this one; None where it does not fit."""
        # 2-D convolutions want a channel axis, dense layers a vector of what is a row or column.
        for wanted in (tuple(shape), (*shape, 1)):
            if _fits(self.shape, wanted):
                return wanted
        lengths = [length for length in shape if length != 1]
        places = [place for place, size in enumerate(self.shape) if size != 1]
        if len(places) != len(lengths):
            return None
        filled = [1] * len(self.shape)
        for place, length in zip(places, lengths):
            filled[place] = length
        return tuple(filled) if _fits(self.shape, filled) else None

    def outputs_for(self, features: NDArray[np.float32]) -> str:
        """What the outputs are, as :func:`.outputs.kind` calls it.

        Args:
            features: some input, float32, (batch, *shape).

        Raises:
            ModelError: they are nothing that becomes probabilities.
        """
        given = self.predict(features)
        if self.activation is None:
            # Logits of one input may lie between 0 and 1 by chance, those of many hardly.
            more = self.predict(np.concatenate([-features, 10 * features, 100 * features]))
            given = np.concatenate([given, more[np.isfinite(more).all(axis=1)]])
        return outputs.kind(given, self.activation)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Outputs of a batch.

        Args:
            features: float32, (batch, *shape).

        Returns:
            float64, (batch, n_outputs).
        """
        return np.asarray(self.function(features), dtype=np.float64)


def load(
    path: Path, scratch: Path, *, architecture: Path | None = None, allow_code: bool = False
) -> SourceModel:
    """Load a Keras file or a SavedModel folder.

    Args:
        path: of the model.
        scratch: a folder for temporary files, which must outlive the result.
        architecture: as in :func:`.source_file.read`.
        allow_code: let ``Lambda`` layers, and operations that reach files, be part of it.

    Raises:
        ModelError: see :func:`.source_file.read` and :func:`.keras2.build`.
    """
    if source_file.is_saved_model(path):
        if architecture is not None:
            raise ModelError(f"{path} holds an architecture of its own: leave out --architecture")
        return _load_saved_model(path, scratch, allow_code)
    file = source_file.read(path, scratch, architecture)
    model, notes = keras2.build(file, allow_code=allow_code)
    return from_keras(model, file.format, notes)


def from_keras(model: Any, format_: str, notes: Sequence[str] = ()) -> SourceModel:
    """Wrap a ``keras.Model`` (Keras 2)."""
    tf = tensorflow()
    output_shape = model.output_shape
    if isinstance(output_shape, list) or len(output_shape) != 2 or not output_shape[1]:
        raise ModelError(f"the model's output has the shape {output_shape}, not (batch, labels)")
    shape, call, joint = inputs.joined(model)
    return SourceModel(
        format=format_,
        shape=shape,
        n_outputs=int(output_shape[1]),
        parameters=int(model.count_params()),
        recurrent=tuple(_recurrent(tf, model.layers)),
        trackable=model,
        function=tf.function(call),
        activation=outputs.last_activation(model),
        notes=(*notes, *joint),
    )


def _recurrent(tf: Any, layers: Iterable[Any]) -> Iterable[str]:
    keras = tf.keras.layers
    for layer in layers:
        if isinstance(layer, (keras.RNN, keras.Bidirectional)):
            yield layer.name
        elif hasattr(layer, "layers"):
            yield from _recurrent(tf, layer.layers)


def _load_saved_model(path: Path, scratch: Path, allow_code: bool) -> SourceModel:
    tf = tensorflow()
    if source_file.size(path) > source_file.MAX_BYTES:
        raise ModelError(f"{path} is larger than {source_file.MAX_BYTES >> 20} MB")
    try:
        folder = _with_batch_of_one(path, scratch, allow_code)
        # Not through Keras, which would build the layers again and run their code.
        loaded = tf.saved_model.load(str(folder))
        signature = loaded.signatures[_SIGNATURE]
    except ModelError:
        raise
    except KeyError as error:
        raise ModelError(f"{path} has no signature {_SIGNATURE!r}") from error
    except Exception as error:  # TensorFlow raises whatever the part that failed raised.
        if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
            raise MemoryError from error
        raise ModelError(f"{path} cannot be loaded: {one_line(error)}") from error
    entries = signature.structured_input_signature[1]
    results = signature.structured_outputs
    if len(entries) != 1 or len(results) != 1:
        raise ModelError(
            f"{path} has {len(entries)} inputs and {len(results)} outputs, where one of each is "
            "needed"
        )
    argument, entry = next(iter(entries.items()))
    result, exit_ = next(iter(results.items()))
    if entry.dtype != tf.float32 or entry.shape.rank is None or entry.shape.rank < 2:
        raise ModelError(f"{path} takes {entry}, where float32 (batch, ...) is needed")
    if exit_.shape.rank != 2 or exit_.shape[1] is None:
        raise ModelError(f"{path} gives {exit_}, where (batch, labels) is needed")

    def one_by_one(features: Any) -> Any:
        # The batch was fixed to 1.
        rows = tf.unstack(tf.convert_to_tensor(features, tf.float32))
        return tf.concat([signature(**{argument: row[None]})[result] for row in rows], axis=0)

    return SourceModel(
        format="SavedModel",
        shape=tuple(entry.shape[1:].as_list()),
        n_outputs=int(exit_.shape[1]),
        parameters=None,
        recurrent=(),
        trackable=loaded,
        function=one_by_one,
    )


def _with_batch_of_one(path: Path, scratch: Path, allow_code: bool) -> Path:
    """A copy of a SavedModel whose recurrent layers know that the batch is 1.

    A model exported with any batch keeps lists of states of unknown shape in its loops, which
    TensorFlow Lite does not take. Their first dimension is the batch.
    """
    tf = tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ModelError(f"{path} is damaged: its saved_model.pb cannot be read") from error
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            if not allow_code:
                _check_operations(path, nodes)
            _fix_batch(tf, nodes)
    copy = scratch / "saved_model"
    copy.mkdir()
    (copy / "saved_model.pb").write_bytes(saved.SerializeToString())
    for name in ("variables", "assets"):
        if (path / name).is_dir():
            (copy / name).symlink_to((path / name).resolve())
    return copy


def _check_operations(path: Path, nodes: Iterable[Any]) -> None:
    for node in nodes:
        if node.op in _RESTORING:
            continue
        if any(part in node.op for part in _REACHING_OUT):
            raise ModelError(
                f"{path}: its operation {node.name!r} ({node.op}) reaches outside of the model: "
                "--allow-code lets it, if you trust whoever made the model"
            )


def _fix_batch(tf: Any, nodes: Iterable[Any]) -> None:
    by_name = {node.name: node for node in nodes}
    for node in by_name.values():
        if not node.op.startswith("TensorList"):
            continue
        for name in node.input:
            constant = by_name.get(name.split(":")[0])
            if constant is None or constant.op != "Const":
                continue
            value = tf.make_ndarray(constant.attr["value"].tensor)
            if value.dtype == np.int32 and value.ndim == 1 and value.size > 1 and value[0] == -1:
                fixed = np.array([1, *value[1:]], dtype=np.int32)
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(fixed))


def _fits(sizes: Sequence[int | None], shape: Sequence[int]) -> bool:
    return len(sizes) == len(shape) and all(
        size in (None, length) for size, length in zip(sizes, shape)
    )


def _times(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)
