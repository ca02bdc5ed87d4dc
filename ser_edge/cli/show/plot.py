"""Pictures of recordings: the waveform and the emotions over time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge.cli.show.shares import label_shares, time_shares
from ser_edge.cli.terminal import printable
from ser_edge.errors import DependencyError
from ser_edge.features import FloatArray
from ser_edge.files import draft
from ser_edge.web.colors import NO_EMOTION, UNCERTAIN_FACE, UNCERTAIN_HATCH, colors

if TYPE_CHECKING:
    from ser_edge.result import Result

# Windows without a label.
_UNCERTAIN, _NONE = "uncertain", "no emotion"
_SHADES: dict[str, dict[str, Any]] = {
    _UNCERTAIN: {
        "facecolor": UNCERTAIN_FACE,
        "edgecolor": UNCERTAIN_HATCH,
        "hatch": "////",
        "linewidth": 0,
    },
    _NONE: {"facecolor": NO_EMOTION, "linewidth": 0},
}

_MAX_LINE_WINDOWS = 50  # of more, lines are a thicket
_MAX_BINS = 60
_MIN_BIN_WINDOWS = 4  # fewer make no share
_MAX_TICKS = 9
# Of bins and ticks.
_ROUND_SECONDS = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600,
    43_200, 86_400,
)  # fmt: skip
_MAX_WAVEFORM_STEPS = 1200  # about the pixels of the picture

_MIN_PAUSE_SECONDS = 0.3  # that is shown
_WAVEFORM_STEP_SECONDS = 0.02
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
    with draft(path) as unfinished:
        figure.savefig(unfinished, dpi=_DOTS_PER_INCH)


class Pictures:
    """A picture for each recording.

    Args:
        path: of the picture, whose extension, such as .png, .svg or .pdf, tells the format; or of a
            folder, which gets PNG files named after the recordings.
        labels: of the model.
        single: whether there is but one recording.

    Raises:
        DependencyError, ValueError: as `open_figure` does.
        ValueError: the path is that of one picture, but there are several recordings.
        OSError: the folder cannot be made.
    """

    def __init__(self, path: str, labels: Sequence[str], *, single: bool) -> None:
        self._path = path
        self._labels = labels
        self._in_folder = os.path.isdir(path) or path.endswith(os.sep)
        self._used: set[str] = set()
        if not self._in_folder and not single:
            if os.path.splitext(path)[1]:
                raise ValueError(f"{path}: pictures of several recordings go into a folder")
            self._in_folder = True
        open_figure(os.path.join(path, "x.png") if self._in_folder else path)
        if self._in_folder:
            os.makedirs(path, exist_ok=True)

    def begin(self, file: str) -> Timeline:
        """A picture for this recording, - for standard input."""
        title = "standard input" if file == "-" else os.path.basename(file)
        path = self._free_name(title) if self._in_folder else self._path
        return Timeline(path, title, self._labels)

    def _free_name(self, title: str) -> str:
        """Recordings of one name, in several folders or formats, are numbered."""
        stem = os.path.splitext(title)[0]
        name, number = f"{stem}.png", 1
        while name in self._used:
            number += 1
            name = f"{stem}-{number}.png"
        self._used.add(name)
        return os.path.join(self._path, name)


class Timeline:
    """A picture in the making: the waveform, and below it what the windows tell.

    Up to some fifty windows the probabilities are drawn as lines. Of more windows lines would be
    a thicket: then the shares of the labels are stacked, bin by bin.

    Args:
        path: the file to write; its extension tells the format.
        title: the recording's name.
        labels: of the model.

    Raises:
        DependencyError, ValueError: as `open_figure` does.
    """

    def __init__(self, path: str, title: str, labels: Sequence[str]) -> None:
        self._path = path
        self._title = title
        self._labels = labels
        self._figure = open_figure(path)
        self._figure.set_size_inches(_INCHES)
        self._waveform = Waveform()
        self._results: list[Result] = []
        self._by_time = False  # whether results follow one another, each as long as it is

    def add_samples(self, samples: FloatArray, sample_rate: int) -> None:
        """Take the next samples of the recording: the ``on_chunk`` of ``Classifier.windows``.

        Args:
            samples: float32, shape (n,).
            sample_rate: in Hz.
        """
        self._waveform.push(samples, sample_rate)

    def add_result(self, result: Result) -> None:
        """Take the next window's result."""
        self._results.append(result)

    def fill_pauses(self) -> None:
        """Take what lies between the results, and before and after them, as without speech."""
        from ser_edge.result import Result

        duration = self._waveform.step_seconds * len(self._waveform.envelope())
        times = [
            0.0,
            *(t for result in self._results for t in (result.start, result.end)),
            duration,
        ]
        pauses = [
            Result(None, None, None, start, end, "silence")
            for start, end in zip(times[::2], times[1::2])
            if end - start > _MIN_PAUSE_SECONDS
        ]
        self._results = sorted([*self._results, *pauses], key=lambda result: result.start)
        self._by_time = True

    def save(self) -> None:
        """Draw what came so far, at least one result, and write the picture.

        Raises:
            OSError: the picture cannot be written.
        """
        import warnings

        above, below = self._figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
        self._draw_waveform(above)
        if len(self._results) <= _MAX_LINE_WINDOWS:
            self._draw_lines(above, below)
        else:
            self._draw_shares(below)
        end = self._results[-1].end
        step = _tick_seconds(end)
        below.set(xlim=(0, end), xticks=np.arange(0, end + 1e-6, step))
        below.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds, step))
        legend = below.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
        with warnings.catch_warnings():
            # Of characters that the font lacks: boxes in a title are no news.
            warnings.simplefilter("ignore", UserWarning)
            save_figure(self._figure, self._path)

    def _draw_waveform(self, axes: Any) -> None:
        envelope = self._waveform.envelope()
        step_seconds = self._waveform.step_seconds
        grouped = -(-len(envelope) // _MAX_WAVEFORM_STEPS)
        if grouped > 1:
            starts = np.arange(0, len(envelope), grouped)
            lowest = np.minimum.reduceat(envelope[:, 0], starts)
            highest = np.maximum.reduceat(envelope[:, 1], starts)
            envelope, step_seconds = np.stack([lowest, highest], axis=1), step_seconds * grouped
        times = step_seconds * (np.arange(len(envelope)) + 0.5)
        axes.fill_between(times, envelope[:, 0], envelope[:, 1], color="#666666", linewidth=0)
        axes.set_title(printable(self._title), parse_math=False)
        axes.set(ylabel="waveform", yticks=())

    def _draw_lines(self, above: Any, below: Any) -> None:
        """The probabilities in each window; windows without a label are shaded."""
        results = self._results
        middles = np.array([(result.start + result.end) / 2 for result in results])
        edges = np.concatenate(
            [[results[0].start], (middles[1:] + middles[:-1]) / 2, [results[-1].end]]
        )
        for label, color in zip(self._labels, colors(self._labels)):
            scores = np.array([np.nan if r.scores is None else r.scores[label] for r in results])
            # The line holds to the ends of the recording, so that one window is a line, too.
            below.plot(
                [edges[0], *middles, edges[-1]],
                [scores[0], *scores, scores[-1]],
                color=color,
                label=label,
                marker="o",
                markersize=4,
                markevery=slice(1, len(middles) + 1),
                linewidth=1.8,
            )
        shown = set()
        for result, start, end in zip(results, edges, edges[1:]):
            if result.label is not None:
                continue
            kind = _NONE if result.scores is None else _UNCERTAIN
            name = "_" if kind in shown else kind  # the legend needs it once
            shown.add(kind)
            for axes in (above, below):
                axes.axvspan(start, end, **_SHADES[kind], label=name, zorder=0)
        below.set(ylabel="probability", ylim=(-0.02, 1.02))
        below.grid(alpha=0.3)

    def _draw_shares(self, below: Any) -> None:
        """How many of the windows of each bin have each label, stacked."""
        kinds = [*self._labels, _UNCERTAIN, _NONE]
        end = self._results[-1].end
        count = time_shares if self._by_time else label_shares
        edges, shares = count(self._results, self._labels, _bin_seconds(self._results))
        bottom = np.zeros(len(shares))
        styles = [{"color": color, "alpha": 0.85} for color in colors(self._labels)]
        for kind, style, share in zip(kinds, [*styles, *_SHADES.values()], shares.T):
            below.bar(
                edges[:-1],
                100 * share,
                np.minimum(edges[1:], end) - edges[:-1],
                100 * bottom,
                align="edge",
                label=kind,
                **style,
            )
            bottom += share
        what = "time" if self._by_time else "windows"
        below.set(ylabel=f"% of the {what}, by {_span(edges[1] - edges[0])}", ylim=(0, 100))


def _bin_seconds(results: Sequence[Result]) -> float:
    """The shortest round stretch that gives few enough bins, each with several windows."""
    duration = results[-1].end
    hop = (results[-1].start - results[0].start) / (len(results) - 1)
    shortest = max(duration / _MAX_BINS, _MIN_BIN_WINDOWS * hop)
    return next((step for step in _ROUND_SECONDS if step >= shortest), shortest)


def _tick_seconds(duration: float) -> float:
    """The shortest round stretch that gives few enough ticks."""
    shortest = duration / _MAX_TICKS
    return next((step for step in _ROUND_SECONDS if step >= shortest), shortest)


def _span(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


class Waveform:
    """Lowest and highest sample of every 20 ms or so: all that a picture shows of a long recording.

    Example:
        >>> waveform = Waveform()
        >>> waveform.push(np.float32([1, 2, 3]), sample_rate=100)
        >>> waveform.push(np.float32([-4, 5]), sample_rate=100)
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


def _clock(seconds: float, step: float) -> str:
    """A tick's time, as exact as the step to the next one."""
    if step < 1:
        minutes, rest = divmod(round(seconds, 2), 60)
        return f"{minutes:.0f}:{rest:04.1f}"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours or step >= 600 else f"{minutes}:{rest:02}"
