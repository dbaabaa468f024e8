"""The models that come with the program."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A sample model: its file, title and one sentence about it."""

    path: Path
    title: str
    text: str


_TEXTS = {
    "lenet-300-100": ("LeNet-300-100", "Handwritten digits, three fully connected layers, 267 k weights"),
    "lenet-5": ("LeNet-5", "Handwritten digits, convolutions and fully connected layers, 431 k weights"),
}


def sample_data(path: Path) -> Path | None:
    """The digits that come with the samples, for a sample; None for other models."""
    if not any(sample.path == path.absolute() for sample in samples()):
        return None
    return next(path.absolute().parent.glob("*images-idx3-ubyte.gz"), None)


def samples() -> list[Sample]:
    """The samples that are installed."""
    folder = Path(str(files("resources").joinpath("samples")))
    return [Sample(folder / f"{n}.pb", *words) for n, words in _TEXTS.items() if (folder / f"{n}.pb").is_file()]
