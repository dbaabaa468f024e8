"""What the program imports is declared, and why it is needed is said."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import compressor_gui

ROOT = Path(compressor_gui.__file__).parent
PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))["project"]
DECLARED = {
    re.split(r"[><=]", dependency)[0]
    for dependency in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cluster"])
}
PACKAGES = {"google": "protobuf", "PySide6": "pyside6-essentials", "shiboken6": "pyside6-essentials"}
"""Of modules that are named otherwise."""


def test_every_import_is_declared() -> None:
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.partition(".")[0] for name in names}
    own = {"compressor_gui", "resources"}
    packages = {PACKAGES.get(name, name.replace("_", "-")) for name in found - sys.stdlib_module_names - own}
    assert packages == DECLARED


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT.parent / "resources" / "help" / "contributing.md").read_text("utf-8")
    table = re.findall(r"^\| ([\w, -]+) \|", text, re.MULTILINE)
    assert {name for cell in table for name in cell.split(", ")} >= DECLARED
