"""``ser-edge-convert train``: the bundled model, from labelled recordings to a packed file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import click

from .. import frontends
from ..backend import compute_in_one_order
from ..train import architectures
from .options import index_option, progress, seed_option


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The model file to write.",
)
@index_option
@click.option(
    "--architecture",
    type=click.Choice(architectures.NAMES),
    default="deep",
    show_default=True,
    help="The network.",
)
@click.option(
    "--preset",
    type=click.Choice(frontends.NAMES),
    default="compact",
    show_default=True,
    help="The front end.",
)
@click.option(
    "--frontend",
    "frontend_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with a front end, as in a model's metadata; instead of a preset.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=50, show_default=True, help="Passes over the clips."
)
@click.option(
    "--copies",
    type=click.IntRange(0),
    default=6,
    show_default=True,
    help="Augmented copies of every training clip.",
)
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    metavar="NAME",
    help="Learn from this corpus alone; again for more of them. [default: from all]",
)
@click.option(
    "--teacher/--no-teacher",
    "taught",
    default=True,
    show_default=True,
    help="Learn from Whisper's encoder too, not from the labels alone.",
)
@seed_option()
@click.option("--name", default="default", show_default=True, help="The model's name.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for features and checkpoints. [default: ~/.cache/ser-edge]",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of this name.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Processes that compute features.",
)
def train(
    output: Path,
    index: Path | None,
    architecture: str,
    preset: str,
    frontend_file: Path | None,
    epochs: int,
    copies: int,
    corpora: tuple[str, ...],
    taught: bool,
    seed: int,
    name: str,
    cache: Path | None,
    resume: bool,
    jobs: int,
) -> None:
    """Train a model on labelled clips, quantize, measure and pack it.

    The clips of the split "train" teach; those of "dev", of all corpora, give the stated
    accuracy, the temperature and the threshold. The same command with the same seed gives the
    same model on the same machine.
    """
    # Read by libraries when they are loaded; the processes that compute features inherit it.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from ..corpus.clips import LABELS, choose, read_index

    # What can be wrong in the arguments comes before the wait for TensorFlow.
    clips = choose(read_index(index), corpora)
    spec = frontends.read(frontend_file) if frontend_file else frontends.preset(preset)
    compute_in_one_order()
    from ..export import source_model, tflite
    from ..export.flatbuffer import minimum_runtime, versions
    from ..train import dataset, fit, release, teacher

    cache = cache or dataset.default_cache()
    recipe = fit.Recipe(architecture=architecture, epochs=epochs, seed=seed)
    if architecture not in architectures.ANY_LENGTH:
        recipe = replace(recipe, crop_frames=0)
    lessons, card = None, {}
    if taught:
        lessons = teacher.lessons(
            clips,
            window_seconds=spec["window_seconds"],
            cache=cache,
            jobs=jobs,
            progress=progress("teacher"),
        )
        card["teacher"] = teacher.describe(lessons, clips)
        click.echo(json.dumps(card), err=True)
    else:
        recipe = replace(recipe, teacher_share=0.0, summary_weight=0.0, state_weight=0.0)
    data = dataset.load(
        clips,
        spec,
        copies=copies,
        seed=dataset.SEED,
        cache=cache,
        jobs=jobs,
        progress=progress("features"),
    )
    feature_axis = 0 if spec["layout"] == "features_frames" else 1
    spec["normalization"] = data.normalization(feature_axis=feature_axis)
    run = cache / "runs" / name
    model = fit.train(
        data,
        spec,
        recipe,
        folder=run,
        lessons=lessons,
        resume=resume,
        report=lambda line: click.echo(json.dumps(line), err=True),
    )
    shape = data.dev.shape[1:]
    flatbuffer = tflite.to_tflite(source_model.from_keras(model, "Keras"), shape, "dynamic")
    metadata = release.bundle(
        flatbuffer,
        {
            "format": 1,
            "name": name,
            "description": f"Six emotions from speech: {architecture} network, dynamic range",
            "labels": list(LABELS),
            "frontend": spec,
            "quantization": "dynamic",
            "minimum_runtime": minimum_runtime(flatbuffer),
            "converter": versions(),
            "training": {
                "corpora": release.describe_training(clips),
                "parameters": model.count_params(),
                "augmented_copies": copies,
                "recipe": asdict(recipe),
                **card,
            },
            "source_sha256": hashlib.sha256((run / fit.WEIGHTS).read_bytes()).hexdigest(),
        },
        clips,
        output,
        progress=progress("dev clips"),
    )
    click.echo(json.dumps(metadata.details["accuracy"], indent=1), err=True)
