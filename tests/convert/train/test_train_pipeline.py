from __future__ import annotations

import pytest

from ser_edge.convert.train import architectures, pipeline
from ser_edge.errors import SerEdgeError


@pytest.mark.parametrize("architecture", architectures.NAMES)
def test_every_architecture_can_be_configured_without_a_teacher(architecture: str) -> None:
    config = pipeline.configure(architecture, with_teacher=False, epochs=3)
    assert (config.architecture, config.epochs) == (architecture, 3)
    assert not config.needs_teacher
    assert bool(config.crop_frames) == (architecture in architectures.ANY_LENGTH)


@pytest.mark.parametrize("architecture", architectures.NAMES)
def test_only_networks_with_embeddings_can_be_configured_with_one(architecture: str) -> None:
    if architecture in architectures.WITH_EMBEDDINGS:
        assert pipeline.configure(architecture, with_teacher=True).needs_embeddings
    else:
        with pytest.raises(SerEdgeError, match="only learn without teacher"):
            pipeline.configure(architecture, with_teacher=True)
