"""How far a long piece of work is: one line on standard error, kept up to date."""

from __future__ import annotations

from collections.abc import Callable

import click


def progress(what: str) -> Callable[[int, int], None]:
    """A callback that takes how many are done, and of how many; ``what`` names them."""

    def show(done: int, total: int) -> None:
        if 100 * done // total > 100 * (done - 1) // total:  # another percent
            click.echo(f"\r{what}: {done} of {total}", nl=done == total, err=True)

    return show
