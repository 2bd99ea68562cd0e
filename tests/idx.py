"""Small synthetic data sets in the four-file IDX layout of MNIST, for the tests."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt


def idx_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    """Return the contents of the IDX file of a uint8 array of any number of dimensions."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx_dataset(
    folder: str | os.PathLike[str],
    train: int = 5400,
    test: int = 300,
    size: tuple[int, int] = (28, 28),
    classes: int = 10,
    seed: int = 0,
    compress: bool = True,
) -> Path:
    """Write a data set that a small network learns in a few steps: one blob per class, and noise.

    The same arguments give the same files, byte for byte. The classes are equally frequent in each
    file, in random order.

    Args:
        folder: Where to write; made if it is not there.
        train: Images in the training file, of which the project takes 5,000 for validation.
        test: Images in the test file.
        size: Rows and columns of an image.
        classes: Number of classes.
        seed: Seed of the noise and of the order.
        compress: Whether to write `.gz` files instead of plain ones.

    Returns:
        The folder.

    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    blobs = _blobs(size, classes)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = rng.permutation(np.arange(count) % classes).astype(np.uint8)
        noise = rng.standard_normal((count, *size), dtype=np.float32)
        images = np.clip(blobs[labels] + 30 * noise, 0, 255).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = folder / f"{prefix}-{name}-ubyte{'.gz' if compress else ''}"
            contents = idx_bytes(array)
            # mtime=0: the time of writing would otherwise be in the file.
            path.write_bytes(gzip.compress(contents, 1, mtime=0) if compress else contents)
    return folder


def _blobs(size: tuple[int, int], classes: int) -> npt.NDArray[np.float32]:
    """Return [classes, rows, columns]: a Gaussian blob for each class, centres on a circle."""
    angles = 2 * np.pi * np.arange(classes) / classes
    rows = np.linspace(-1, 1, size[0])[None, :, None] - 0.7 * np.sin(angles)[:, None, None]
    columns = np.linspace(-1, 1, size[1])[None, None, :] - 0.7 * np.cos(angles)[:, None, None]
    return (200 * np.exp(-(rows**2 + columns**2) / (2 * 0.25**2))).astype(np.float32)
