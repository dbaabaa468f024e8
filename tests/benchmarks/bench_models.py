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


def lines() -> Iterator[str]:
    """The table, as Markdown."""
    yield "| model | pass | nodes | bytes | ratio | SQNR of each output, dB |"
    yield "|---|---|---|---|--:|---|"
    with tempfile.TemporaryDirectory() as name:
        for model in MODEL_FILES:
            for title, transform in RECIPES.items():
                found = measured(model, transform, Path(name))
                if "bytes_after" not in found:
                    yield f"| {model.stem} | {title} | {found['failure']} |"
                    continue
                outputs = ", ".join("equal" if o["equal"] else f"{o['sqnr_db']:.1f}" for o in found["outputs"])
                remark = " (remapper off)" if found["remapper_off"] else ""
                remark += "" if found["verified"] else f" NOT VERIFIED: {found['failure']}"
                yield (
                    f"| {model.stem} | {title} | {found['nodes_before']:,} → {found['nodes_after']:,} "
                    f"| {found['bytes_before']:,} → {found['bytes_after']:,} | {found['ratio']:.3f} "
                    f"| {outputs}{remark} |"
                )


if __name__ == "__main__":
    if not MODEL_FILES:
        print("../shared/models is missing: nothing to measure")
    for line in lines() if MODEL_FILES else ():
        print(line, flush=True)
