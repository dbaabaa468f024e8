"""The models that come with the program, each with examples of its own."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

_DIGITS = "t10k-1000-images-idx3-ubyte.gz"
_FASHION = "fashion/data.json"
_SAMPLES = {
    "lenet-300-100": ("LeNet-300-100", "Handwritten digits, three fully connected layers, 267 k weights", _DIGITS),
    "lenet-5": ("LeNet-5", "Handwritten digits, two convolutions, two dense layers, 431 k weights", _DIGITS),
    "resnet-20": ("ResNet-20", "Clothes, residual blocks with batch normalisation, 271 k weights", _FASHION),
    "mobilenet-v2-small": (
        "MobileNet v2, small",
        "Clothes, depthwise convolutions in inverted residuals, 165 k weights",
        _FASHION,
    ),
}
"""File -> title, sentence, and what describes its examples."""


@dataclass(frozen=True)
class Sample:
    """A sample model: its file, title, one sentence about it, and its examples (a file, or a description of some)."""

    path: Path
    title: str
    text: str
    data: Path


def sample_data(path: Path) -> Path | None:
    """The examples that come with a sample; None for other models."""
    return next((sample.data for sample in samples() if sample.path == path.absolute() and sample.data.is_file()), None)


def samples() -> list[Sample]:
    """The samples that are installed."""
    folder = Path(str(files("resources").joinpath("samples")))
    found = [
        Sample(folder / f"{name}.pb", title, text, folder / data) for name, (title, text, data) in _SAMPLES.items()
    ]
    return [sample for sample in found if sample.path.is_file()]
