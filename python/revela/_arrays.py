"""Numbers as numpy has them, and as the compiled part takes and gives them: f32, row-major, as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def as_float32(numbers: Any, what: str, dimensions: int) -> Vectors:
    """The numbers as contiguous f32 with so many dimensions; a view where they are that already.

    Raises ValueError for other shapes, and for numbers that are not real.
    """
    try:
        array = np.asarray(numbers)
    except ValueError as error:
        raise ValueError(f"{what} are no array: {error}") from None
    if array.dtype.kind not in "fiu" and array.size:
        raise ValueError(f"{what} hold {array.dtype}, but must hold real numbers")
    if array.ndim != dimensions:
        raise ValueError(f"{what} have the shape {array.shape}, but must have {dimensions} dimension{'s' * (dimensions > 1)}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def from_bytes(data: bytearray, dimension: int) -> Vectors:
    """The rows that the compiled part gave, without copying them."""
    return np.frombuffer(data, dtype=np.float32).reshape(-1, dimension)
