"""README and docs as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def text(page: str) -> str:
    """All of a page, such as ``docs/live.md``."""
    return (ROOT / page).read_text(encoding="utf-8")


def example(page: str, name: str) -> str:
    """The code block that follows the marker ``<!-- name -->`` in a page."""
    marked = rf"<!-- {name} -->\n```\w+\n(.*?)^```"
    found = re.search(marked, text(page), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no example {name}"
    return found[1]
