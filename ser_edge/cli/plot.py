"""A picture of a recording's windows: the waveform and the probabilities over time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge.errors import DependencyError
from ser_edge.features import FloatArray

if TYPE_CHECKING:
    from ser_edge.result import Result

# Okabe and Ito's palette for colour-blind readers ("Color Universal Design", 2008), without its
# yellow, which is too faint for a line; the emotions' colours resemble those on the terminal.
_COLORS = {
    "neutral": "#000000",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fear": "#CC79A7",
    "disgust": "#009E73",
}
_OTHER_COLORS = ("#56B4E9", *_COLORS.values())
_GREY = "#BBBBBB"

_WAVEFORM_STEP_SECONDS = 0.05
_INCHES = (12.0, 6.0)
_DOTS_PER_INCH = 120


def open_figure(path: str) -> Any:
    """An empty matplotlib figure that `save_figure` can write there.

    Raises:
        DependencyError: matplotlib is missing.
        ValueError: the format that the path's extension tells is unknown.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            f"a plot needs matplotlib: pip install 'ser-edge[plot]' ({error})"
        ) from error
    figure = Figure(layout="constrained")
    known = figure.canvas.get_supported_filetypes()
    if os.path.splitext(path)[1][1:].lower() not in known:
        raise ValueError(f"{path}: the name must end in one of .{', .'.join(sorted(known))}")
    return figure


def save_figure(figure: Any, path: str) -> None:
    """Write the picture, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    folder, name = os.path.split(path)
    with tempfile.TemporaryDirectory(prefix=".ser-edge-", dir=folder or ".") as unfinished:
        draft = os.path.join(unfinished, name)
        figure.savefig(draft, dpi=_DOTS_PER_INCH)
        os.replace(draft, path)


class Timeline:
    """A picture in the making.

    Args:
        path: the file to write; its extension, such as .png, .svg or .pdf, tells the format.

    Raises:
        DependencyError, ValueError: as `open_figure` does.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._figure = open_figure(path)
        self._figure.set_size_inches(_INCHES)

        self._waveform = Waveform()

    def add_samples(self, samples: FloatArray, sample_rate: int) -> None:
        """Take the next samples of the recording: the ``on_chunk`` of ``Classifier.windows``.

        Args:
            samples: float32, shape (n,).
            sample_rate: in Hz.
        """
        self._waveform.push(samples, sample_rate)

    def save(self, title: str, results: Sequence[Result], labels: Sequence[str]) -> None:
        """Draw the samples so far and the results of their windows, and write the picture.

        Args:
            title: the recording's name.
            results: at least one, in order.
            labels: of the model.

        Raises:
            OSError: the picture cannot be written.
        """
        self._draw(title, results, labels)
        save_figure(self._figure, self._path)

    def _draw(self, title: str, results: Sequence[Result], labels: Sequence[str]) -> None:
        figure = self._figure
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
        envelope = self._waveform.envelope()
        times = self._waveform.step_seconds * (np.arange(len(envelope)) + 0.5)
        above.fill_between(times, envelope[:, 0], envelope[:, 1], color="#666666", linewidth=0)
        above.set(title=title, ylabel="waveform", yticks=())
        middles = np.array([(result.start + result.end) / 2 for result in results])
        for number, label in enumerate(labels):
            scores = [np.nan if r.scores is None else r.scores[label] for r in results]
            color = _COLORS.get(label, _OTHER_COLORS[number % len(_OTHER_COLORS)])
            below.plot(middles, scores, color=color, label=label, marker=".", linewidth=1.5)
        edges = np.concatenate(
            [[results[0].start], (middles[1:] + middles[:-1]) / 2, [results[-1].end]]
        )
        shaded = "no emotion"
        for result, start, end in zip(results, edges, edges[1:]):
            if result.scores is None:
                above.axvspan(start, end, color=_GREY, alpha=0.5, linewidth=0)
                below.axvspan(start, end, color=_GREY, alpha=0.5, linewidth=0, label=shaded)
                shaded = "_"  # the legend needs it once
        below.set(ylabel="probability", ylim=(0, 1), xlim=(0, results[-1].end))
        below.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds))
        below.grid(alpha=0.3)
        below.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


class Waveform:
    """Lowest and highest sample of every 50 ms or so: all that a picture shows of a long recording.

    Example:
        >>> waveform = Waveform()
        >>> waveform.push(np.float32([1, 2, 3]), sample_rate=40)
        >>> waveform.push(np.float32([-4, 5]), sample_rate=40)
        >>> waveform.envelope().tolist()
        [[1.0, 2.0], [-4.0, 3.0], [5.0, 5.0]]
    """

    def __init__(self) -> None:
        self._rest: FloatArray = np.zeros(0, np.float32)
        self._extremes: list[FloatArray] = []

    def push(self, samples: FloatArray, sample_rate: int) -> None:
        """Take samples, float32, shape (n,), at the same rate (Hz) as those before."""
        step = round(_WAVEFORM_STEP_SECONDS * sample_rate)
        self.step_seconds = step / sample_rate
        samples = np.concatenate([self._rest, samples])
        end = samples.size - samples.size % step
        self._extremes.append(_extremes(samples[:end].reshape(-1, step)))
        self._rest = samples[end:]

    def envelope(self) -> FloatArray:
        """Lowest and highest, float32, shape (steps, 2); the last step may be incomplete."""
        rest = [_extremes(self._rest[np.newaxis])] if self._rest.size else []
        return np.concatenate([*self._extremes, *rest])


def _extremes(rows: FloatArray) -> FloatArray:
    return np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
