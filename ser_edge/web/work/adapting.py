"""A profile from clips that a client sends, with what they tell of it; nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ser_edge.adapt import report
from ser_edge.adapt.fit import Clips, fit, judge, leave_out, profile_of

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier


def make(classifier: Classifier, clips: Sequence[tuple[Any, str]]) -> dict[str, Any]:
    """Adapt a model to labelled clips, as ``ser-edge adapt`` does.

    Args:
        classifier: the model, without a profile.
        clips: recordings, file objects with a name, and their emotions. Those without speech
            are left out, and named.

    Returns:
        An object for JSON: ``profile``, as its file holds it; ``gains``, whether it answers better
        than the model alone, null where the clips are too few to tell; ``recalls``, right answers
        by emotion; ``doubts``, clips that look mislabelled; ``left_out``, clips without speech.

    Raises:
        AudioError: a clip cannot be read.
        ModelError: the model cannot be adapted.
        ProfileError: there are too few emotions, or too many.
    """
    files: list[str] = []
    heard: list[tuple[Any, str]] = []
    left_out: list[dict[str, str]] = []
    for source, label in clips:
        observed = classifier.observe(source)
        if isinstance(observed, str):
            left_out.append({"file": source.name, "reason": observed})
        else:
            files.append(source.name)
            heard.append((observed, label))
    model = classifier.model
    labels = model.metadata.labels
    known = Clips.of(heard)
    fitted = fit(labels, known)
    answers = leave_out(labels, known, fitted.factor)
    judged = judge(labels, fitted.labels, known, answers)
    return {
        "profile": profile_of(model, known, fitted, judged).to_dict(),
        "gains": None if judged is None else judged.gains,
        "recalls": [recall._asdict() for recall in report.recalls(labels, known, answers)],
        "doubts": [
            {"file": files[d.place], "sounds_like": d.label, "probability": d.probability}
            for d in report.doubts(labels, known, answers)
        ],
        "left_out": left_out,
    }
