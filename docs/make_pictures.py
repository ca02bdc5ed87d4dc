"""Draw docs/terminal.svg and docs/timeline.png: python docs/make_pictures.py

Both show what the commands really give, for synthetic recordings. The timeline needs espeak-ng
(apt install espeak-ng) and the extra 'plot'.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import soundfile

from ser_edge.audio import load

FOLDER = Path(__file__).parent
RECORDING = Path("tests") / "data" / "synthetic.wav"

_RATE = 16_000  # Hz
_PAUSES = (2.5, 2.5, 6.0, 2.5, 1.0)  # seconds after each sentence
_COLORS = 64  # of the picture

# Voice, words a minute and pitch (0 to 99) of espeak-ng, and what it says.
_SPOKEN = (
    ("en+m3", 150, 30, "I waited for you at the station, and then the last train left without me."),
    ("en+f2", 190, 85, "You will never guess! We won, we really won, and everybody was there!"),
    ("en+m1", 120, 15, "There is nobody left in the house now. It is so quiet in here."),
    ("en+f4", 210, 60, "How often do I have to say it? Do not touch that, and do not ask again!"),
    ("en+m7", 160, 50, "The meeting is at nine in room four. Please bring the reports with you."),
)

# Of the frame: a dark terminal, 8.4 x 20 pixels a character.
_CELL = (8.43, 20)
_MARGIN = 20
_TITLE_BAR = 34
_FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_BACKGROUND, _BAR, _TEXT, _PROMPT = "#1e1e2a", "#2d2d3c", "#e4e4ec", "#8fd18f"
_BUTTONS = ("#ff5f57", "#febc2e", "#28c840")
_COLUMNS = 48
_BLOCKS = " ▏▎▍▌▋▊▉█"  # eighths of a character


def terminal() -> str:
    """A terminal in which a recording is classified, as SVG."""
    lines = [
        f"$ ser-edge classify {RECORDING.name}",
        *_ser_edge("classify", RECORDING.name, folder=RECORDING.parent, color=True),
    ]
    width = round(_COLUMNS * _CELL[0]) + 2 * _MARGIN
    height = _TITLE_BAR + 2 * _MARGIN + _CELL[1] * len(lines) - 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="ser-edge classify in a terminal">',
        f'<rect width="{width}" height="{height}" rx="10" fill="{_BACKGROUND}"/>',
        f'<path d="M0 {_TITLE_BAR}V10a10 10 0 0 1 10-10H{width - 10}a10 10 0 0 1 10 10V'
        f'{_TITLE_BAR}z" fill="{_BAR}"/>',
    ]
    parts += [
        f'<circle cx="{22 + 20 * number}" cy="{_TITLE_BAR / 2:g}" r="6" fill="{color}"/>'
        for number, color in enumerate(_BUTTONS)
    ]
    parts.append(f'<g font-family="{_FONT}" font-size="14" fill="{_TEXT}">')
    for number, line in enumerate(lines):
        baseline = _TITLE_BAR + _MARGIN + 12 + _CELL[1] * number
        parts += _spans(line, baseline)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def timeline(picture: Path) -> None:
    """Draw the windows of a synthetic conversation with the command itself."""
    from PIL import Image  # matplotlib needs it too

    spoken = []
    for sentence, pause in zip(_SPOKEN, _PAUSES):
        spoken += [_speak(*sentence), np.zeros(round(pause * _RATE), np.float32)]
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "conversation.wav"
        soundfile.write(recording, np.concatenate(spoken), _RATE)
        _ser_edge("classify", "--windows", "--plot", str(picture), str(recording))
    # A third of the size, and no difference that an eye sees.
    with Image.open(picture) as drawn:
        drawn.convert("RGB").quantize(_COLORS).save(picture, optimize=True)


def _speak(voice: str, speed: int, pitch: int, text: str) -> np.ndarray:
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    # It leaves the length of the audio open.
    return load(io.BytesIO(spoken), _RATE)


def _ser_edge(*arguments: str, folder: Path | None = None, color: bool = False) -> list[str]:
    """The lines that ser-edge prints; their colours as a terminal gets them."""
    program = "from ser_edge.cli import main, program\n"
    program += "program.context_settings['color'] = True\n" if color else ""
    output = subprocess.run(
        [sys.executable, "-c", program + "main()", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=True,
        capture_output=True,
    )
    return output.stdout.decode().splitlines()


def _spans(line: str, baseline: float) -> list[str]:
    """Text elements for a line with the escape sequences of colours and bold type."""
    parts = []
    column = 0
    style = f' fill="{_PROMPT}"' if line.startswith("$") else ""
    for sequence, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b]+)", line):
        if not text:
            style = _style(sequence, style)
            continue
        for words in re.finditer(rf"[{_BLOCKS[1:]}]+|\S+(?: [^\s{_BLOCKS[1:]}]+)*", text):
            x = _MARGIN + (column + words.start()) * _CELL[0]
            if set(words[0]) <= set(_BLOCKS):  # fonts would leave gaps
                length = sum(map(_BLOCKS.index, words[0])) / 8 * _CELL[0]
                parts.append(
                    f'<rect x="{x:.1f}" y="{baseline - 12}" width="{length:.1f}" '
                    f'height="14"{style}/>'
                )
                continue
            length = len(words[0]) * _CELL[0]  # in every font
            parts.append(
                f'<text x="{x:.1f}" y="{baseline}" textLength="{length:.1f}"{style}>'
                f"{escape(words[0])}</text>"
            )
        column += len(text)
    return parts


def _style(sequence: str, before: str) -> str:
    """Attributes for an escape sequence: reset, bold, or one of 256 colours."""
    codes = [int(code) for code in sequence.split(";") if code]
    if codes == [1]:
        return before + ' font-weight="bold"'
    if codes[:2] == [38, 5]:
        return before + f' fill="{_rgb(codes[2])}"'
    return ""


def _rgb(number: int) -> str:
    """One of xterm's 256 colours: a cube from 16 on, greys from 232 on."""
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    levels = (0, 95, 135, 175, 215, 255)
    red, rest = divmod(number - 16, 36)
    return "#" + "".join(f"{levels[level]:02x}" for level in (red, *divmod(rest, 6)))


if __name__ == "__main__":
    os.chdir(FOLDER.parent)
    (FOLDER / "terminal.svg").write_text(terminal(), encoding="utf-8")
    timeline(FOLDER / "timeline.png")
