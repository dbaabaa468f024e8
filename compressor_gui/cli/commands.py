"""``compressor-cli`` and its commands: each a module of its name, imported when it is asked for (:mod:`.group`)."""

from __future__ import annotations

import click

import compressor_gui
from compressor_gui.cli.group import Commands

_PLACES = {
    "inspect": "inspect:inspect",
    "compress": "compress:compress",
    "factorize": "factorize:factorize",
    "diff": "diff:diff",
    "render": "render:render",
    "passes": "passes:passes",
    "latency": "latency:latency",
    "calibrate": "calibrate:calibrate",
    "adaround": "adaround:adaround",
    "choose-regions": "choose_regions:choose_regions",
    "evaluate": "evaluate:evaluate",
    "experiment": "experiment:experiment",
    "noise": "noise:noise",
    "label_image": "label_image:label_image",
    "sensitivity": "sensitivity:sensitivity",
    "suggest": "sensitivity:suggest_command",
    "prune-retrain": "prune_retrain:prune_retrain",
    "mixed-precision": "mixed_precision:mixed_precision",
    "prune-channels": "prune_channels:prune_channels",
    "distill": "distill:distill",
    "transfer": "transfer:transfer",
    "import": "import_model:import_command",
    "export": "export:export",
}


@click.group(
    cls=Commands, places=_PLACES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(compressor_gui.__version__, prog_name="compressor-cli")
def cli() -> None:
    """Look into frozen TensorFlow graphs, prune and quantize them, compare and draw them.

    Results go to standard output, messages to standard error. Exit codes: 0 done (for diff: equal), 1 a difference or
    a failed check, 2 an error, said in one sentence (with --json also as an object).

    \b
    Example:
      compressor-cli compress lenet-5.pb -o small.pb --pass "prune(layers={'fc1': 0.7})" --pass quantize_weights
    """
