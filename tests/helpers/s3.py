"""An S3 on loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest


@contextmanager
def s3_server(
    monkeypatch: pytest.MonkeyPatch, bucket: str, contents: Mapping[str, bytes]
) -> Iterator[None]:
    """Serve a bucket with these contents; the environment leads there. Skips without moto."""
    pytest.importorskip("s3fs", reason="NO S3 TESTED: there is no s3fs")
    server_module = pytest.importorskip("moto.server", reason="NO S3 TESTED: there is no moto")
    import fsspec

    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    store = None
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir(bucket)
        for name, content in contents.items():
            store.pipe(f"{bucket}/{name}", content)
        yield
    finally:
        if store is not None:  # what it holds outlives the server
            store.rm(bucket, recursive=True)
        server.stop()
