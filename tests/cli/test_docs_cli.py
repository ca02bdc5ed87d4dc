"""docs/cli.md says what the commands say of themselves, and needs no TensorFlow for it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from ser_edge import cli

SCRIPT = Path(__file__).parents[2] / "docs" / "generate_cli.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    specification = importlib.util.spec_from_file_location("generate_cli", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator: ModuleType) -> None:
    written = generator.PAGE.read_text(encoding="utf-8")
    assert written == generator.page(), "run python docs/generate_cli.py"


def test_the_generator_needs_no_tensorflow() -> None:
    script = (
        "import runpy, sys\n"
        "sys.modules.update(tensorflow=None, keras=None, tf_keras=None)\n"
        f"page = runpy.run_path({str(SCRIPT)!r})['page']()\n"
        "assert '### ser-edge-convert train' in page\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_has_the_variable_of_its_own_name(name: str, generator: ModuleType) -> None:
    group = click.Context(cli.program, info_name="ser-edge", auto_envvar_prefix="SER_EDGE")
    command = cli.program.get_command(group, name)
    assert command is not None
    context = click.Context(command, group, name)
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert options
    for option in options:
        spelled = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
        expected = f"SER_EDGE_{name.upper()}_{spelled}"
        assert generator.environment_variable(option, context) == expected
