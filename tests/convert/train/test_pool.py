from __future__ import annotations

import os

from ser_edge.convert.train import pool


def test_values_come_in_order_from_processes_that_were_initialized() -> None:
    paths = pool.imap(os.path.abspath, "abc", jobs=2, initializer=os.chdir, initargs=("/",))
    assert list(paths) == ["/a", "/b", "/c"]
