"""``ser-edge-convert index``: the list of labelled clips of a corpus, from its original folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from ..corpus.indexing import MIN_LEVEL_DBFS, Faults, build, write
from ..corpus.naming import SCHEMES
from .options import progress, seed_option

_EXAMPLES = 3


@click.command()
@click.argument("corpus", type=click.Choice(tuple(SCHEMES)))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The index to write; its paths are relative to its folder.  [default: FOLDER/index.csv]",
)
@click.option("--force", is_flag=True, help="Replace an index that exists.")
@click.option(
    "--dev-share",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Share of the speakers that become the split dev.",
)
@seed_option("Of the choice of these speakers.")
@click.option(
    "--other-labels",
    is_flag=True,
    help="Keep emotions beyond the six of the bundled models.",
)
def index(
    corpus: str,
    folder: Path,
    output: Path | None,
    force: bool,
    dev_share: float,
    seed: int,
    other_labels: bool,
) -> None:
    """List a corpus's labelled clips in an index.csv.

    FOLDER holds CORPUS as it was published. Speaker and emotion are read from the names. Faulty
    recordings are left out and reported on standard error: a name that fits no scheme, silence,
    unreadable files, the same sound under two emotions. No speaker is in both splits.
    """
    output = output or folder / "index.csv"
    if output.exists() and not force:
        raise click.ClickException(f"{output} exists: replace it with --force, or name another")
    if not output.parent.is_dir():
        raise click.ClickException(f"there is no folder {output.parent}")
    entries, faults = build(
        corpus,
        folder,
        dev_share=dev_share,
        seed=seed,
        other_labels=other_labels,
        progress=progress("recordings"),
    )
    write(entries, corpus, output)
    for line in _describe(corpus, faults):
        click.echo(line, err=True)
    for split in ("train", "dev"):
        chosen = [entry.name for entry in entries if entry.split == split]
        labels = Counter(name.label for name in chosen)
        speakers = len({name.speaker for name in chosen})
        counts = ", ".join(f"{count} {label}" for label, count in labels.most_common())
        click.echo(f"{split}: {len(chosen)} clips, {speakers} speakers: {counts or '-'}", err=True)


def _describe(corpus: str, faults: Faults) -> list[str]:
    """A line for each kind of fault."""
    form = SCHEMES[corpus].example
    lines = [
        _line(faults.no_scheme, f"left out: the name is not as in {form}"),
        _line(faults.unreadable, "left out: unreadable"),
        _line(faults.silent, f"left out: silence (below {MIN_LEVEL_DBFS:g} dBFS)"),
        _line(
            [" = ".join(map(str, paths)) for paths in faults.contradictory],
            "left out: the same sound under two emotions or speakers",
        ),
        _line(faults.same_name, "taken once: the same name again"),
        _line(faults.same_sound, "taken once: the same sound again"),
    ]
    if faults.other_label:
        counts = ", ".join(f"{count} {label}" for label, count in faults.other_label.items())
        lines.append(f"left out: other emotions ({counts}); --other-labels keeps them")
    return [line for line in lines if line]


def _line(found: Iterable[object], what: str) -> str:
    """How many, and the first few; empty for none."""
    names = [str(entry) for entry in found]
    if not names:
        return ""
    rest = ", ..." if len(names) > _EXAMPLES else ""
    return f"{len(names)} {what}: {', '.join(names[:_EXAMPLES])}{rest}"
