"""The picture of a timeline: written whole or not at all, and showing what was classified."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import cli
from ser_edge.cli.plot import Timeline, Waveform
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


def test_what_is_drawn(recording, tmp_path, classifier):
    timeline = Timeline(str(tmp_path / "talk.svg"))
    results = list(classifier.windows(recording, hop=1.0, on_chunk=timeline.add_samples))
    timeline.save("talk.wav", results, classifier.labels)
    above, below = timeline._figure.axes
    lines = {line.get_label(): line for line in below.lines}
    assert set(lines) == set(classifier.labels)
    for label, line in lines.items():
        times, scores = line.get_data()
        np.testing.assert_array_equal(times, [(r.start + r.end) / 2 for r in results])
        expected = [np.nan if r.scores is None else r.scores[label] for r in results]
        np.testing.assert_array_equal(scores, expected)
    assert len({line.get_color() for line in lines.values()}) == len(lines)
    without_scores = sum(result.scores is None for result in results)
    assert len(below.patches) == len(above.patches) == without_scores > 0
    legend = [text.get_text() for text in below.get_legend().get_texts()]
    assert legend == [*classifier.labels, "no emotion"]
    assert (tmp_path / "talk.svg").read_text().startswith("<?xml")


def test_the_envelope_does_not_depend_on_the_chunks():
    samples = np.random.default_rng(0).standard_normal(1003).astype(np.float32)
    whole, cut = Waveform(), Waveform()
    whole.push(samples, 200)
    for chunk in np.array_split(samples, 77):
        cut.push(chunk, 200)
    np.testing.assert_array_equal(whole.envelope(), cut.envelope())
    assert whole.envelope().shape == (101, 2)
    np.testing.assert_array_equal(whole.envelope()[3], [samples[30:40].min(), samples[30:40].max()])


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
        (["a.wav", "--plot", "x.png"], "--plot needs --windows and a single recording"),
        (["--windows", "a.wav", "b.wav", "--plot", "x.png"], "a single recording"),
        (["--windows", ".", "--plot", "x.png"], "a single recording"),
        (["--windows", "a.wav", "--plot", "x.txt"], "--plot: x.txt: the name must end in one of ."),
    ],
)
def test_usage(arguments, message, monkeypatch, capsys):
    assert run(monkeypatch, "classify", *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyError, match=r"ser-edge\[plot\]"):
        Timeline("x.png")
