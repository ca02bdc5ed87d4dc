"""``ser-edge info``: what a model is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from ser_edge.cli.machine import installed_version
from ser_edge.cli.options import load_classifier

if TYPE_CHECKING:
    from ser_edge.model import Model


@click.command()
@click.argument("model", default="default", metavar="[NAME-OR-FILE]")
@click.option("--json", is_flag=True, help="The same as one JSON object.")
def info(model: str, json: bool) -> None:
    """Show what a model is: labels, front end, training, accuracy, size, operators, runtime."""
    description = describe(load_classifier(model).model)
    if json:
        from json import dumps

        click.echo(dumps(description, indent=1))
    else:
        _echo_tree(description)


def describe(model: Model) -> dict[str, Any]:
    """All that there is to say of a model, as nested dicts and lists."""
    return {
        "file": model.path,
        "size": f"{os.path.getsize(model.path)} bytes",
        "runtime": f"{model.runtime} {installed_version(model.runtime)}",
        "operators": list(model.operators),
        **model.metadata.to_dict(),
    }


def _echo_tree(data: Any, indent: str = "") -> None:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data, 1):
        if isinstance(value, (dict, list, tuple)) and value and not _is_short(value):
            click.echo(f"{indent}{key}:")
            _echo_tree(value, indent + "  ")
        else:
            click.echo(f"{indent}{key}: {_plain(value)}")


def _is_short(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not isinstance(value[0], (dict, list, tuple))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
