"""Decoding through the program ffmpeg, for what libsndfile does not read: M4A, WMA, WebM, video.

Nothing of it is linked or imported: it runs as a child process that gets an open file and writes
WAV into a pipe. It sees neither the file's name nor a shell, opens nothing else (only formats that
cannot refer to other files are allowed, and no protocol of the network), and is limited in
processor time, memory, and the time in which it may give no audio.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from typing import BinaryIO

from ser_edge.audio.pcm import Format, wav_header
from ser_edge.errors import AudioError

_STALL_SECONDS = 60.0  # without any output
_MAX_SILENT_SECONDS = 600.0  # without any audio, whatever it says
_MIN_CPU_SECONDS = 60  # for any file, and a second more for each so many bytes:
_BYTES_PER_CPU_SECOND = 10_000  # ten seconds of the thinnest speech codecs, on a Raspberry Pi Zero
_MAX_MEMORY_BYTES = 1 << 30  # of address space, most of which are libraries
_MAX_BLOCK_BYTES = 1 << 28  # of one allocation: the index of a day in MP4 takes 100 MB
_READ_BYTES = 1 << 16  # what a pipe holds on Linux
_STDERR_BYTES = 2_000  # of the end of what ffmpeg says

# No playlists and no lists of files (hls, dash, concat, image2, ...): they name what else to open.
_DEMUXERS = (
    "aac,ac3,aea,aiff,amr,amrnb,amrwb,ape,asf,au,avi,avr,caf,dsf,dts,dtshd,eac3,flac,flv,gsm,iff,"
    "loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,paf,qcp,rm,rso,shn,"
    "sox,tak,truehd,tta,voc,w64,wav,wtv,wv,xa"
)
_INPUT = (
    *("-nostdin", "-hide_banner", "-v", "error", "-threads", "1"),
    *("-protocol_whitelist", "file,pipe", "-format_whitelist", _DEMUXERS),
)
_OUTPUT = (
    *("-map", "0:a:0", "-map_metadata", "-1", "-threads", "1"),
    *("-c:a", "pcm_f32le", "-f", "wav", "pipe:1"),
)


def find_ffmpeg() -> str | None:
    """The path of the program, or None where there is none on the PATH."""
    import shutil

    return shutil.which("ffmpeg")


class FfmpegDecoder:
    """The first audio track of a file, decoded while it is read.

    Args:
        program: the path of ffmpeg.
        file: a file on disk, which may have no name any more; it is read from its start.

    Raises:
        AudioError: without a name in front: ffmpeg finds no audio in it, or gives none in time.
    """

    def __init__(self, program: str, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        cpu_seconds = _MIN_CPU_SECONDS + size // _BYTES_PER_CPU_SECOND
        limits = ["-timelimit", str(cpu_seconds), "-max_alloc", str(_MAX_BLOCK_BYTES)]
        # Opened anew by ffmpeg, so that its position is its own, and by a name that says nothing.
        source = ["-i", "file:/dev/fd/0"]
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # where /dev/fd/0 shares the position
        # FFREPORT would have it write a file.
        environment = {
            k: v for k, v in os.environ.items() if k not in ("FFREPORT", "AV_LOG_FORCE_COLOR")
        }
        try:
            self._process = subprocess.Popen(
                [program, *_INPUT, *limits, *source, *_OUTPUT],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            raise AudioError(f"ffmpeg does not start ({error.strerror})") from None
        _limit_memory(self._process.pid)
        self._said = b""
        self._ended = False
        try:
            if self.read(4) != b"RIFF":
                raise AudioError(self._reason() or "it gives no audio")
            self.format: Format = wav_header(self.read, "ffmpeg")[0]
        except BaseException:
            self.close()
            raise

    def read(self, size: int) -> bytes:
        """Exactly so many bytes of samples in :attr:`format`; fewer at the end.

        Raises:
            AudioError: ffmpeg hangs, or ends with an error.
        """
        parts = []
        while size:
            data = self._read_some(size)
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def _read_some(self, limit: int) -> bytes:
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        out = process.stdout.fileno()
        latest = time.monotonic() + _MAX_SILENT_SECONDS
        while not self._ended:
            if time.monotonic() > latest:
                raise AudioError("ffmpeg gives no audio")
            err = -1 if process.stderr.closed else process.stderr.fileno()
            ready = _wait(out, err)
            if err in ready:
                self._hear()
            if out in ready:
                data = os.read(out, min(limit, _READ_BYTES))
                if data:
                    return data
                self._end()
        return b""

    def _hear(self) -> None:
        """Take what ffmpeg says, which would else block it; keep the end."""
        assert self._process.stderr is not None
        said = os.read(self._process.stderr.fileno(), _READ_BYTES)
        self._said = (self._said + said)[-_STDERR_BYTES:]
        if not said:
            self._process.stderr.close()

    def _end(self) -> None:
        """The output has ended: was it in good order?"""
        self._ended = True
        assert self._process.stderr is not None
        while not self._process.stderr.closed:
            self._hear()
        try:
            code = self._process.wait(_STALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise AudioError("ffmpeg does not end") from None
        if code:
            reason = self._reason()
            raise AudioError(
                reason or f"ffmpeg ended with {'signal' if code < 0 else 'code'} {abs(code)}"
            )

    def _reason(self) -> str:
        """The last line that ffmpeg said, as printable text."""
        lines = [
            line for line in self._said.decode("utf-8", "replace").splitlines() if line.strip()
        ]
        if any("matches no streams" in line for line in lines):
            return "it has no audio track"
        if not lines:
            return ""
        line = lines[-1].replace("file:/dev/fd/0: ", "").strip()[:200]
        return "".join(c if c.isprintable() else "?" for c in line)

    def close(self) -> None:
        """End ffmpeg; closing twice is harmless."""
        process = self._process
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _wait(*descriptors: int) -> set[int]:
    """Those that can be read, once one can; -1 never can."""
    poll = select.poll()  # select itself knows only the first 1024
    for descriptor in descriptors:
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(1000 * _STALL_SECONDS)}
    if not ready:
        raise AudioError(f"ffmpeg gave nothing for {_STALL_SECONDS:.0f} s")
    return ready


def _limit_memory(pid: int) -> None:
    # Elsewhere than on Linux there is no prlimit; and it may have ended already.
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        resource.prlimit(pid, resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
