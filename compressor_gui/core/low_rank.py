"""Weights as the product of two smaller matrices: what each rank keeps, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LowRank:
    """The singular value decomposition of a matrix W [m, n]: ``left`` [m, k], ``values`` [k] falling, ``right`` [k, n],
    k = min(m, n), so that W = left * values @ right. Float64."""

    left: np.ndarray
    values: np.ndarray
    right: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray) -> LowRank:
        """Decompose, by the eigenvectors of the smaller of W'W and WW': faster than a full decomposition, and exact
        enough for every value above 1e-7 of the largest. Each vector's largest entry is positive."""
        wide = matrix.shape[0] < matrix.shape[1]
        tall = np.asarray(matrix.T if wide else matrix, np.float64)
        squares, vectors = np.linalg.eigh(tall.T @ tall)
        squares, vectors = np.maximum(squares[::-1], 0), vectors[:, ::-1]
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
        values = np.sqrt(squares)
        other = tall @ vectors / np.where(values > 0, values, 1)
        return LowRank(vectors, values, other.T) if wide else LowRank(other, values, vectors.T)

    @property
    def errors(self) -> np.ndarray:
        """|W - W_r| / |W| (Frobenius) of every rank r from 0 to k (Eckart and Young: no matrix of this rank is
        closer)."""
        energy = np.square(self.values)
        left = np.append(np.cumsum(energy[::-1])[::-1], 0.0)
        whole: np.ndarray = np.sqrt(left / (left[0] or 1.0))
        return whole

    def rank_for(self, error: float) -> int:
        """The lowest rank, at least 1, whose error is at most ``error``."""
        return max(1, int(np.argmax(self.errors <= error + 1e-12)))

    def factors(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Two float32 matrices, [m, rank] and [rank, n], of equal scale, whose product is the closest of this rank."""
        roots = np.sqrt(self.values[:rank])
        return (self.left[:, :rank] * roots).astype(np.float32), (roots[:, None] * self.right[:rank]).astype(np.float32)
