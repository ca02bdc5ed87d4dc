"""README and docs: commands run, links lead somewhere, and figures are those of the model files."""

from __future__ import annotations

import ast
import doctest
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ser_edge.cli import program as edge_cli
from ser_edge.convert.cli import main as convert_cli
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.metadata import Metadata
from ser_edge.model_file import bundled_path, read_metadata
from tests.helpers.readme import ROOT, example, text

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
CORPORA = {
    "CREMA-D": "crema_d",
    "RAVDESS": "ravdess",
    "EMO-DB": "emo_db",
    "nEMO": "nemo",
    "ASED": "ased",
    "AESDD": "aesdd",
    "EYASE": "eyase",
    "TurEV-DB": "turev",
    "EmoTale": "emotale",
    "BanglaSER": "banglaser",
    "IESC": "iesc",
    "speechocean762": "speechocean",
    "Picovoice": "picovoice",
    "Pansori TEDxKR": "pansori",
    "emotiontts": "kor",
}
PROGRAMS: dict[str, click.Command] = {"ser-edge": edge_cli, "ser-edge-convert": convert_cli}

all_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> list[str]:
    """The contents of a page's code blocks in one of the languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [content for language, content in found if language in languages]


def table(page: str, first: str) -> list[dict[str, str]]:
    """The rows of the table whose first column is called `first`, by their columns' names."""
    found = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text(page), re.M)
    assert found, f"{page} has no table of {first}"
    header, _, *lines = (line[2:-2].split(" | ") for line in found[0].splitlines())
    return [dict(zip(header, line)) for line in lines]


# Commands.


def run(command: str) -> str:
    """What a command of ours prints."""
    _, *arguments = shlex.split(command)
    environment = {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "ser_edge", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    ).stdout.decode()


@pytest.mark.parametrize("name", ["first-command", "second-command"])
def test_the_two_commands_are_marked_for_ci(name: str) -> None:
    marked = rf"<!-- {name} -->\n```sh\n[^\n]+\n```\n<!-- end -->\n"
    assert len(re.findall(marked, text("README.md"))) == 1


def test_the_first_command_prints_what_is_shown() -> None:
    shown = run("ser-edge classify tests/data/synthetic.wav")
    assert f"```\n{shown}```" in text("README.md")


@all_pages
def test_consoles_show_what_is_printed(page: Path) -> None:
    checker = doctest.OutputChecker()
    for block in blocks(page, "console"):
        for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            printed = run(command)
            assert checker.check_output(shown, printed, doctest.ELLIPSIS), printed


def our_commands(page: Path) -> Iterator[list[str]]:
    """The words of every command of ours in a page's shell blocks."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\||&&|;", line):
                words = shlex.split(part, comments=True)
                while words and "=" in words[0] and not words[0].startswith("-"):
                    words.pop(0)  # the environment
                if words and Path(words[0]).name in PROGRAMS:
                    yield [Path(words[0]).name, *words[1:]]


@all_pages
def test_options_exist(page: Path) -> None:
    for program, *words in our_commands(page):
        command = PROGRAMS[program]
        assert isinstance(command, click.Group)
        context = click.Context(command)
        if words and not words[0].startswith("-"):
            found = command.get_command(context, words[0])
            assert found is not None, f"{program} {words[0]}"
            command = found
        known = {
            option
            for parameter in command.get_params(context)
            for option in [*parameter.opts, *parameter.secondary_opts]
        }
        used = {word for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{program} {' '.join(words)}"


def test_the_front_end_of_another_model_is_one() -> None:
    spec = FrontendSpec.parse(json.loads(example("docs/convert.md", "frontend")))
    assert Frontend(spec).shape == (130, 40)


# Links, paths and names.


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    without_code = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.M)
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@all_pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file), target


@all_pages
def test_programs_exist(page: Path) -> None:
    content = page.read_text("utf-8")
    for name in re.findall(r"\bpython (\S+\.py)", content):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"\bpython3? -m\s+(tests\.[\w.]+)", content):
        assert (ROOT / (name.replace(".", "/") + ".py")).is_file(), name
    for name in re.findall(r"`((?:tests|convert|ser_edge|docs|\.ci)/[\w./]*)`", content):
        assert (ROOT / name).exists(), name


def definitions(file: Path) -> set[str]:
    """Names of a module's functions and classes, and of their methods."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
            found |= {
                f"{node.name}.{member.name}"
                for member in node.body
                if isinstance(member, ast.FunctionDef)
            }
    return found


def test_the_architecture_s_names_exist() -> None:
    for row in table("docs/architecture.md", "what happens"):
        name = row["name"].strip("`")
        assert name in definitions(ROOT / row["file"].strip("`")), name


def test_every_page_is_in_the_index() -> None:
    linked = re.findall(r"\]\(([^)#]+\.md)\)", text("docs/README.md"))
    listed = {(ROOT / "docs" / name).resolve() for name in linked}
    assert set(PAGES) - listed == {ROOT / "docs/README.md"}


# Figures.


@pytest.fixture(scope="module")
def models() -> dict[str, Metadata]:
    return {name: read_metadata(bundled_path(name)) for name in ("default", "open")}


LEARNED = "trained on it? licence"


def figure(cell: str) -> float:
    """The number that a cell begins with."""
    return float(cell.split()[0])


def test_the_readme_s_recall_is_the_file_s(models: dict[str, Metadata]) -> None:
    measured = models["default"].details["accuracy"]["corpora"]
    rows = [row for row in table("README.md", "recordings") if row[LEARNED].startswith("yes")]
    *acted, ordinary = rows
    named = {row["recordings"].split(",")[0] for row in acted}
    assert {"CREMA-D", "RAVDESS", "EMO-DB", "nEMO"} <= named
    for row in acted:
        corpus = CORPORA[row["recordings"].split(",")[0]]
        assert figure(row["`default`"]) == round(100 * measured[corpus]["uar"], 1)
    emotional = models["default"].details["accuracy"]["ordinary_speech"]["emotional"]
    assert figure(ordinary["`default`"]) == round(100 * emotional, 1)


def test_the_accuracy_on_the_cards_is_the_files(models: dict[str, Metadata]) -> None:
    for model, header in (("default", "corpus, speakers not in training"), ("open", "corpus")):
        measured = models[model].details["accuracy"]["corpora"]
        stated = table(f"docs/models/{model}.md", header)
        assert {CORPORA[row[header].split(" (")[0]] for row in stated} == set(measured)
        for row in stated:
            of_corpus = measured[CORPORA[row[header].split(" (")[0]]]
            assert figure(row["accuracy"]) == round(100 * of_corpus["accuracy"], 1)
            if "UAR" in row:
                assert figure(row["UAR"]) == round(100 * of_corpus["uar"], 1)
            if "clips" in row:
                assert int(row["clips"]) == of_corpus["clips"]
                assert int(row["speakers"]) == of_corpus["speakers"]


def test_the_training_data_are_the_files(models: dict[str, Metadata]) -> None:
    trained = {
        name: {corpus["name"]: corpus for corpus in model.details["training"]["corpora"]}
        for name, model in models.items()
    }
    stated = table("docs/models/default.md", "corpus")
    assert len(stated) == len(trained["default"])
    for row in stated:
        corpus = CORPORA[re.split(r"[](,]", row["corpus"].lstrip("["))[0].strip()]
        data = trained["default"][corpus]
        assert row["speakers, clips"] == f"{data['speakers']}, {data['clips']}"
        assert row["licence"].strip("*") == data["licence"]
        assert row["in `open`"] == ("yes" if corpus in trained["open"] else "no")


@pytest.mark.parametrize("name", ["default", "open"])
def test_the_threshold_is_the_file_s(models: dict[str, Metadata], name: str) -> None:
    accuracy = models[name].details["accuracy"]
    (row,) = table(f"docs/models/{name}.md", "threshold")
    assert figure(row["threshold"]) == round(models[name].decision.threshold, 2)
    abstention = accuracy["abstention"]
    assert [figure(cell) for cell in list(row.values())[1:4]] == [
        round(100 * abstention[key]) for key in ("answered", "accuracy_answered", "accuracy_all")
    ]
    assert figure(row["expected calibration error"]) == round(accuracy["calibration_error"], 3)
