"""The networks by name: the deep one that is bundled, a slimmer one of which two fit into a file,
the compact one before them, and the six of github.com/ZionC27/Speech-Emotion-Recognition.

All take one feature matrix and give the labels' probabilities. Only layers that TensorFlow Lite
runs with its built-in operators are used; the LSTMs fuse when the batch is fixed to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ser_edge.errors import SerEdgeError

from ..backend import tensorflow

PROBABILITIES = "probabilities"  # name of the last layer

# Layers that the distillation heads read.
UTTERANCE_EMBEDDING = "summary"  # name of the layer with one vector a clip, shape (2 * units,)
FRAME_EMBEDDINGS = "states"  # name of the layer with one vector a step, shape (n_steps, units)

STEP_FRAMES = 8  # feature frames in a step, behind three poolings by two

RMS = 1  # position of the RMS in the features of every preset; it is least where a window is padded

# Normalized RMS above the least up to which a frame counts as padding: some -85 dBFS, so that the
# rounding noise of a resampled, digitally silent pause does not decide which frames are masked.
INAUDIBLE = 5e-5

SECOND_WEIGHT = 0.4  # of the second of two networks in the mean of the logits


def build(name: str, input_shape: tuple[int, int], n_labels: int) -> Any:
    """Build an untrained network.

    Args:
        name: one of :data:`NAMES`.
        input_shape: time steps and channels, without the batch: the shape of
            ``ser_edge.frontend.Frontend``.
        n_labels: size of the softmax.

    Returns:
        A ``keras.Model`` (Keras 2) from float32 (batch, *input_shape) to float32
        (batch, n_labels).

    Raises:
        SerEdgeError: no such architecture.

    Example:
        >>> build("clstm", (22, 401), 6).count_params()
        5826214
    """
    try:
        layers = _BUILDERS[name]
    except KeyError:
        raise SerEdgeError(f"no architecture {name!r} (known: {', '.join(NAMES)})") from None
    tf = tensorflow()

    inputs = tf.keras.Input(input_shape, name="features")
    x = layers(tf.keras.layers, inputs)
    outputs = tf.keras.layers.Dense(n_labels, activation="softmax", name=PROBABILITIES)(x)
    return tf.keras.Model(inputs, outputs, name=name.replace("-", "_"))


def shift_logit(model: Any, label: int, shift: float) -> None:
    """Add a number to a label's logit, for every input.

    Args:
        model: a network of :func:`build`; it is changed.
        label: the label's place.
        shift: the number.
    """
    layer = model.get_layer(PROBABILITIES)
    kernel, bias = layer.get_weights()
    bias[label] += shift
    layer.set_weights([kernel, bias])


def joined(networks: Sequence[Any], weights: Sequence[float]) -> Any:
    """A network whose logits are a weighted mean of some networks' logits.

    Networks that learned from different clips err differently, so their mean errs less (ensembles,
    Hansen & Salamon 1990). It ends like one of them: an utterance embedding, which is theirs side
    by side, a dense layer of hidden units, likewise, and the probabilities.

    Args:
        networks: of :func:`build`, already trained, of the same input and labels, one of
            :data:`WITH_EMBEDDINGS`. Their layers become part of what is made.
        weights: of each in the mean; their sum is 1.

    Returns:
        A ``keras.Model`` (Keras 2).
    """
    tf = tensorflow()
    dense = tf.keras.layers.Dense

    inputs = tf.keras.Input(networks[0].input_shape[1:], name="features")
    summaries = []
    for number, network in enumerate(networks, 1):
        summary = network.get_layer(UTTERANCE_EMBEDDING).output
        part = tf.keras.Model(network.input, summary, name=f"network_{number}")
        summaries.append(part(inputs, training=False))
    ends = [[layer for layer in network.layers if isinstance(layer, dense)] for network in networks]
    hidden = [layers[-2].get_weights() for layers in ends]
    last = [layers[-1].get_weights() for layers in ends]
    x = tf.keras.layers.Concatenate(name=UTTERANCE_EMBEDDING)(summaries)
    # No network sees another one's summary: zeros off the diagonal.
    kernel = tf.linalg.LinearOperatorBlockDiag(
        [tf.linalg.LinearOperatorFullMatrix(kernel) for kernel, _ in hidden]
    ).to_dense()
    hidden_layer = dense(kernel.shape[1], activation="relu")
    output_layer = dense(last[0][1].size, activation="softmax", name=PROBABILITIES)
    model = tf.keras.Model(inputs, output_layer(hidden_layer(x)), name="joined")
    hidden_layer.set_weights([kernel, np.concatenate([bias for _, bias in hidden])])
    kernels = [weight * kernel for weight, (kernel, _) in zip(weights, last)]
    biases = [weight * bias for weight, (_, bias) in zip(weights, last)]
    output_layer.set_weights([np.concatenate(kernels), np.sum(biases, axis=0)])
    return model


def _compact(layers: Any, x: Any) -> Any:
    """Convolutions over time, a residual LSTM, an LSTM, attentive statistics pooling."""
    for filters, kernel in ((64, 5), (96, 5), (128, 3)):
        x = layers.ReLU()(_convolve(layers, x, filters, kernel))
        x = layers.MaxPooling1D(2, padding="same")(x)
        x = layers.Dropout(0.15)(x)
    x = layers.Add(name=FRAME_EMBEDDINGS)([x, layers.LSTM(128, return_sequences=True)(x)])
    x = layers.Dropout(0.2)(x)
    x = layers.LSTM(128, return_sequences=True)(x)
    x = layers.Dropout(0.2)(x)
    x = _attentive_statistics(layers, x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dropout(0.2)(x)


def _deep(layers: Any, x: Any, units: int = 128) -> Any:
    """Residual convolutions with squeeze-and-excitation, two LSTMs, attentive pooling.

    The input is the features and their difference from their mean over the clip, which depends
    less on the speaker and the room. Padding frames are masked wherever time is summed over, so
    a clip gives the same probabilities in a longer window.
    """
    tf = tensorflow()

    def mean_over_time(x: Any, mask: Any) -> Any:
        n_frames = tf.maximum(tf.reduce_sum(mask, axis=1, keepdims=True), 1.0)
        return tf.reduce_sum(x * mask, axis=1, keepdims=True) / n_frames

    def excite(x: Any, mask: Any) -> Any:
        """Squeeze-and-excitation: scale the channels by their mean (Hu et al. 2018)."""
        filters = x.shape[-1]
        squeezed = layers.Dense(filters // 8, activation="relu")(mean_over_time(x, mask))
        return layers.Multiply()([x, layers.Dense(filters, activation="sigmoid")(squeezed)])

    def residual(x: Any, mask: Any) -> Any:
        return layers.ReLU()(layers.Add()([x, excite(_convolve(layers, x, units, 3), mask)]))

    def halve(x: Any) -> Any:
        return layers.MaxPooling1D(2, padding="same")(x)

    level = x[:, :, RMS : RMS + 1]
    least = tf.reduce_min(level, axis=1, keepdims=True)
    mask = tf.cast(level > least + INAUDIBLE, tf.float32)
    x = tf.concat([x, (x - mean_over_time(x, mask)) * mask], axis=2)
    x = layers.ReLU()(_convolve(layers, x, 96, 5))
    x, mask = halve(x), halve(mask)
    x = layers.ReLU()(_convolve(layers, x, units, 5))
    x = residual(x, mask)
    x, mask = halve(x), halve(mask)
    x = layers.Dropout(0.1)(x)
    for _ in range(2):
        x = residual(x, mask)
    x, mask = halve(x), halve(mask)
    x = layers.Dropout(0.1)(x)
    x = layers.Add(name=FRAME_EMBEDDINGS)([x, layers.LSTM(units, return_sequences=True)(x)])
    x = layers.Dropout(0.1)(x)
    x = layers.LSTM(units, return_sequences=True)(x)
    x = layers.Dropout(0.1)(x)
    x = _attentive_statistics(layers, x, (mask - 1.0) * 1e4)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dropout(0.1)(x)


def _convolve(layers: Any, x: Any, filters: int, kernel: int) -> Any:
    """A convolution over time and a batch normalization."""
    tf = tensorflow()

    x = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
    # As a picture of one row: for pictures alone the normalization is one operation of TensorFlow,
    # which saves a sixth of the training time.
    return tf.squeeze(layers.BatchNormalization()(tf.expand_dims(x, 1)), 1)


def _attentive_statistics(layers: Any, x: Any, bias: Any = 0.0) -> Any:
    """Weighted mean and standard deviation over time (Okabe et al. 2018), weights by attention.

    The bias is added to the logits of the weights.
    """
    tf = tensorflow()

    weights = layers.Dense(32, activation="tanh")(x)
    weights = layers.Softmax(axis=1)(layers.Dense(1)(weights) + bias)
    mean = tf.reduce_sum(weights * x, axis=1)
    variance = tf.reduce_sum(weights * tf.square(x), axis=1) - tf.square(mean)
    # The floor keeps the square root's gradient finite.
    deviation = tf.sqrt(tf.maximum(variance, 1e-5))
    return layers.Concatenate(name=UTTERANCE_EMBEDDING)([mean, deviation])


def _lstm(layers: Any, x: Any) -> Any:
    x = layers.LSTM(64, return_sequences=True)(x)
    x = layers.Dropout(0.5)(x)
    x = layers.LSTM(64)(x)
    return layers.Dropout(0.5)(x)


def _deep_lstm(layers: Any, x: Any) -> Any:
    for return_sequences in (True, True, True, False):
        x = layers.LSTM(64, return_sequences=return_sequences)(x)
        x = layers.Dropout(0.5)(x)
    for units in (128, 64):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(0.5)(x)
    return x


def _gru(layers: Any, x: Any) -> Any:
    x = layers.GRU(64, return_sequences=True)(x)
    x = layers.Dropout(0.5)(x)
    x = layers.BatchNormalization()(x)
    for units, dropout in ((32, 0.5), (16, 0.3), (8, 0.3)):
        x = layers.GRU(units, return_sequences=units != 8)(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Dense(64, activation="relu")(x)
    return layers.Dropout(0.2)(x)


def _bi_lstm(layers: Any, x: Any) -> Any:
    for units in (64, 32, 16):
        x = layers.Bidirectional(layers.LSTM(units, return_sequences=units != 16))(x)
        x = layers.Dropout(0.5)(x)
    x = layers.Dense(128, activation="relu")(x)
    return layers.Dropout(0.2)(x)


def _cnn(layers: Any, x: Any) -> Any:
    for filters, kernel, pool in ((512, 5, 5), (512, 5, 5), (256, 5, 5), (256, 3, 5), (128, 3, 3)):
        x = layers.Conv1D(filters, kernel, padding="same", activation="relu")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling1D(pool, strides=2, padding="same")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    return layers.BatchNormalization()(x)


def _clstm(layers: Any, x: Any) -> Any:
    for filters in (1024, 512, 256):
        x = layers.Conv1D(filters, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling1D(2, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Dropout(0.3)(x)
    for return_sequences in (True, True, False):
        x = layers.LSTM(128, return_sequences=return_sequences)(x)
        x = layers.Dropout(0.3)(x)
    for units in (128, 64, 32):
        x = layers.Dense(units, activation="relu")(x)
    return x


_BUILDERS: dict[str, Callable[[Any, Any], Any]] = {
    "compact": _compact,
    "deep": _deep,
    "slim": partial(_deep, units=112),
    "lstm": _lstm,
    "deep-lstm": _deep_lstm,
    "gru": _gru,
    "bi-lstm": _bi_lstm,
    "cnn": _cnn,
    "clstm": _clstm,
}

NAMES = tuple(_BUILDERS)  # the architectures that build() knows
WITH_EMBEDDINGS = ("compact", "deep", "slim")  # with UTTERANCE_EMBEDDING and FRAME_EMBEDDINGS
ANY_LENGTH = ("deep", "slim")  # give a clip the same probabilities in windows of any length
