"""`ser-edge classify` with --jobs, -o, --resume and --files-from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge.cli import options
from tests.helpers.audio import RATE, voice


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings and one that is none."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(3):
        soundfile.write(folder / f"{number}.wav", voice(1.0 + number), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.mark.parametrize("form", ["--csv", "--json", "--windows", "--top=2"])
def test_jobs_print_what_one_process_prints(run, folder, form):
    assert run("classify", folder, form, "--jobs", "2") == run("classify", folder, form)


@pytest.mark.parametrize(("ending", "form"), [("csv", "--csv"), ("jsonl", "--json")])
def test_a_file_holds_what_is_printed(run, folder, tmp_path, ending, form):
    path = tmp_path / f"emotions.{ending}"
    outcome = run("classify", folder, "-o", path)
    assert (outcome.code, outcome.out) == (options.EXIT_FAILED, "")
    assert outcome.err.splitlines()[1:] == [
        f"ser-edge: {path}: 4 files, 1 with errors (--resume --retry-errors tries again)"
    ]
    assert path.read_text() == run("classify", folder, form).out
    assert sorted(os.listdir(tmp_path)) == [path.name, folder.name]


def test_parquet(run, folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="NO PARQUET TESTED: no pyarrow")
    path = tmp_path / "emotions.parquet"
    run("classify", folder, "-o", path)
    rows = parquet.read_table(path).to_pylist()
    assert [Path(row["file"]).name for row in rows] == ["0.wav", "1.wav", "2.wav", "broken.wav"]
    assert "not audio" in rows[3]["error"]


def test_resume_passes_over_what_is_done(run, folder, tmp_path, monkeypatch):
    path = tmp_path / "emotions.csv"
    run("classify", folder / "0.wav", folder / "broken.wav", "-o", path)
    (folder / "0.wav").unlink()  # it would be an error now
    soundfile.write(folder / "broken.wav", voice(1.0), RATE)
    files = [folder / name for name in ("0.wav", "1.wav", "broken.wav", "1.wav")]
    assert run("classify", *files, "-o", path, "--resume").code == options.EXIT_FAILED
    rows = path.read_text().splitlines()[1:]
    assert [bool(row.split(",")[-1]) for row in rows] == [False, False, True]
    outcome = run("classify", *files, "-o", path, "--resume", "--retry-errors")
    assert outcome == (0, "", f"ser-edge: {path}: 3 files\n")
    rows = path.read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(file) for file in files[:3]]
    assert not any(row.split(",")[-1] for row in rows)


def test_lists_of_files(run, folder, tmp_path):
    names = [str(folder / "1.wav"), str(folder / "0.wav")]
    expected = run("classify", "--csv", *names)
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(["", *names]))
    assert run("classify", "--csv", "--files-from", listing) == expected
    zeros = "\0".join(names).encode()
    assert run("classify", "--csv", "--files-from", "-", stdin=zeros) == expected
    assert run("classify", "--csv", names[0], "--files-from", "-", stdin=b"").code == 0
    assert run("classify", "--files-from", tmp_path / "none").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--resume", "a.wav"],
        ["--retry-errors", "-o", "x.csv", "a.wav"],
        ["-o", "x.txt", "a.wav"],
        ["-o", "x.csv", "--json", "a.wav"],
        ["-o", "x.csv", "-"],
        ["--jobs", "2", "--windows", "--plot", "x.png", "a.wav"],
    ],
)
def test_wrong_usage(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run("classify", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert os.listdir(tmp_path) == []


def test_an_unwritable_place_is_one_sentence(run, folder, tmp_path):
    outcome = run("classify", folder / "0.wav", "-o", tmp_path / "none" / "x.csv")
    assert outcome.code in (options.EXIT_FAILED, 2)
    assert len(outcome.err.splitlines()) == 1 or "Usage" in outcome.err
    assert "No such file or directory" in outcome.err


@pytest.mark.skipif(os.name != "posix", reason="there are no process groups here")
def test_ctrl_c_tells_how_to_go_on(tmp_path: Path) -> None:
    recording = tmp_path / "long.wav"
    soundfile.write(recording, np.tile(voice(10.0), 360), RATE)
    soundfile.write(tmp_path / "short.wav", voice(1.0), RATE)
    path = tmp_path / "x.csv"
    command = [sys.executable, "-m", "ser_edge", "classify", "--jobs", "2", "-o", str(path)]
    # All of a terminal's processes get the signal.
    process = subprocess.Popen(
        [*command, str(tmp_path / "short.wav"), *[str(recording)] * 1],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    part = Path(f"{path}.part")
    while not (part.exists() and part.read_bytes().count(b"\n") >= 2):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == options.EXIT_INTERRUPTED
    assert err == (
        f"ser-edge: stopped, and 1 file done. To go on: ser-edge classify --jobs 2 -o {path} "
        f"{tmp_path / 'short.wav'} {recording} --resume\n"
    )


def test_a_single_recording_pays_nothing_for_archives(tmp_path):
    """None of their modules is loaded, nor what only they need."""
    soundfile.write(tmp_path / "voice.wav", voice(1.0), RATE)
    script = (
        "import atexit, sys\n"
        "names = ('ser_edge.archive', 'ser_edge.cli.archive', 'multiprocessing', 'fsspec', "
        "'pyarrow', 'distributed')\n"
        "atexit.register(lambda: print([name for name in names if name in sys.modules]))\n"
        "from ser_edge.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "classify", str(tmp_path / "voice.wav"), "--csv"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
