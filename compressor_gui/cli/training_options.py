"""Options of the commands that train: how weights are moved, and what is done to training pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from compressor_gui.cli.console import Command, with_options
from compressor_gui.core.training import OPTIMIZERS, RATES, Augmenting, Optimizing


def field(kind: Any, name: str, flag: str, metavar: str, words: str) -> Callable[[Command], Command]:
    """An option that is a field of a dataclass, with its default; or of an object, with its value."""
    default = getattr(kind, name)
    shown = default != ""
    return click.option(
        flag, name, metavar=metavar, type=type(default), default=default, show_default=shown, help=words
    )


def choice(kind: Any, name: str, flag: str, choices: tuple[str, ...], words: str) -> Callable[[Command], Command]:
    """As :func:`field`, with one of a few values."""
    return click.option(
        flag, name, type=click.Choice(choices), default=getattr(kind, name), show_default=True, help=words
    )


def with_training(first: Optimizing) -> Callable[[Command], Command]:
    """Adds the options to a command; ``first`` has the defaults. :func:`training` reads them."""
    return with_options((
        choice(first, "optimizer", "--optimizer", OPTIMIZERS, "How weights are moved."),
        field(first, "learning_rate", "--learning-rate", "L", "At first; where there are steps, of each."),
        choice(first, "rate", "--rate", RATES, "How the learning rate falls; where there are steps, in each."),
        field(first, "momentum", "--momentum", "M", "Of sgd."),
        field(first, "weight_decay", "--weight-decay", "D", "Of the weights, not the biases."),
        field(first, "batch", "--batch", "N", "Examples of a training batch."),
        field(Augmenting, "shift", "--shift", "PIXELS", "Shift training pictures by up to so many pixels."),
        click.option("--flip", is_flag=True, help="Flip training pictures left and right."),
        click.option("--random-crop", "random_crop", type=click.FloatRange(0.01, 1), metavar="SHARE", default=1.0,
                     help="Crop training pictures to as little as this share."),
        field(Augmenting, "colour", "--colour", "SHARE", "Change brightness and contrast by up to this share."),
    ))  # fmt: skip


def training(options: dict[str, Any]) -> dict[str, Any]:
    """The fields ``optimizing`` and ``augmenting`` of a request; their options are taken out of ``options``."""
    return {
        "optimizing": Optimizing(**_taken(options, Optimizing)),
        "augmenting": Augmenting(crop=options.pop("random_crop"), **_taken(options, Augmenting)),
    }


def _taken(options: dict[str, Any], kind: type) -> dict[str, Any]:
    return {one.name: options.pop(one.name) for one in dataclasses.fields(kind) if one.name in options}
