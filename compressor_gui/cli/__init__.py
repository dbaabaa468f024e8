"""``compressor-cli``: the program's work without a window. Commands here, what they share in :mod:`.console`."""

from __future__ import annotations

import signal
import sys

import click

import compressor_gui
from compressor_gui.cli.adaround import adaround
from compressor_gui.cli.calibrate import calibrate
from compressor_gui.cli.choose_regions import choose_regions
from compressor_gui.cli.compress import compress
from compressor_gui.cli.console import Commands
from compressor_gui.cli.diff import diff
from compressor_gui.cli.distill import distill
from compressor_gui.cli.evaluate import evaluate
from compressor_gui.cli.experiment import experiment
from compressor_gui.cli.export import export
from compressor_gui.cli.factorize import factorize
from compressor_gui.cli.import_model import import_command
from compressor_gui.cli.inspect import inspect
from compressor_gui.cli.label_image import label_image
from compressor_gui.cli.latency import latency
from compressor_gui.cli.mixed_precision import mixed_precision
from compressor_gui.cli.noise import noise
from compressor_gui.cli.passes import passes
from compressor_gui.cli.prune_channels import prune_channels
from compressor_gui.cli.prune_retrain import prune_retrain
from compressor_gui.cli.render import render
from compressor_gui.cli.sensitivity import sensitivity, suggest_command
from compressor_gui.cli.transfer import transfer

__all__ = ["cli", "main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(compressor_gui.__version__, prog_name="compressor-cli")
def cli() -> None:
    """Look into frozen TensorFlow graphs, prune and quantize them, compare and draw them.

    Results go to standard output, messages to standard error. Exit codes: 0 done (for diff: equal), 1 a difference or
    a failed check, 2 an error, said in one sentence (with --json also as an object).

    \b
    Example:
      compressor-cli compress lenet-5.pb -o small.pb --pass "prune(layers={'fc1': 0.7})" --pass quantize_weights
    """


for command in (
    inspect,
    compress,
    factorize,
    diff,
    render,
    passes,
    latency,
    calibrate,
    adaround,
    choose_regions,
    evaluate,
    experiment,
    noise,
    label_image,
    sensitivity,
    suggest_command,
    prune_retrain,
    mixed_precision,
    prune_channels,
    distill,
    transfer,
    import_command,
    export,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of ``compressor-cli``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that what was begun is cleaned up
    cli()
