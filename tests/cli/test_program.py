"""The program around the commands: help, exit codes, and how it loads and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ser_edge import Classifier, __version__, cli
from ser_edge.cli import options
from ser_edge.gate import GATES
from ser_edge.stream import SAMPLE_FORMATS

RECORDING = Path(__file__).parents[1] / "data" / "synthetic.wav"


def test_version_and_help(run):
    assert run("--version").out.split()[-1] == __version__
    shown = run("--help").out
    assert all(command in shown for command in ("classify", "info", "doctor"))
    assert "Exit codes" in shown


def test_interrupt_is_quiet(run, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "classify", interrupt)
    outcome = run("classify", RECORDING)
    assert outcome.code == options.EXIT_INTERRUPTED
    assert outcome.err == ""


def program(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ser_edge", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, **pipes)  # type: ignore[call-overload]


def test_a_closed_pipe_ends_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    process = program("classify", "--json", *[RECORDING] * 3, stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert process.returncode == options.EXIT_CLOSED_PIPE
    assert err == b""


def test_a_full_disk_is_one_sentence():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with full.open("wb") as stdout:
        process = program("classify", "--json", RECORDING, stdout=stdout)
        _, err = process.communicate(timeout=60)
    assert process.returncode == options.EXIT_FAILED
    assert err.startswith(b"ser-edge: ")
    assert b"Traceback" not in err


def test_nothing_but_results_is_printed():
    process = program("classify", "--json", RECORDING)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(out.splitlines()) == 1
    assert err == b""


def test_command_keeps_to_one_thread() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    script = (
        "from ser_edge.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*[line for line in open('/proc/self/status') if line.startswith('Threads:')])\n"
    )
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    output = subprocess.run(
        [sys.executable, "-c", script, "classify", str(RECORDING)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.stdout.split()[-2:] == ["Threads:", "1"], output


def test_command_does_not_search_for_garbage_on_its_way_out() -> None:
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from ser_edge.cli import main\n"
        "main()\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False
    )
    assert output.returncode == 0
    assert output.stdout.split()[-1] == "True", output


def test_the_command_line_offers_every_gate_and_sample_format() -> None:
    assert options.GATES == GATES
    assert set(options.SAMPLE_FORMATS) == set(SAMPLE_FORMATS)


def test_garbage_is_searched_for_once_all_is_loaded():
    script = (
        "import gc, sys\n"
        "from ser_edge import Classifier, cli\n"
        "def classify(self, audio, **_):\n"
        "    print(gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
        "    raise KeyboardInterrupt\n"
        "Classifier.classify = classify\n"
        f"sys.argv = ['ser-edge', 'classify', {str(RECORDING)!r}]\n"
        "cli.main()\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert shown.stdout.decode().split() == ["True", "True"]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_loads_no_other(name: str) -> None:
    script = (
        "import sys\n"
        "from ser_edge.cli import COMMANDS, program\n"
        "assert 'ser_edge.cli.show.output' not in sys.modules\n"
        f"program.get_command(None, {name!r})\n"
        "print(*[name for name in COMMANDS if f'ser_edge.cli.{name}' in sys.modules])\n"
        "assert 'numpy' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert shown.stdout.decode().split() == [name]
