"""The options by which commands that ask the engine name a model."""

from __future__ import annotations

import functools
import sys
from typing import Any

import click

from compressor_gui.cli.console import Command, Console, as_file, named
from compressor_gui.core import pbio
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.recipe import Recipe, digest


def with_model(command: Command) -> Command:
    """Give a command the argument MODEL and its options; it gets them as ``model``, a ModelRef.

    To be put below ``with_console``, on whose console it says where the recipe was made for another file.
    """

    @click.argument("path", metavar="MODEL")
    @click.option("--recipe", "recipe_path", metavar="FILE", help="A recipe to replay on MODEL first.")
    @click.option(
        "--outputs", metavar="A,B", help="The graph's outputs, where they are not the nodes that nobody reads."
    )
    @click.option(
        "--allow-unsafe-ops", is_flag=True, help="Run graphs with ops that may do more than compute (files, ...)."
    )
    @functools.wraps(command)
    def run(
        console: Console,
        *args: Any,
        path: str,
        recipe_path: str | None,
        outputs: str | None,
        allow_unsafe_ops: bool,
        **kwargs: Any,
    ) -> Any:
        with as_file(path, sys.stdin.buffer.read() if path == "-" else b"") as file:
            recipe = recipe_text(console, recipe_path, file)
            model = ModelRef(file, recipe, named(outputs) or (), allow_unsafe_ops)
            return command(console, *args, model=model, **kwargs)

    return run  # type: ignore[return-value]


def recipe_text(console: Console, path: str | None, model: str) -> str:
    """The JSON of the recipe at ``path``, empty without one; a note where it was made for another file than ``model``.

    Raises CompressorError.
    """
    if path is None:
        return ""
    recipe = Recipe.load(path)
    if recipe.sha256:
        note_other_file(console, recipe, digest(pbio.read_bytes(model)))
    return recipe.to_json()


def note_other_file(console: Console, recipe: Recipe, sha256: str) -> None:
    """Say so where a recipe was made for a file with another SHA-256."""
    if recipe.sha256 and recipe.sha256 != sha256:
        console.note("the recipe was made for another file; its steps are applied to this one as far as they fit")
