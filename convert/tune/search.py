"""The search: training runs with other hyper-parameters, judged on speakers left out of training.

The dev speakers are not looked at: their accuracy is what ``train`` states afterwards, and it would
be too good if anything had been chosen by it. Of the training speakers a fifth is left out instead.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from ser_edge.errors import DependencyError, SerEdgeError

from ..backend import compute_in_one_order, tensorflow
from ..corpus.clips import Clip
from ..corpus.splitting import Row, dev_rows
from ..train import checks, dataset, fit, pipeline, teacher
from ..train.config import TrainingConfig

_STUDY = "tune"
_SETTINGS = "settings"  # what must be the same when a search goes on
_WARMUP_TRIALS, _WARMUP_SHARE = 5, 0.3  # before which no run is given up

Progress = Callable[[str], Callable[[int, int], None]]


class Trial(NamedTuple):
    """One training run of the search."""

    number: int  # in the order in which they ran, from 0: the one with the defaults
    uar: float  # on the left-out speakers, mean over the corpora, 0 to 1; the best if given up
    finished: bool  # False where it was given up, being worse than most were at that epoch
    settings: dict[str, Any]  # the hyper-parameters that the search chooses


# What is chosen, and from where: settings of TrainingConfig.
SPACE: dict[str, Callable[[Any, str], Any]] = {
    "learning_rate": lambda trial, name: trial.suggest_float(name, 3e-4, 1e-2, log=True),
    "batch_size": lambda trial, name: trial.suggest_categorical(name, [16, 32, 64]),
    "weight_decay": lambda trial, name: trial.suggest_float(name, 1e-4, 1e-1, log=True),
    "mixup": lambda trial, name: trial.suggest_float(name, 0.0, 0.4),
    "label_smoothing": lambda trial, name: trial.suggest_float(name, 0.0, 0.2),
    "mask_frames": lambda trial, name: trial.suggest_int(name, 0, 24),
    "clean_fraction": lambda trial, name: trial.suggest_float(name, 0.2, 1.0),
}
_OF_COPIES = ("clean_fraction",)  # matter where there are augmented copies


def leave_out(clips: Sequence[Clip]) -> list[Clip]:
    """The training clips, a fifth of whose speakers now is ``dev``."""
    train = [clip for clip in clips if clip.split == "train"]
    left_out = dev_rows([Row(clip.corpus, clip.speaker, clip.label) for clip in train])
    return [
        replace(clip, split="dev" if place in left_out else "train")
        for place, clip in enumerate(train)
    ]


def search(
    clips: Sequence[Clip],
    spec: dict[str, Any],
    config: TrainingConfig,
    storage: Path,
    *,
    trials: int,
    copies: int,
    cache: Path,
    jobs: int = 2,
    progress: Progress = lambda what: lambda done, total: None,
    report: Callable[[Trial], None] = lambda trial: None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Trial]:
    """Search with Optuna's tree-structured Parzen estimator (Akiba et al. 2019).

    The first run has the settings of ``config``. One that is worse than the median of those before
    it, at the same epoch, is given up.

    Args:
        clips: as for training; those of "dev" are not looked at.
        spec: the front end, as in a model's metadata.
        config: what the search does not choose; its seed is the search's too.
        storage: file that keeps the search; one that exists is gone on with.
        trials: how many runs there are to be, those in the file included.
        copies: augmented copies of every training clip.
        cache: folder for features and embeddings.
        jobs: processes that compute features.
        progress: makes the callbacks for the slow parts.
        report: called with every run.
        tell: called with what is worth knowing before it starts.

    Returns:
        The runs, best first.

    Raises:
        SerEdgeError: the clips cannot be learned from, or the file is of another search.
        ser_edge.errors.DependencyError: Optuna, TensorFlow or Whisper's weights are not installed.
        ser_edge.errors.AudioError: a clip cannot be read.
    """
    optuna = _optuna()
    clips = leave_out(clips)
    for note in checks.check(clips, spec, config, progress("recordings")):
        tell(note)
    settings = {"config": asdict(config), "copies": copies, "data": _key(clips, spec)}
    study = _open(optuna, storage, settings, config)
    names = [name for name in SPACE if copies or name not in _OF_COPIES]
    if not study.trials:
        study.enqueue_trial({name: getattr(config, name) for name in names})
    compute_in_one_order()
    targets = None
    if config.needs_teacher:
        targets = teacher.compute_targets(
            clips,
            window_seconds=spec["window_seconds"],
            cache=cache,
            jobs=jobs,
            progress=progress("teacher"),
        )
    data = dataset.load(
        clips, spec, copies=copies, cache=cache, jobs=jobs, progress=progress("features")
    )
    normalized = pipeline.normalized(spec, data)

    def run(trial: Any) -> float:
        last = 0.0

        def judge(line: dict[str, Any]) -> None:
            nonlocal last
            last = float(line["uar"])
            trial.report(last, line["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned

        tensorflow().keras.backend.clear_session()
        chosen = replace(config, **{name: SPACE[name](trial, name) for name in names})
        with tempfile.TemporaryDirectory(prefix="ser-edge-tune-") as folder:
            fit.train(data, normalized, chosen, folder=Path(folder), targets=targets, report=judge)
        return last

    def done(_: Any, trial: Any) -> None:
        report(_as_trial(trial))

    study.optimize(run, n_trials=max(0, trials - len(_ended(study))), callbacks=[done])
    found = [_as_trial(trial) for trial in _ended(study)]
    return sorted(found, key=lambda trial: (not trial.finished, -trial.uar))


def _open(optuna: Any, storage: Path, settings: dict[str, Any], config: TrainingConfig) -> Any:
    """The study in a file, or a new one."""
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        kept = optuna.storages.JournalStorage(JournalFileBackend(str(storage)))
        study = optuna.create_study(
            study_name=_STUDY, storage=kept, direction="maximize", load_if_exists=True
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SerEdgeError(f"{storage} holds no search of ser-edge-convert tune") from error
    known = study.user_attrs.get(_SETTINGS)
    if known is None:
        study.set_user_attr(_SETTINGS, settings)
    elif known != settings:
        raise SerEdgeError(
            f"the search in {storage} had other settings or recordings: give it another file"
        )
    for trial in study.trials:  # what was interrupted
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    # Of a seed alone, a search that goes on would draw what it has drawn before.
    study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials))
    study.pruner = optuna.pruners.MedianPruner(
        n_startup_trials=_WARMUP_TRIALS, n_warmup_steps=int(_WARMUP_SHARE * config.epochs)
    )
    return study


def _ended(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _as_trial(trial: Any) -> Trial:
    uar = trial.value
    if uar is None:
        uar = max(trial.intermediate_values.values(), default=0.0)
    return Trial(trial.number, float(uar), trial.state.name == "COMPLETE", dict(trial.params))


def _key(clips: Sequence[Clip], spec: dict[str, Any]) -> str:
    rows = [(str(clip.path), clip.label, clip.speaker, clip.split) for clip in clips]
    return hashlib.sha256(json.dumps([rows, spec], sort_keys=True).encode()).hexdigest()[:16]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise DependencyError(
            f"the search needs Optuna: pip install 'ser-edge[tune]' ({error})"
        ) from error
    return optuna
