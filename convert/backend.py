"""TensorFlow with Keras 2, imported late, quietly and on the processor alone."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ser_edge import __version__
from ser_edge.errors import DependencyError


def tensorflow() -> Any:
    """The module ``tensorflow``, whose ``keras`` is Keras 2 whatever the release.

    Keras 3 does not write LSTMs that TensorFlow Lite can fuse; Keras 2 does, as part of
    TensorFlow until 2.15 and as ``tf_keras`` after it.

    Raises:
        DependencyError: TensorFlow or tf_keras is missing.
    """
    has_tf_keras = importlib.util.find_spec("tf_keras") is not None
    # Read when TensorFlow is imported, so they cannot be set later.
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    if has_tf_keras:
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
    try:
        import tensorflow as tf
    except ImportError as error:
        raise DependencyError(
            f"converting needs TensorFlow: pip install 'ser-edge[convert]' ({error})"
        ) from error
    major, minor = (int(part) for part in tf.__version__.split(".")[:2])
    if (major, minor) > (2, 15) and not has_tf_keras:
        raise DependencyError(
            f"TensorFlow {tf.__version__} needs tf_keras beside it: pip install tf_keras"
        )
    return tf


def versions() -> dict[str, str]:
    """The versions of what converts, for a model's metadata."""
    return {"ser_edge": __version__, "tensorflow": tensorflow().__version__}


def compute_in_one_order() -> None:
    """Make TensorFlow deterministic, so that one seed gives one model, and use one core."""
    tf = tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
