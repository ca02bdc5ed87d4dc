"""The picture of a timeline: written whole or not at all, and showing what was classified."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import Result, cli
from ser_edge.cli.show.plot import Timeline, Waveform
from ser_edge.cli.show.shares import label_shares
from ser_edge.errors import DependencyError
from tests.helpers.audio import RATE, silence, voice

pytest.importorskip("matplotlib", reason="NO PLOT TESTED: pip install matplotlib")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([voice(6.0), silence(6.0), voice(6.0)]), RATE)
    return path


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ser-edge", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0)


def test_the_command_prints_the_same_and_draws(recording, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "classify", "--windows", "--csv", recording) == 0
    expected = capsys.readouterr()
    picture = tmp_path / "talk.png"
    assert run(monkeypatch, "classify", "--windows", "--csv", recording, "--plot", picture) == 0
    assert capsys.readouterr() == expected
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (1440, 720)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["talk.png", "talk.wav"]


def drawn(classifier, path: Path, recording: Path, **options) -> tuple[Timeline, list[Result]]:
    timeline = Timeline(str(path), recording.name, classifier.labels)
    results = list(classifier.windows(recording, on_chunk=timeline.add_samples, **options))
    for result in results:
        timeline.add_result(result)
    timeline.save()
    return timeline, results


def test_few_windows_are_lines(recording, tmp_path, classifier):
    timeline, results = drawn(classifier, tmp_path / "talk.svg", recording, hop=1.0)
    above, below = timeline._figure.axes
    lines = {line.get_label(): line for line in below.lines}
    assert set(lines) == set(classifier.labels)
    for label, line in lines.items():
        times, scores = line.get_data()
        np.testing.assert_array_equal(times[1:-1], [(r.start + r.end) / 2 for r in results])
        expected = [np.nan if r.scores is None else r.scores[label] for r in results]
        np.testing.assert_array_equal(scores[1:-1], expected)
        assert (times[0], times[-1]) == (results[0].start, results[-1].end)
    assert len({line.get_color() for line in lines.values()}) == len(lines)
    without_label = sum(result.label is None for result in results)
    assert len(below.patches) == len(above.patches) == without_label > 0
    legend = [text.get_text() for text in below.get_legend().get_texts()]
    uncertain = ["uncertain"] * any(result.reason == "uncertain" for result in results)
    assert legend == [*classifier.labels, *uncertain, "no emotion"]
    assert (tmp_path / "talk.svg").read_text().startswith("<?xml")


def some_results(count: int, hop: float = 2.0) -> list[Result]:
    """By turns happy, uncertain and silent."""
    scores = {"happy": 0.4, "sad": 0.6}
    kinds = [("sad", 0.6, scores, None), (None, 0.6, scores, "uncertain"), (None, None, None, "x")]
    return [
        Result(label, confidence, probabilities, hop * number, hop * number + 4, reason)
        for number in range(count)
        for label, confidence, probabilities, reason in [kinds[number % 3]]
    ]


def timeline_of(results: list[Result], path: Path) -> Timeline:
    timeline = Timeline(str(path), "talk.wav", ["happy", "sad"])
    timeline.add_samples(np.zeros(round(results[-1].end * 100), np.float32), 100)
    for result in results:
        timeline.add_result(result)
    timeline.save()
    return timeline


def test_uncertain_and_silent_windows_are_told_apart(tmp_path):
    _, below = timeline_of(some_results(9), tmp_path / "x.png")._figure.axes
    assert [patch.get_label() for patch in below.patches][:2] == ["uncertain", "no emotion"]
    first, second = below.patches[:2]
    assert first.get_hatch()
    assert not second.get_hatch()
    legend = [text.get_text() for text in below.get_legend().get_texts()]
    assert legend == ["happy", "sad", "uncertain", "no emotion"]


@pytest.mark.parametrize("count", [51, 300, 3600, 40_000])
def test_many_windows_are_stacked_shares(tmp_path, count):
    results = some_results(count)
    _, below = timeline_of(results, tmp_path / "x.png")._figure.axes
    bars = {container.get_label(): container for container in below.containers}
    assert list(bars) == ["happy", "sad", "uncertain", "no emotion"]
    heights = np.array([[bar.get_height() for bar in bars[kind]] for kind in bars])
    n_bins = heights.shape[1]
    assert 5 <= n_bins <= 60
    np.testing.assert_allclose(heights.sum(axis=0), 100)
    np.testing.assert_allclose(heights[1:, :-1], 100 / 3, atol=17)
    assert (heights[0] == 0).all()
    last = bars["sad"][-1]
    assert last.get_x() + last.get_width() == pytest.approx(results[-1].end)


@pytest.mark.parametrize(
    ("seconds", "first", "last"),
    [
        (3, ["0:00.0", "0:00.5", "0:01.0"], "0:03.0"),
        (14, ["0:00", "0:02", "0:04"], "0:14"),
        (60, ["0:00", "0:10", "0:20"], "1:00"),
        (600, ["0:00", "2:00", "4:00"], "10:00"),
        (7200, ["0:00:00", "0:15:00", "0:30:00"], "2:00:00"),
        (86_400, ["0:00:00", "4:00:00", "8:00:00"], "24:00:00"),
    ],
)
def test_ticks_are_round_and_differ(tmp_path, seconds, first, last):
    results = [Result(None, None, None, at * seconds / 8, (at + 1) * seconds / 8, "silence")
               for at in range(8)]  # fmt: skip
    timeline = timeline_of(results, tmp_path / "x.png")
    timeline._figure.canvas.draw()
    shown = [text.get_text() for text in timeline._figure.axes[1].get_xticklabels()]
    assert shown[:3] == first
    assert shown[-1] == last
    assert len(set(shown)) == len(shown) <= 10


def test_shares_of_a_bin():
    edges, shares = label_shares(some_results(4, hop=4.0), ["happy", "sad"], 8.0)
    assert edges.tolist() == [0, 8, 16]
    assert shares.tolist() == [[0, 0.5, 0.5, 0], [0, 0.5, 0, 0.5]]


@pytest.mark.parametrize("name", ["$x^{.wav", "\x1b[31m.wav", "\udcff.wav", "悲.wav", "a\nb.wav"])
def test_any_name_is_a_title(tmp_path, name):
    timeline = Timeline(str(tmp_path / "x.png"), name, ["happy", "sad"])
    timeline.add_samples(np.zeros(400, np.float32), 100)
    timeline.add_result(some_results(1)[0])
    timeline.save()
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_pictures_of_several_recordings_go_into_a_folder(recording, tmp_path, run):
    other = tmp_path / "again"
    other.mkdir()
    soundfile.write(other / "talk.flac", voice(3.0), RATE)
    soundfile.write(other / "short.wav", voice(3.0), RATE)
    folder = tmp_path / "pictures"
    outcome = run("classify", "--windows", "--csv", tmp_path, "--plot", folder)
    assert (outcome.code, outcome.err) == (0, "")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["short.png", "talk-2.png", "talk.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())
    assert run("classify", "--windows", recording, "--plot", folder).code == 0
    assert sorted(path.name for path in folder.iterdir()) == names
    outcome = run("classify", "--windows", tmp_path / "none.wav", recording, "--plot", folder)
    assert outcome.code == 1


def test_the_envelope_does_not_depend_on_the_chunks():
    samples = np.random.default_rng(0).standard_normal(1003).astype(np.float32)
    whole, cut = Waveform(), Waveform()
    whole.push(samples, 200)
    for chunk in np.array_split(samples, 77):
        cut.push(chunk, 200)
    np.testing.assert_array_equal(whole.envelope(), cut.envelope())
    assert whole.envelope().shape == (251, 2)
    np.testing.assert_array_equal(whole.envelope()[3], [samples[12:16].min(), samples[12:16].max()])


def test_a_failure_leaves_no_file(tmp_path, recording, monkeypatch, capsys):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    picture = tmp_path / "picture.png"
    assert run(monkeypatch, "classify", "--windows", broken, "--plot", picture) == 1
    nowhere = tmp_path / "no" / "picture.png"
    assert run(monkeypatch, "classify", "--windows", recording, "--plot", nowhere) == 1
    assert "No such file" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "png" in path.name or "ser" in path.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "--plot", "x.png"], "--plot needs --windows"),
        (["--windows", "a.wav", "b.wav", "--plot", "x.png"], "several recordings go into a folder"),
        (["--windows", ".", "--plot", "x.png"], "several recordings go into a folder"),
        (["--windows", "a.wav", "--plot", "x.txt"], "--plot: x.txt: the name must end in one of ."),
    ],
)
def test_usage(arguments, message, monkeypatch, capsys):
    assert run(monkeypatch, "classify", *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyError, match=r"ser-edge\[plot\]"):
        Timeline("x.png", "x", [])
