"""``ser-edge-convert presets``: the front ends that have a name."""

from __future__ import annotations

import json
import sys

import click

from .. import frontends


@click.command()
@click.argument("name", required=False, type=click.Choice(frontends.NAMES), metavar="[NAME]")
def presets(name: str | None) -> None:
    """List the front ends that have a name, or print the JSON of one.

    They are those of the notebooks that most people followed. What is printed can be changed and
    given to the command model as --frontend FILE.
    """
    if name is not None:
        click.echo(json.dumps(frontends.preset(name), indent=2))
        return
    rows = [(known, frontends.describe(known)) for known in frontends.NAMES]
    if sys.stdout.isatty():
        formatter = click.get_current_context().make_formatter()
        formatter.write_dl(rows)
        click.echo(formatter.getvalue(), nl=False)
    else:
        width = max(map(len, frontends.NAMES))
        click.echo("\n".join(f"{known:<{width}}  {text}" for known, text in rows))
