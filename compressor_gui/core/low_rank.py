"""Weights as the product of two smaller matrices: what each rank keeps, and the factors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The singular values of a matrix W [m, n]: ``values`` [k] falling, k = min(m, n), float64. They tell what every
    rank keeps, in a fraction of the time that the factors take."""

    values: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray) -> Spectrum:
        """The square roots of the eigenvalues of the smaller of W'W and WW': exact enough for every value above 1e-7 of
        the largest."""
        return Spectrum(_values(np.linalg.eigvalsh(_squares(matrix))))

    @cached_property
    def errors(self) -> np.ndarray:
        """|W - W_r| / |W| (Frobenius) of every rank r from 0 to k (Eckart and Young: no matrix of this rank is
        closer)."""
        energy = np.square(self.values)
        left = np.append(np.cumsum(energy[::-1])[::-1], 0.0)
        whole: np.ndarray = np.sqrt(left / (left[0] or 1.0))
        return whole

    @cached_property
    def energy(self) -> np.ndarray:
        """|W_r|^2 / |W|^2 of every rank r from 0 to k: 1 - error^2."""
        whole: np.ndarray = 1 - np.square(self.errors)
        return whole

    def rank_for(self, error: float) -> int:
        """The lowest rank, at least 1, whose error is at most ``error``."""
        return max(1, int(np.argmax(self.errors <= error + 1e-12)))


@dataclass(frozen=True, eq=False)
class LowRank:
    """The singular value decomposition of a matrix W [m, n] = L * values @ R, of which only one side is kept:
    ``vectors`` [k, k], float64, are the columns of R' where m >= n, else those of L; the other follows from W."""

    matrix: np.ndarray
    spectrum: Spectrum
    vectors: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray) -> LowRank:
        """Decompose, as :meth:`Spectrum.of` does. Each vector's largest entry is positive."""
        squares, vectors = np.linalg.eigh(_squares(matrix))
        vectors = vectors[:, ::-1]
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
        return LowRank(matrix, Spectrum(_values(squares)), vectors)

    def factors(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Two float32 matrices, [m, rank] and [rank, n], of equal scale, whose product is the closest of this rank."""
        vectors, values = self.vectors[:, :rank], self.spectrum.values[:rank]
        roots = np.sqrt(values)
        near, far = vectors * roots, _tall(self.matrix) @ vectors / np.where(values > 0, roots, 1)
        left, right = (near, far.T) if _is_wide(self.matrix) else (far, near.T)
        return np.ascontiguousarray(left, np.float32), np.ascontiguousarray(right, np.float32)


def _is_wide(matrix: np.ndarray) -> bool:
    return bool(matrix.shape[0] < matrix.shape[1])


def _tall(matrix: np.ndarray) -> np.ndarray:
    """The matrix with its shorter side across, in float64."""
    return np.asarray(matrix.T if _is_wide(matrix) else matrix, np.float64)


def _squares(matrix: np.ndarray) -> np.ndarray:
    """The smaller of W'W and WW'."""
    tall = _tall(matrix)
    found: np.ndarray = tall.T @ tall
    return found


def _values(squares: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt(np.maximum(squares[::-1], 0))
    return found
