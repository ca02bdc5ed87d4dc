"""Keras models to flatbuffers and back to numbers, for tests."""

from __future__ import annotations

from typing import Any

from ser_edge.convert.export import tflite
from ser_edge.convert.export.source import source_model
from ser_edge.runtime import interpreter


def convert(model: Any, quantization: str) -> bytes:
    """The flatbuffer of a ``keras.Model`` (Keras 2)."""
    source = source_model.from_keras(model, "Keras")
    return tflite.to_tflite(source, source.shape, quantization)


def predict(flatbuffer: bytes, matrix: Any) -> Any:
    """The outputs for one matrix of the input's shape, without the batch."""
    loaded, _ = interpreter(flatbuffer, 1)
    loaded.reset_all_variables()
    loaded.set_tensor(loaded.get_input_details()[0]["index"], matrix[None])
    loaded.invoke()
    return loaded.get_tensor(loaded.get_output_details()[0]["index"])[0]
