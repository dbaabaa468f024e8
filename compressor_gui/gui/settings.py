"""What is remembered between sessions: recent files, theme, geometry; an INI file among the user's settings."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from PySide6.QtCore import QByteArray, QSettings

from compressor_gui.gui.theme import Choice

RECENT = 8


class Settings:
    """Typed access to the stored values; ``file`` overrides the place (tests)."""

    def __init__(self, file: Path | None = None) -> None:
        if file is not None:
            self._store = QSettings(str(file), QSettings.Format.IniFormat)
        else:
            self._store = QSettings(
                QSettings.Format.IniFormat, QSettings.Scope.UserScope, "compressor", "compressor-gui"
            )

    @property
    def theme(self) -> Choice:
        """The theme that was chosen."""
        value = str(self._store.value("theme", "system"))
        return cast(Choice, value if value in ("system", "light", "dark") else "system")

    @theme.setter
    def theme(self, value: Choice) -> None:
        self._store.setValue("theme", value)

    @property
    def recent(self) -> list[Path]:
        """The files that were opened last and still exist, newest first."""
        stored = self._store.value("recent", [])
        names = [stored] if isinstance(stored, str) else stored if isinstance(stored, list) else []
        return [Path(name) for name in names if Path(name).is_file()]

    def add_recent(self, path: Path) -> None:
        """Put a file first."""
        path = path.resolve()
        rest = [p for p in self.recent if p != path]
        self._store.setValue("recent", [str(p) for p in [path, *rest][:RECENT]])

    @property
    def folder(self) -> str:
        """The folder of the newest recent file, where the file dialog starts."""
        return str(self.recent[0].parent) if self.recent else str(Path.home())

    def data(self, sha256: str) -> str:
        """The description of data (JSON) that was last used with a model; empty where there is none."""
        return str(self._store.value(f"data/{sha256}", ""))

    def set_data(self, sha256: str, text: str) -> None:
        """Remember a model's description of data."""
        self._store.setValue(f"data/{sha256}", text)

    def recipe(self, sha256: str) -> str:
        """The recipe (JSON) that a model had when it was last open; empty where there was none."""
        return str(self._store.value(f"recipe/{sha256}", ""))

    def set_recipe(self, sha256: str, text: str) -> None:
        """Remember a model's recipe; an empty one is forgotten."""
        if text:
            self._store.setValue(f"recipe/{sha256}", text)
        else:
            self._store.remove(f"recipe/{sha256}")

    def histograms(self, sha256: str) -> Path:
        """The file of the histograms that were measured of a model; it need not exist."""
        return Path(self._store.fileName()).parent / "histograms" / f"{sha256}.npz"

    @property
    def engine_memory(self) -> str:
        """What memory the engine may have, as ``4GB``; empty: no limit of the user's."""
        return str(self._store.value("engine/memory", ""))

    @engine_memory.setter
    def engine_memory(self, value: str) -> None:
        self._store.setValue("engine/memory", value)

    @property
    def scheduler(self) -> str:
        """Where accuracy, sensitivity and ranges are measured, as ``tcp://host:port``; empty: in the engine."""
        return str(self._store.value("engine/scheduler", ""))

    @scheduler.setter
    def scheduler(self, value: str) -> None:
        self._store.setValue("engine/scheduler", value)

    def bytes(self, key: str) -> QByteArray:
        """A stored geometry or window state; empty where there is none."""
        value = self._store.value(key)
        return value if isinstance(value, QByteArray) else QByteArray()

    def set_bytes(self, key: str, value: QByteArray) -> None:
        """Store a geometry or window state."""
        self._store.setValue(key, value)

    def flush(self) -> None:
        """Write to disk now."""
        self._store.sync()
