"""The commands by name. Each is imported when it is asked for, so that the program itself starts at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from compressor_gui.core.errors import CompressorError

_SIGPIPE = 128 + 13
"""The exit code when the reader of standard output went away, as a shell reports it of other programs."""


class Commands(click.Group):
    """A group whose commands end with one sentence and an exit code, whatever happens.

    ``places``: each command's name and where it is, ``module:name`` in this package. Commands and options are shown
    with ``-`` between words, those of TensorFlow's own tools with the ``_`` that these have; either is understood.
    """

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_settings["token_normalize_func"] = _with_hyphens  # click's, for options and choices
        self._places = places
        self._shown = {_with_hyphens(name): name for name in places}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in order."""
        return sorted(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; for one that there is not, click looks among all for what was meant."""
        for name in [cmd_name] if cmd_name in self._places else self._places:
            if name not in self.commands:
                module, _, attribute = self._places[name].partition(":")
                self.add_command(getattr(import_module(f"compressor_gui.cli.{module}"), attribute), name)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for first, by the name that is shown."""
        first, *rest = args
        return super().resolve_command(ctx, [self._shown.get(_with_hyphens(first), first), *rest])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors that click does not know become exit codes."""
        try:
            return super().invoke(ctx)
        except CompressorError as error:
            say(f"error: {error}", fg="red")
            ctx.exit(2)
        except KeyboardInterrupt:
            say("interrupted")
            ctx.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes out at its end
            ctx.exit(_SIGPIPE)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get("COMPRESSOR_DEBUG"):
                raise
            say(f"error: {type(error).__name__}: {error} (a bug; COMPRESSOR_DEBUG=1 shows where)", fg="red")
            ctx.exit(2)


def _with_hyphens(name: str) -> str:
    return name.replace("_", "-")


def say(text: str, **style: Any) -> None:
    """A line on standard error."""
    click.secho(text, err=True, **style)
