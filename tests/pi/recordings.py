"""Recordings that the project makes itself, to be classified on every device."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from ser_edge.audio.resample import resample
from ser_edge.selftest import reference_signal

SENTENCE = (
    "The train to the coast leaves at half past seven, and nobody has told the children yet. "
    "You said that you would call them!"
)
# Arguments of espeak-ng: voices and manners that differ in pitch, range, rate and level.
VOICES = {
    "voice_calm.wav": ["-v", "en", "-s", "120", "-p", "30"],
    "voice_high_fast.wav": ["-v", "en+f3", "-s", "220", "-p", "90", "-a", "190"],
    "voice_low_slow.wav": ["-v", "en+m5", "-s", "90", "-p", "5", "-a", "60"],
    "voice_german.wav": ["-v", "de+f2", "-s", "160", "-p", "60"],
}
# File, sample rate in Hz, seconds, channels: every reader of libsndfile, every resampling ratio.
TONES = (
    ("tone_16k.wav", 16_000, 3.0, 1),
    ("tone_8k.au", 8_000, 2.0, 1),
    ("tone_44k_stereo.flac", 44_100, 3.5, 2),
    ("tone_22k.ogg", 22_050, 4.0, 1),
    ("tone_48k_long.wav", 48_000, 11.0, 1),
)
SYNTHETIC = Path(__file__).parents[1] / "data" / "synthetic.wav"
STREAMED = "tone_48k_long.wav"


def write_recordings(folder: Path) -> None:
    """Write voice-like tones, noise and silence, and synthetic speech where espeak-ng is."""
    for name, sample_rate, seconds, channels in TONES:
        tone = resample(reference_signal(16_000, seconds), 16_000, sample_rate)
        # The second channel is a fainter, later copy: their mean is neither.
        delayed = [np.roll(tone, 40 * channel) / (1 + channel) for channel in range(channels)]
        soundfile.write(folder / name, np.stack(delayed, axis=1), sample_rate)
    noise = np.random.default_rng(0).normal(0, 0.05, 48_000)
    soundfile.write(folder / "noise.wav", noise, 16_000)
    soundfile.write(folder / "silence.wav", np.zeros(32_000), 16_000)
    shutil.copy(SYNTHETIC, folder)
    if not shutil.which("espeak-ng"):
        print("SKIPPED: synthetic speech, for there is no espeak-ng")
        return
    for name, arguments in VOICES.items():
        command = ["espeak-ng", *arguments, "-w", str(folder / name), SENTENCE]
        subprocess.run(command, check=True)
