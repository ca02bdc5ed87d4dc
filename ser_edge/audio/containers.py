"""Containers of audio: known by their first bytes or by a file name's extension.

Only recognition: nothing here reads audio, and nothing is loaded.
"""

from __future__ import annotations

import os
from pathlib import PurePath

HEAD_BYTES = 4096  # what `recognise` likes to see; fewer will do for most

# What libsndfile reads.
READABLE_EXTENSIONS = frozenset(
    [
        ".aif",
        ".aifc",
        ".aiff",
        ".au",
        ".avr",
        ".bwf",
        ".caf",
        ".flac",
        ".htk",
        ".mp1",
        ".mp2",
        ".mp3",
        ".nist",
        ".oga",
        ".ogg",
        ".opus",
        ".paf",
        ".pvf",
        ".rf64",
        ".sf",
        ".snd",
        ".spx",
        ".sph",
        ".svx",
        ".voc",
        ".w64",
        ".wav",
        ".wave",
        ".wavex",
        ".xi",
    ]
)
# What needs ffmpeg.
CONVERTIBLE_EXTENSIONS = frozenset(
    [
        ".3g2",
        ".3ga",
        ".3gp",
        ".aac",
        ".aax",
        ".ac3",
        ".adts",
        ".amr",
        ".ape",
        ".asf",
        ".avi",
        ".awb",
        ".dsf",
        ".dts",
        ".eac3",
        ".ec3",
        ".f4a",
        ".f4v",
        ".flv",
        ".gsm",
        ".m2ts",
        ".m4a",
        ".m4b",
        ".m4r",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpc",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".oma",
        ".ogv",
        ".qcp",
        ".qt",
        ".ra",
        ".rm",
        ".shn",
        ".tak",
        ".tta",
        ".vob",
        ".weba",
        ".webm",
        ".wma",
        ".wmv",
        ".wv",
    ]
)

# (offset, bytes, name); a raw recording begins with one of them by chance once in 2 ** 32.
_MAGIC = (
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (0, b"RF64", "RF64"),
    (0, b"BW64", "RF64"),
    (0, b"RIFX", "RIFX"),
    (0, b"riff\x2e\x91\xcf\x11", "W64"),
    (0, b"caff\0\1", "CAF"),
    (0, b".snd\0\0", "AU"),
    (0, b"NIST_1A", "NIST"),
    (0, b"Creative Voice File\x1a", "VOC"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF (WMA)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska (WebM)"),
    (0, b"FLV\x01", "FLV"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA1", "TTA"),
    (0, b"TTA2", "TTA"),
    (0, b"tBaK", "TAK"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+\x07", "Musepack"),
    (0, b"ajkg", "Shorten"),
    (0, b"DSD \x1c", "DSF"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"ADIF", "AAC"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"\0\0\1\xba", "MPEG"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "MXF"),
)
_IMAGE_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis",
                 b"jxl ", b"crx ")  # fmt: skip
_MP4_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # of QuickTime, without ftyp

# MPEG audio frames: kbit/s by index, for (MPEG-1, layer) and (MPEG-2, layer).
_MPEG_KBITS = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = (44_100, 48_000, 32_000)  # Hz, of MPEG-1
_AC3_KBITS = (
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    576,
    640,
)
_TS_PACKETS = ((188, 0), (192, 4))  # (bytes, offset of the sync byte): MPEG-TS, M2TS


def recognise(head: bytes) -> str | None:
    """The container's name in words, by the first bytes of a file or pipe; None for any other.

    Formats without a signature of their own (MP3, AAC, AC-3, MPEG-TS) are known by two frames
    where they must lie; so raw samples are not taken for them by chance.

    Example:
        >>> recognise(b"OggS" + bytes(100)), recognise(b"\\0\\0\\0\\x20ftypM4A ")
        ('Ogg', 'MP4')
        >>> recognise(b"\\xff\\xfb\\x90\\x00" * 1000) is None  # a sync word, but no frames
        True
    """
    if head[:4] == b"RIFF" and len(head) >= 12:
        return {b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:12], "RIFF")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV"):
        return "AIFF"
    if head[:3] == b"ID3" and len(head) > 3 and head[3] < 0x10:
        return "MP3"
    if head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS:
        return "MP4"
    if head[4:8] in _MP4_ATOMS and head[:2] == b"\0\0":
        return "MP4"
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    return _recognise_frames(head)


def needs_more(head: bytes) -> bool:
    """Whether a few bytes may begin a format that only :data:`HEAD_BYTES` can tell."""
    return head[:1] in (b"\xff", b"\x47", b"\x0b") or head[4:5] == b"\x47"


def ffmpeg_line(name: str) -> str:
    """The command that converts a file; with words in place of what is no file's name."""
    import shlex

    source, target = "INPUT", "OUTPUT.wav"
    if os.path.isfile(name):
        # So that no name is taken for an option: PurePath drops a leading "./".
        prefix = "./" if name.startswith("-") else ""
        target = shlex.quote(prefix + str(PurePath(name).with_suffix(".16k.wav")))
        source = shlex.quote(prefix + name)
    return f"ffmpeg -i {source} -ar 16000 -ac 1 {target}"


def _recognise_frames(head: bytes) -> str | None:
    for size, offset in _TS_PACKETS:
        syncs = head[offset : offset + 4 * size : size]
        if len(head) > offset + 2 * size and set(syncs) == {0x47}:
            return "MPEG-TS"
    for name, frame_size in (("AAC", _adts_size), ("MP3", _mpeg_size), ("AC-3", _ac3_size)):
        size = frame_size(head)
        if size and frame_size(head[size:]):
            return name
    return None


def _mpeg_size(head: bytes) -> int:
    """Bytes of the MPEG audio frame that begins here; 0 where none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    index, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or index in (0, 15) or rate == 3:
        return 0
    first = version == 3  # MPEG-1
    hertz = _MPEG_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1000 * _MPEG_KBITS[first, layer][index]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (144 if layer == 2 or first else 72) * bits // hertz + padding


def _adts_size(head: bytes) -> int:
    """Bytes of the AAC frame with ADTS header that begins here; 0 where none does."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0


def _ac3_size(head: bytes) -> int:
    """Bytes of the AC-3 frame that begins here; 0 where none does."""
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return 0
    rate, code, version = head[4] >> 6, head[4] & 63, head[5] >> 3
    if version > 10:  # E-AC-3
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1) if version <= 16 else 0
    if rate == 3 or code > 37:
        return 0
    kbits = _AC3_KBITS[code >> 1]
    return 2 * (kbits * 96_000 // (48_000, 44_100, 32_000)[rate] + (rate == 1 and code & 1))
