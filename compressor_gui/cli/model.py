"""The options by which commands that ask the engine name a model."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from compressor_gui.cli.console import as_file, named
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.recipe import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])


def with_model(command: Command) -> Command:
    """Give a command the argument MODEL and its options; it gets them as ``model``, a ModelRef."""

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
        *args: Any, path: str, recipe_path: str | None, outputs: str | None, allow_unsafe_ops: bool, **kwargs: Any
    ) -> Any:
        recipe = Recipe.load(recipe_path).to_json() if recipe_path else ""
        with as_file(path, sys.stdin.buffer.read() if path == "-" else b"") as file:
            model = ModelRef(file, recipe, named(outputs) or (), allow_unsafe_ops)
            return command(*args, model=model, **kwargs)

    return run  # type: ignore[return-value]
