"""Recordings elsewhere: what is read is what lies there, and what goes wrong is told."""

from __future__ import annotations

import functools
import http.server
import io
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge import AudioError, Classifier, DependencyError, audio
from ser_edge.audio.remote import find_addresses, is_address
from tests.helpers.audio import RATE, voice

fsspec = pytest.importorskip("fsspec", reason="NOTHING REMOTE TESTED: there is no fsspec")

FORMATS = [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]


@pytest.fixture
def memory() -> Iterator[Any]:
    """A store in memory."""
    store = fsspec.filesystem("memory")
    yield store
    store.rm("/", recursive=True)


@functools.lru_cache
def recorded(form: str = "WAV", subtype: str | None = None, seconds: float = 3.0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, voice(seconds), RATE, format=form, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(("form", "subtype"), FORMATS)
def test_equals_the_file(memory: Any, tmp_path: Path, form: str, subtype: str | None) -> None:
    if form == "MP3" and "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile has no MP3")
    content = recorded(form, subtype)
    (tmp_path / "a").write_bytes(content)
    memory.pipe("/archive/a", content)
    expected = audio.load(tmp_path / "a", RATE)
    np.testing.assert_array_equal(audio.load("memory://archive/a", RATE), expected)


def test_members_of_archives(tmp_path: Path, classifier: Classifier) -> None:
    content = recorded()
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x/b.wav", "x/a.wav", "x/notes.txt", "x/.hidden.wav"):
            archive.writestr(name, content)
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("a.wav")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    (tmp_path / "a.wav").write_bytes(content)
    expected = classifier.classify(tmp_path / "a.wav")
    others: list[str] = []
    found = list(find_addresses(f"zip://::{tmp_path}/b.zip", on_other=others.append))
    assert found == [f"zip://x/{name}.wav::{tmp_path}/b.zip" for name in "ab"]
    assert others == [f"zip://x/notes.txt::{tmp_path}/b.zip"]
    assert [classifier.classify(each) for each in found] == [expected] * 2
    assert classifier.classify(f"tar://a.wav::{tmp_path}/b.tar.gz") == expected


def test_folders_and_patterns(memory: Any) -> None:
    for name in ("b/2.wav", "a/1.flac", "a/3.txt", "c.mp3"):
        memory.pipe(f"/archive/{name}", b"content")
    everything = [f"memory:///archive/{name}" for name in ("a/1.flac", "b/2.wav", "c.mp3")]
    assert list(find_addresses("memory://archive")) == everything
    assert list(find_addresses("memory://archive/*/*")) == everything[:2]
    assert list(find_addresses("memory://archive/a/none")) == ["memory://archive/a/none"]
    with pytest.raises(AudioError, match="holds no audio files"):
        list(find_addresses("memory://archive/*.flac"))


def test_what_is_wrong_is_one_sentence(memory: Any) -> None:
    memory.pipe("/archive/empty.wav", b"")
    memory.pipe("/archive/text.wav", b"no audio at all")
    for name, reason in {
        "memory://archive/none.wav": "No such file or directory",
        "memory://archive/empty.wav": "the file is empty",
        "memory://archive/text.wav": "not audio that can be read",
        "nosuch://a.wav": "Protocol not known: nosuch",
    }.items():
        with pytest.raises(AudioError) as failure:
            audio.load(name, RATE)
        assert str(failure.value).startswith(f"{name}: {reason}")
        assert "\n" not in str(failure.value)


def test_a_file_of_ffmpeg_is_copied(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = recorded()
    memory.pipe("/archive/a.m4a", content)
    monkeypatch.setattr("ser_edge.audio.libsndfile.sequential", _refusing_virtual_files)
    assert audio.load("memory://archive/a.m4a", RATE).size == 3 * RATE


def _refusing_virtual_files(module: Any) -> Any:
    def refuse(file: Any, **options: Any) -> Any:
        if not isinstance(file, int):
            raise module.LibsndfileError(1)
        return module.SoundFile(file, **options)

    return refuse


@pytest.mark.parametrize(("form", "subtype"), FORMATS[:4])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_store_that_fails_never_gives_a_shorter_recording(
    memory: Any, monkeypatch: pytest.MonkeyPatch, form: str, subtype: str | None, share: float
) -> None:
    content = recorded(form, subtype, 20.0)
    memory.pipe("/archive/a", content)

    class Failing(io.BytesIO):
        size = len(content)

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if self.tell() > share * len(content):
                raise TimeoutError("the store does not answer")
            return data

    monkeypatch.setattr(type(memory), "open", lambda *_, **__: Failing(content))
    with pytest.raises(AudioError, match=r"^memory://archive/a: the store does not answer$"):
        audio.load("memory://archive/a", RATE)


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    for use in (partial(audio.load, sample_rate=RATE), lambda name: list(find_addresses(name))):
        with pytest.raises(DependencyError, match=r"pip install 'ser-edge\[archive\]'"):
            use("s3://archive/")


def test_paths_are_no_addresses() -> None:
    names = ["a.wav", "/a/b.wav", r"C:\a.wav", "12:30.wav", "a b://c", "-", "é::b.wav"]
    assert not any(map(is_address, names))


def test_http(tmp_path: Path) -> None:
    """A server that knows no ranges: the file is read on from its start."""
    pytest.importorskip("aiohttp", reason="NO HTTP TESTED: there is no aiohttp")
    for form in ("wav", "flac"):
        (tmp_path / f"a.{form}").write_bytes(recorded(form.upper()))
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            for form in ("wav", "flac"):
                expected = audio.load(tmp_path / f"a.{form}", RATE)
                np.testing.assert_array_equal(audio.load(f"{address}/a.{form}", RATE), expected)
            with pytest.raises(AudioError, match=r"b\.wav: No such file or directory"):
                audio.load(f"{address}/b.wav", RATE)
            assert list(find_addresses(f"{address}/")) == [
                f"{address}/a.{x}" for x in ("flac", "wav")
            ]
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
