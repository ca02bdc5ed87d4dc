"""Measuring a packed model: predictions, figures, and conditions."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ser_edge import Classifier
from ser_edge.convert.cli import main
from ser_edge.convert.corpus import augment, conditions
from ser_edge.convert.corpus.clips import LABELS, Clip, default_folder, label_indices, read_index
from ser_edge.convert.evaluate import predictions
from ser_edge.convert.evaluate.report import ALL, group_reports
from ser_edge.selftest import reference_signal

RATE = 16000

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def voice() -> augment.Samples:
    return 0.5 * reference_signal(RATE, 2.0)


@pytest.fixture(scope="module")
def real_clips() -> list[Clip]:
    """Every 60th dev clip of the real corpora."""
    if not (default_folder() / "index.csv").is_file():
        pytest.skip(f"NO REAL SPEECH TESTED: there is no {default_folder()}; set SER_CORPORA")
    return [clip for clip in read_index() if clip.split == "dev"][::60]


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def power_of(samples: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum())


@pytest.mark.parametrize("snr_db", [20, 10, 5])
def test_noise_has_the_stated_level_whatever_its_kind(voice: augment.Samples, snr_db: int) -> None:
    dullness = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        noisy = conditions.degrade(f"noise-{snr_db}", voice, RATE, rng, voices=[voice[::-1]])
        noise = noisy.astype(np.float64) - voice
        assert level_db(voice) - level_db(noise) == pytest.approx(snr_db, abs=0.01)
        dullness.add(round(power_of(noise, 4000, 8000) / power_of(noise, 0, 8000), 2))
    assert len(dullness) == 3  # pink noise, a fan and babble, each of its own colour


def test_a_fan_rushes_and_hums(rng: np.random.Generator) -> None:
    noise = augment.fan_noise(np.ones(4 * RATE, np.float32), RATE, rng) - 1
    assert power_of(noise, 2000, 4000) < 0.05 * power_of(noise, 50, 1000)
    # Half of the power is the hum: five lines, each narrower than 2 Hz.
    lines = np.sort(np.abs(np.fft.rfft(noise)) ** 2)[::-1]
    assert lines[:40].sum() > 0.45 * lines.sum()


def test_far_is_faint_and_of_sixteen_bits(voice: augment.Samples, rng: np.random.Generator) -> None:
    far = conditions.degrade("far", voice, RATE, rng)
    assert level_db(far) - level_db(voice) == pytest.approx(conditions.FAR_DB, abs=0.1)
    assert np.array_equal(far * 32768, np.round(far * 32768))


@pytest.mark.parametrize("condition", ["mp3", "opus"])
def test_codecs_lose_little_that_is_heard(
    condition: str, voice: augment.Samples, rng: np.random.Generator
) -> None:
    coded = conditions.degrade(condition, voice, RATE, rng)
    assert 0 <= len(coded) - len(voice) < 0.15 * RATE
    assert not np.array_equal(coded[: len(voice)], voice)
    assert level_db(coded[: len(voice)]) == pytest.approx(level_db(voice), abs=2)


@pytest.mark.parametrize("condition", conditions.CONDITIONS)
def test_conditions_are_seeded_and_leave_their_input(
    condition: str, voice: augment.Samples
) -> None:
    before = voice.copy()
    first, again = (
        conditions.degrade(condition, voice, RATE, np.random.default_rng(3), voices=[before])
        for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert first.dtype == np.float32
    assert np.array_equal(voice, before)
    assert (condition == "clean") == np.array_equal(first, voice)


def test_predictions_are_those_of_the_runtime(
    real_clips: list[Clip], classifier: Classifier
) -> None:
    given = predictions.collect(classifier.model, real_clips, ["clean"])["clean"]
    undecided = Classifier(classifier.model, threshold=0.0, gate="off")
    for row, clip in enumerate(real_clips):
        by_default, scores = classifier.classify(clip.path), undecided.classify(clip.path).scores
        assert scores is not None
        assert given.probabilities[row].tolist() == list(scores.values())
        predicted = given.predicted[row]
        assert (
            None if predicted == predictions.NO_LABEL else LABELS[predicted]
        ) == by_default.label
        assert given.passed[row] == (by_default.reason != "no_speech")
    assert given.scored.all()


def test_a_condition_does_not_depend_on_the_others(
    toy_clips: list[Clip], classifier: Classifier
) -> None:
    clips = toy_clips[:6]
    alone = predictions.collect(classifier.model, clips, ["noise-10"])["noise-10"]
    among = predictions.collect(classifier.model, clips, ["clean", "noise-5", "noise-10"])
    assert np.array_equal(alone.probabilities, among["noise-10"].probabilities)
    assert not np.array_equal(alone.probabilities, among["noise-5"].probabilities)


def test_a_clip_without_scores_counts_as_wrong(tmp_path: Path, classifier: Classifier) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    clips = [Clip(tmp_path / "silence.wav", "here", "anna", "", label, "dev") for label in LABELS]
    given = predictions.collect(classifier.model, clips, ["clean"])["clean"]
    report = group_reports(label_indices(clips, LABELS), given, clips)["here"]
    assert (report.accuracy.uar, report.accuracy.accuracy) == (0.0, 0.0)
    assert report.unscored == 6
    assert (report.speech, report.answered, report.accuracy_answered) == (0.0, 0.0, None)


def test_corpora_are_told_apart_and_together() -> None:
    clips = [
        Clip(Path(f"{number}.wav"), corpus, speaker, "", "sad", "dev")
        for number, (corpus, speaker) in enumerate([("x", "1"), ("x", "2"), ("y", "1")])
    ]
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    given = predictions.Predictions(
        probabilities=probabilities,
        scored=np.ones(3, dtype=np.bool_),
        passed=np.array([True, False, True]),
        predicted=np.array([0, predictions.NO_LABEL, 0]),
    )
    reports = group_reports(np.array([0, 0, 1]), given, clips)
    assert list(reports) == ["x", "y", ALL]
    assert reports["x"].accuracy.accuracy == 0.5
    assert (reports["x"].answered, reports["x"].accuracy_answered) == (0.5, 1.0)
    assert reports["y"].intervals is None
    assert reports[ALL].accuracy.speakers == 3  # both corpora have a speaker 1
    assert reports[ALL].speech == pytest.approx(2 / 3)
    json.dumps(reports[ALL].to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("by", "names"),
    [("gender", ["x F", "x ?"]), ("speaker", ["x anna", "x eve"]), ("corpus", ["x"])],
)
def test_groups_are_what_is_asked_for(by: str, names: list[str]) -> None:
    clips = [
        Clip(Path(f"{speaker}.wav"), "x", speaker, gender, "sad", "dev")
        for speaker, gender in (("anna", "F"), ("eve", ""))
    ]
    yes = np.array([True, True])
    given = predictions.Predictions(np.array([[0.9, 0.1], [0.2, 0.8]]), yes, yes, np.array([0, 1]))
    reports = group_reports(np.array([0, 0]), given, clips, by=by)
    assert [name for name in reports if name != ALL] == names
    accuracies = [reports[name].accuracy.accuracy for name in names]
    assert accuracies == ([0.5] if by == "corpus" else [1.0, 0.0])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command: its exit code, what it prints and what it says on standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["evaluate", *map(str, arguments)])
        code = exit_.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return command


def test_table_of_one_condition(run: Run, toy_clips: list[Clip]) -> None:
    code, out, err = run("default", toy_clips[0].path.parent)
    assert code == 0, err
    assert "default: 12 clips, split dev, seed 1" in out
    assert "gate off, threshold 0" in out
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("toy  ")] == [
        ["toy", "2", "12"]
    ]
    assert "toy: true label" in out
    assert "12 of 12" in err


def test_table_has_one_row_a_condition(run: Run, toy_clips: list[Clip]) -> None:
    words = ("--condition", "clean", "--condition", "far", "--split", "all")
    code, out, err = run("default", toy_clips[0].path.parent, *words)
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["condition", "clean", "far"]


def test_table_by_speaker(run: Run, toy_clips: list[Clip]) -> None:
    code, out, err = run("default", toy_clips[0].path.parent, "--by", "speaker")
    assert code == 0, err
    rows = [line for line in out.splitlines() if line.startswith("toy speaker")]
    assert [row.split()[:3] for row in rows] == [["toy", "speaker", "4"], ["toy", "speaker", "5"]]
    assert "true label" not in out


def test_json_tells_everything(run: Run, toy_clips: list[Clip], classifier: Classifier) -> None:
    code, out, err = run("default", toy_clips[0].path.parent, "--json", "--condition", "all")
    assert code == 0, err
    report = json.loads(out)
    assert tuple(report["conditions"]) == conditions.CONDITIONS
    assert report["labels"] == list(LABELS)
    assert report["threshold"] == classifier.threshold
    clean = report["conditions"]["clean"]["toy"]
    assert np.sum(clean["confusion"]) == clean["clips"] == 12
    low, high = clean["intervals"]["uar"]
    assert low <= clean["uar"] <= high


def test_plot(run: Run, toy_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "toy.png"
    code, _, err = run("default", toy_clips[0].path.parent, "--plot", picture)
    assert code == 0, err
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert width > height > 400
    assert os.listdir(tmp_path) == ["toy.png"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["best"], 2, "NAME-OR-FILE: there is no bundled model 'best'"),
        (["gone.tflite"], 1, "gone.tflite"),
        (["default", "--condition", "windy"], 2, "'windy'"),
        (["default", "--plot", "x.png", "--condition", "all"], 2, "--plot draws one condition"),
        (["default", "--by", "gender", "--condition", "all"], 2, "--by gender measures one"),
        (["default", "--plot", "x.text"], 2, "--plot: x.text: the name must end in"),
    ],
)
def test_failure_is_one_sentence(
    run: Run, words: list[str], code: int, message: str, toy_clips: list[Clip]
) -> None:
    model, *options = words
    result_code, out, err = run(model, toy_clips[0].path.parent, *options)
    assert (result_code, out) == (code, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_split_without_clips_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "index.csv").write_text(
        "path,corpus,speaker,label,split\na.wav,here,anna,sad,train\n"
    )
    assert run("default", tmp_path) == (
        1,
        "",
        "Error: the index has no clips of the split dev\n",
    )
