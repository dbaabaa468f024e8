"""The options by which commands are told where examples come from: a description, or TensorFlow's own flags."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Command, Console, with_options
from compressor_gui.core import datafiles
from compressor_gui.core.data import LAYOUTS, ORDERS, SPLITS, DataSpec, find_input, guess, load_or_guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph

_SIZE = click.IntRange(1, 16384)
_INPUT = (
    click.option("--input_layer", help="The placeholder to feed, where it is not the one that looks like a picture."),
    click.option("--input_width", type=_SIZE, help="Resize pictures to this width."),
    click.option("--input_height", type=_SIZE, help="Resize pictures to this height."),
    click.option("--input_mean", type=float, help="The network is fed (value - mean) / std, values from 0 to 255."),
    click.option("--input_std", type=float, help="See --input_mean."),
    click.option("--crop", type=float, help="The central part of each picture that is kept, a fraction."),
    click.option("--order", type=click.Choice(ORDERS), help="The order of the colours."),
    click.option("--layout", type=click.Choice(LAYOUTS), help="The order of the input's axes."),
)
_EXAMPLES = (
    click.option("--data", metavar="DATA", help="A description of data (.json), or a folder or file of examples."),
    click.option("--images", metavar="DATA", help="The same as --data, for a folder or file of examples."),
    click.option("--labels", metavar="FILE", help="The classes' names, or which class each example is."),
    click.option("--limit", type=click.IntRange(0), help="The largest number of examples; 0 is all."),
    click.option("--split", type=click.Choice(SPLITS), help="The part of the examples to take, as --seed cuts it."),
    click.option("--seed", type=int, help="Decides the split."),
)
_FIELDS = {
    "input_width": "width",
    "input_height": "height",
    "input_mean": "mean",
    "input_std": "std",
    **{name: name for name in ("crop", "order", "layout", "limit", "split", "seed")},
}
"""Option -> field of DataSpec."""

with_scheduler = click.option(
    "--scheduler", metavar="ADDRESS", default="", help="Where to measure: a Dask scheduler (tcp://...), or processes:N."
)
"""Gives a command ``scheduler``, the address."""


@dataclass(frozen=True)
class DataOptions:
    """What the command line says about the data; ``fields`` are the fields of DataSpec that it sets."""

    path: str
    input_layer: str = ""
    labels: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    def spec(self, graph: ModelGraph, console: Console) -> DataSpec:
        """The description for this graph; what was guessed is said. Raises CompressorError."""
        described = self.path.lower().endswith(".json")
        spec = load_or_guess(self.path, graph) if described else guess(graph, self.path, self.input_layer)
        set_here = dict(self.fields)
        if self.labels:
            set_here["targets" if datafiles.are_targets(self.labels) else "names"] = str(Path(self.labels).absolute())
        if described and self.input_layer:
            set_here["input"] = find_input(graph, self.input_layer).name
        spec = dataclasses.replace(spec, **set_here)
        spec.check("the options")
        if not described:
            console.note(f"data, as guessed where no option says it: {spec.summary}")
        return spec


def with_data(command: Command) -> Command:
    """Give a command ``--data`` and the single options; it gets them as ``data``, DataOptions."""

    @functools.wraps(command)
    def run(*args: Any, data: DataOptions | None, **kwargs: Any) -> Any:
        if data is None:
            raise CompressorError("give --data", hint="a folder or file of examples, or a description (.json)")
        return command(*args, data=data, **kwargs)

    return with_optional_data(run)  # type: ignore[return-value]


def with_optional_data(command: Command) -> Command:
    """The same, for a command that can do without; ``data`` is None then."""

    @functools.wraps(command)
    def run(*args: Any, data: str | None, images: str | None, labels: str | None, **kwargs: Any) -> Any:
        if data is not None and images is not None:
            raise CompressorError("--data and --images are the same", hint="leave one of them out")
        path = images if data is None else data
        options, rest = _taken(kwargs, path or "", labels)
        return command(*args, data=None if path is None else options, **rest)

    return with_options((*_EXAMPLES, *_INPUT))(run)  # type: ignore[return-value]


def with_input(command: Command) -> Command:
    """Give a command that has ``--image`` and ``--labels`` the options of the input; it gets ``data``, DataOptions."""

    @functools.wraps(command)
    def run(*args: Any, image: str, labels: str | None, **kwargs: Any) -> Any:
        options, rest = _taken(kwargs, image, labels)
        return command(*args, data=options, **rest)

    return with_options(_INPUT)(run)  # type: ignore[return-value]


def _taken(values: dict[str, Any], path: str, labels: str | None) -> tuple[DataOptions, dict[str, Any]]:
    """The options of the data out of a command's, and the rest."""
    fields = {name: values[option] for option, name in _FIELDS.items() if values.get(option) is not None}
    rest = {name: value for name, value in values.items() if name not in (*_FIELDS, "input_layer")}
    return DataOptions(path, values.get("input_layer") or "", labels or "", fields), rest
