"""``ser-edge-convert inspect``: what is in a model file, and what can run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def inspect(file: Path, as_json: bool) -> None:
    """Show what FILE, a .tflite, is made of, says of itself, and can run in."""
    from ..export import inspection

    found = inspection.inspect(file)
    click.echo(json.dumps(found, indent=1) if as_json else _describe(file, found))


def _describe(file: Path, found: dict[str, Any]) -> str:
    total = sum(found["bytes"].values())
    lines = [f"{file}: {total:,} bytes"]
    lines += [f"  {part:<10} {size:>12,}" for part, size in found["bytes"].items()]
    for role in ("inputs", "outputs"):
        lines += [f"{role}:", *(f"  {_tensor(entry)}" for entry in found[role])]
    lines += ["operators:"]
    lines += [f"  {op['count']:>4} x {op['name']} v{op['version']}" for op in found["operators"]]
    lines += ["tensors:"]
    lines += [
        f"  {entry['count']:>4} x {name.lower():<8} {entry['bytes']:>12,} bytes"
        for name, entry in found["tensors"].items()
    ]
    lines += [f"needs TensorFlow Lite {found['minimum_runtime'] or '(not noted)'} or later"]
    lines += [f"  {name} {_runtime(entry)}" for name, entry in found["runtimes"].items()]
    if found["metadata"] is None:
        lines += ["metadata: none (ser-edge runs only what ser-edge-convert wrote)"]
    else:
        lines += ["metadata:", *_metadata(found["metadata"])]
    return "\n".join(lines)


def _tensor(entry: dict[str, Any]) -> str:
    shape = " x ".join(map(str, entry["shape"]))
    text = f"{entry['name']}: {entry['type'].lower()} {shape}"
    if entry["scale"] is not None:
        text += f", scale {entry['scale']:g}, zero point {entry['zero_point']}"
    return text


def _runtime(entry: dict[str, Any]) -> str:
    outcome = "runs it" if entry["runs"] else entry["reason"]
    return f"{entry['version']}: {outcome}" if entry["version"] else str(outcome)


def _metadata(data: dict[str, Any]) -> list[str]:
    lines = []
    for key, value in data.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"  {key}: {text}")
    return lines
