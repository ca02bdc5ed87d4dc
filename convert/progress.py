"""How far a long piece of work is: one line on standard error, kept up to date."""

from __future__ import annotations

from collections.abc import Callable

import click

_STEP = 50


def progress(what: str) -> Callable[[int, int], None]:
    """A callback that takes how many are done, and of how many; ``what`` names them."""

    def show(done: int, total: int) -> None:
        if done == total or done % _STEP == 0:
            click.echo(f"\r{what}: {done} of {total}", nl=done == total, err=True)

    return show
