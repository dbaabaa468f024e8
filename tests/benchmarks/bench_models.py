"""Every real model pruned, with 8-bit weights, and in eightbit: nodes, bytes, and what stock TensorFlow computes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support import MODEL_FILES

RECIPES = {
    "prune 80 %": "prune(sparsity=0.8)",
    "quantize_weights": "quantize_weights",
    "quantize_weights, per tensor": "quantize_weights(per_channel=false)",
    "quantize_nodes": "quantize_nodes",
}


def measured(model: Path, transform: str, folder: Path) -> dict:
    """What ``compress --json`` says of one pass on one model."""
    start = [sys.executable, "-c", "from compressor_gui.cli import main; main()"]
    command = [*start, "compress", str(model), "-o", str(folder / model.name)]
    done = subprocess.run([*command, "--pass", transform, "--json", "--quiet"], capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout else {"failure": done.stderr.strip()}


def results() -> Iterator[dict]:
    """One row for each model and pass."""
    with tempfile.TemporaryDirectory() as name:
        for model in MODEL_FILES:
            for title, transform in RECIPES.items():
                yield {"model": model.stem, "recipe": title, **measured(model, transform, Path(name))}


def line(row: dict) -> str:
    """A row of the Markdown table."""
    if "bytes_after" not in row:
        return f"| {row['model']} | {row['recipe']} | {row['failure']} | | | |"
    outputs = ", ".join("equal" if o["equal"] else f"{o['sqnr_db']:.1f}" for o in row["outputs"])
    remark = " (remapper off)" if row["remapper_off"] else ""
    remark += "" if row["verified"] else f" NOT VERIFIED: {row['failure']}"
    return (
        f"| {row['model']} | {row['recipe']} | {row['nodes_before']:,} → {row['nodes_after']:,} "
        f"| {row['bytes_before']:,} → {row['bytes_after']:,} | {row['ratio']:.3f} | {outputs}{remark} |"
    )


if __name__ == "__main__":
    as_json = "--json" in sys.argv[1:]
    if not MODEL_FILES:
        print("../shared/models is missing: nothing to measure", file=sys.stderr)
    elif not as_json:
        print("| model | pass | nodes | bytes | ratio | SQNR of each output, dB |\n|---|---|---|---|--:|---|")
    for found in results():
        print(json.dumps(found) if as_json else line(found), flush=True)
