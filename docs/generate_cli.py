"""Write docs/cli.md from the commands themselves: python docs/generate_cli.py"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from ser_edge.cli import program
from ser_edge.convert.cli import main as convert

PAGE = Path(__file__).with_name("cli.md")

_HEAD = """\
# The command line

Generated from the commands by `python docs/generate_cli.py`; a test compares it with them.

Both commands answer `--help`, and `--version` with the package's version.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD]
    for name, group in (("ser-edge", program), ("ser-edge-convert", convert)):
        context = click.Context(group, info_name=name, **group.context_settings)
        parts += [f"## {name}\n", *_describe(group, context)]
        for subcommand in group.list_commands(context):
            command = group.get_command(context, subcommand)
            assert command is not None
            parts.append(f"### {name} {subcommand}\n")
            parts += _describe(command, click.Context(command, context, subcommand))
    return "\n".join(parts)


def environment_variable(option: click.Option, context: click.Context) -> str | None:
    """The variable that click reads where the option is not given, None if there is none."""
    option.show_envvar = True
    try:
        _, text = option.get_help_record(context) or ("", "")
    finally:
        option.show_envvar = False
    found = re.search(r"env var: (\w+)", text)
    return found[1] if found else None


def _describe(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```\n{context.command_path} {usage}\n```\n"
    yield _markdown(command.help or "")
    if command.epilog:
        yield _markdown(command.epilog)
    options = [p for p in command.params if isinstance(p, click.Option) and p.expose_value]
    if options:
        rows = [_row(option, context) for option in options]
        variables = any(row[1] for row in rows)
        titles = ["Option", "In the environment", "Default", "Meaning"]
        table = [titles, ["---"] * 4, *rows]
        shown = [row if variables else [row[0], *row[2:]] for row in table]
        yield "\n".join(f"| {' | '.join(row)} |" for row in shown) + "\n"


def _row(option: click.Option, context: click.Context) -> list[str]:
    names = ", ".join(f"`{name}`" for name in option.opts + option.secondary_opts)
    value = "" if option.is_flag else f" {_value(option, context)}"
    variable = environment_variable(option, context)
    text, default = _help(option)
    return [
        f"{names}{value}",
        f"`{variable}`" if variable else "",
        default,
        _escape(text + (" Required." if option.required else "")),
    ]


def _value(option: click.Option, context: click.Context) -> str:
    """What an option takes, as ``--help`` names it."""
    if option.metavar is not None:
        return _escape(option.metavar)
    if isinstance(option.type, click.Choice):
        return ", ".join(f"`{choice}`" for choice in option.type.choices)
    name = option.type.name.replace(" range", "").replace("integer", "n").upper()
    if isinstance(option.type, (click.IntRange, click.FloatRange)):
        low, high = option.type.min, option.type.max
        name += f", at least {low:g}" if high is None else f" from {low:g} to {high:g}"
        name += " (exclusive)" if option.type.max_open else ""
    return name


def _help(option: click.Option) -> tuple[str, str]:
    """The help without the default that some of it ends with, and the default."""
    text, _, written = (option.help or "").partition("[default: ")
    if written:
        return text.strip(), written.rstrip("]")
    if option.is_flag and not option.secondary_opts:
        return text, ""
    if not isinstance(option.default, (str, int, float, tuple)) or option.default == "":
        return text, ""  # none, or a mark of click's that stands for none
    if isinstance(option.default, bool):
        return text, f"`{option.opts[0] if option.default else option.secondary_opts[0]}`"
    default = option.default if isinstance(option.default, tuple) else (option.default,)
    return text, ", ".join(f"`{value}`" for value in default)


def _markdown(text: str) -> str:
    """Help as Markdown: paragraphs that begin with \\b keep their lines."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            lines = paragraph.removeprefix("\b").strip("\n").split("\n")
            if lines[0].endswith(":"):
                parts.append(lines[0])
                lines = lines[1:]
            parts.append("```\n" + inspect.cleandoc("\n".join(["", *lines])) + "\n```")
        else:
            parts.append(paragraph)
    return "\n\n".join(parts) + "\n"


def _escape(text: str) -> str:
    """Text in a cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
