"""How unlike the training data a window is, and how much less sure the answer becomes by that.

Clips of the training corpora fill but a part of the space of the utterance embedding: a few dozen
principal components hold nearly all of it. Other people, rooms and microphones leave that part,
and there a network is as sure as ever, but seldom right. The measure is the reconstruction error
of the components over the norm of the embedding (Guan et al., "Revisit PCA-based technique for
out-of-distribution detection", ICCV 2023).
"""

from __future__ import annotations

import binascii  # lighter than base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ser_edge.errors import ModelError
from ser_edge.schema import Object

if TYPE_CHECKING:
    import numpy.typing as npt

_MAX_SLOPE = 1000.0  # no sensible model reaches it


class Familiarity(NamedTuple):
    """What of the utterance embedding is familiar, as the metadata of a model tell it."""

    components: str  # base64 of int8, shape (n_components, size): principal components, scaled
    limit: float  # of the unfamiliarity, up to which an answer is as sure as the model is
    slope: float  # of the temperature's logarithm above

    @classmethod
    def parse(cls, data: Mapping[str, Any], size: int) -> Familiarity:
        """Check the JSON object `familiarity`; the utterance embedding has `size` units.

        Raises:
            ModelError: naming the entry that is missing, unknown or out of range.
        """
        entry = Object(data, "familiarity")
        text = entry.value("components")
        limit, slope = entry.number("limit", 0.0, 1.0), entry.number("slope", 0.0, _MAX_SLOPE)
        entry.finish()
        try:
            components = decoded(text)
        except (TypeError, ValueError) as error:
            raise ModelError("familiarity.components is not base64") from error
        rows = components.size // size
        if not 0 < rows <= size or components.size % size:
            raise ModelError(f"familiarity.components must be 1 to {size} rows of {size} bytes")
        if not components.reshape(rows, size).any(axis=1).all():
            raise ModelError("familiarity.components has a row of zeros")
        return cls(text, limit, slope)

    def softening(self, unfamiliarity: float) -> float:
        """The factor of the temperature: 1 for what is familiar, more for what is less so.

        Example:
            >>> familiarity = Familiarity("", limit=0.5, slope=4.0)
            >>> [familiarity.softening(share) for share in (0.4, 0.5, 0.75)]
            [1.0, 1.0, 2.718281828459045]
        """
        return float(np.exp(self.slope * max(0.0, unfamiliarity - self.limit)))


class Subspace:
    """The part of the embedding's space that the training data fill.

    Args:
        components: integers, shape (n_components, size), of any scale, no row 0.

    Example:
        >>> Subspace(np.eye(1, 3)).unfamiliarity(np.array([3.0, 4.0, 0.0]))
        0.8
    """

    def __init__(self, components: npt.NDArray[Any]) -> None:
        rows = np.asarray(components, dtype=np.float64)
        self._components = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))

    @classmethod
    def of(cls, familiarity: Familiarity, size: int) -> Subspace:
        """That of a model's metadata."""
        return cls(decoded(familiarity.components).reshape(-1, size))

    def unfamiliarity(self, embedding: npt.NDArray[np.float64]) -> float:
        """The share of an embedding that the components leave over, from 0 to 1.

        Args:
            embedding: standardized, shape (size,).
        """
        whole = float((embedding**2).sum())
        # Not a product of matrices: forked children may not share what computes those.
        kept = float((np.einsum("ij,j->i", self._components, embedding) ** 2).sum())
        return float(np.sqrt(max(0.0, 1 - kept / whole))) if whole else 0.0


def decoded(components: str) -> npt.NDArray[np.int8]:
    """The integers of ``Familiarity.components``, one row after another.

    Raises:
        ValueError: the text is not base64.

    Example:
        >>> decoded(encoded(np.array([[1, -2]], dtype=np.int8)))
        array([ 1, -2], dtype=int8)
    """
    found = np.frombuffer(binascii.a2b_base64(components), dtype=np.int8)
    if encoded(found) != components:  # what is no base64 is passed over
        raise ValueError("not base64")
    return found


def encoded(components: npt.NDArray[np.int8]) -> str:
    """As ``Familiarity.components`` holds them."""
    return binascii.b2a_base64(components.tobytes(), newline=False).decode("ascii")
