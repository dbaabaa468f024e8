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


def samples() -> list[Sample]:
    """The samples that are installed."""
    folder = Path(str(files("resources").joinpath("samples")))
    return [Sample(folder / f"{n}.pb", *words) for n, words in _TEXTS.items() if (folder / f"{n}.pb").is_file()]
