"""``ser-edge-convert model``: somebody's trained model becomes a file for ser-edge."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ser_edge.frontend import FrontendSpec
from ser_edge.metadata import QUANTIZATIONS

from .. import files, frontends, scaler
from ..export.pipeline import DisagreementError, ExpectationError, Options, convert_model
from ..export.tflite import AUTO
from ..export.verify import Verification
from .options import allow_code_option, architecture_option, progress

_GB = 2**30
_PATH = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("source")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The model file to write.",
)
@click.option("--preset", type=click.Choice(frontends.NAMES), help="The front end, by name.")
@click.option(
    "--frontend",
    "frontend_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The front end as JSON, in the form of a model's metadata.",
)
@click.option(
    "--scaler",
    "scaler_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the training data were normalized by: .npz or JSON with mean and scale.",
)
@click.option(
    "--labels",
    help="The labels in the order of the outputs, with commas between them; of one sigmoid "
    "output, that of 0, then that of 1.  "
    "[required, except with --preset seed]",
)
@architecture_option
@click.option(
    "--force-labels",
    is_flag=True,
    help="Take the labels in this order though --verify finds a far better one.",
)
@click.option("--name", help="The model's name.  [default: the source's]")
@click.option("--description", default="", help="One line about the model.")
@click.option("--licence", default="", help="The terms of the model and of its training data.")
@click.option(
    "--quantize",
    type=click.Choice((AUTO, *QUANTIZATIONS)),
    default=Options.quantization,
    show_default=True,
    help="How the weights are stored; auto: as small as the answers for the recordings of "
    "--calibrate, --verify or --expect allow, or else dynamic.",
)
@click.option(
    "--calibrate",
    type=_PATH,
    help="Typical recordings for int8 and for the embedding: an index, or a folder of audio.",
)
@click.option(
    "--embedding",
    metavar="LAYER",
    help="With --calibrate: whose activation lets ser-edge adapt the model.  "
    "[default: the last hidden layer, where that is plain]",
)
@click.option(
    "--verify", type=_PATH, help="Recordings to verify with: an index, or a folder of audio."
)
@click.option(
    "--expect",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the author's own code gives for recordings: a CSV with the columns path and label, "
    "or a column of scores for every label, to compare ser-edge classify with.",
)
@click.option(
    "--hop",
    "hop_seconds",
    type=click.FloatRange(0.01),
    help="Seconds from one window of a long recording to the next.  [default: half a window]",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0.0, 1.0),
    default=Options.min_agreement,
    show_default=True,
    help="Share of the recordings that must get the source model's label, and the expected one, or "
    "nothing is written.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the verification's figures as JSON.",
)
@allow_code_option
@click.option(
    "--time-limit",
    type=click.FloatRange(1.0),
    default=Options.time_limit,
    show_default=True,
    help="Seconds after which TensorFlow's conversion is stopped.",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(0.1),
    default=Options.memory_limit / _GB,
    show_default=True,
    help="GB that TensorFlow may take.",
)
def model(
    source: str,
    output: Path,
    preset: str | None,
    frontend_file: Path | None,
    scaler_file: Path | None,
    labels: str | None,
    architecture: Path | None,
    force_labels: bool,
    name: str | None,
    description: str,
    licence: str,
    quantize: str,
    calibrate: Path | None,
    embedding: str | None,
    verify: Path | None,
    expect: Path | None,
    hop_seconds: float | None,
    min_agreement: float,
    report: Path | None,
    allow_code: bool,
    time_limit: float,
    memory_limit: float,
) -> None:
    """Convert SOURCE, a trained Keras model, quantize it and verify it on real speech.

    SOURCE is a .h5 or .keras file of Keras 2 or 3, a SavedModel folder, or a file in the hub,
    hf://OWNER/REPO/FILE. OUTPUT is written when it agrees with SOURCE.
    """
    if (preset is None) == (frontend_file is None):
        raise click.UsageError("state the front end: either --preset or --frontend")
    in_order = labels.split(",") if labels is not None else frontends.LABELS.get(str(preset))
    if in_order is None:
        raise click.UsageError(
            "state the labels in the order of the model's outputs: --labels calm,excited,bored "
            "(scikit-learn's LabelEncoder sorts them by alphabet)"
        )
    if quantize == "int8" and calibrate is None:
        raise click.UsageError("--quantize int8 needs --calibrate")
    if embedding is not None and calibrate is None:
        raise click.UsageError("--embedding needs --calibrate")
    if report is not None and verify is None and expect is None:
        raise click.UsageError("--report needs --verify or --expect")
    spec = frontends.read(frontend_file) if frontend_file else frontends.preset(str(preset))
    if scaler_file is not None:
        spec = scaler.add(FrontendSpec.parse(spec), scaler_file).to_dict()
    options = Options(
        spec=spec,
        labels=[label.strip() for label in in_order],
        architecture=architecture,
        force_labels=force_labels,
        name=name or Path(source.rstrip("/")).stem,
        description=description,
        licence=licence,
        quantization=quantize,
        calibrate=calibrate,
        embedding=embedding,
        verify=verify,
        expect=expect,
        hop_seconds=hop_seconds,
        min_agreement=min_agreement,
        allow_code=allow_code,
        time_limit=time_limit,
        memory_limit=int(memory_limit * _GB),
    )
    try:
        verification = convert_model(source, output, options, progress=_tell, counters=progress)
    except (DisagreementError, ExpectationError) as error:
        _show(error.verification, report)
        raise
    if verification is None:
        _tell("not verified: state recordings with --verify or --expect")
    else:
        _show(verification, report)
    _tell(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _show(verification: Verification, report: Path | None) -> None:
    click.echo(verification.table())
    if report is not None:
        files.write_text(report, json.dumps(verification.to_dict(), indent=1) + "\n")
