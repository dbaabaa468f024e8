"""A layer's kernels or matrix as the run changes them: looked at after each epoch, in its checkpoint."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QVBoxLayout, QWidget

from compressor_gui.core.layers import Layer
from compressor_gui.core.weight_store import member
from compressor_gui.gui.inspector.pictures import Picture, WeightPicture, picture_of
from compressor_gui.gui.retrain.retrainer import Retrainer
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.widgets import ElidedLabel


class WeightsPart(QWidget):
    """Shows the layer that is selected, or else the largest one; what overtakes a look that is under way waits."""

    def __init__(self, retrainer: Retrainer, theme: Theme) -> None:
        super().__init__()
        self.retrainer = retrainer
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, UNIT * 2)
        column.setSpacing(UNIT)
        inset = QVBoxLayout()
        inset.setContentsMargins(MARGIN, 0, MARGIN, 0)
        self.name = ElidedLabel()
        self.name.setProperty("role", "small")
        inset.addWidget(self.name)
        column.addLayout(inset)
        self.picture = WeightPicture(theme)
        column.addWidget(self.picture)
        self.shown: tuple[str, int] | None = None
        """The layer, and after how many epochs."""
        self._looking = False

    def show_weights(self) -> None:
        """Show the newest weights, if they are not shown yet."""
        layer = _layer(self.retrainer.document.state)
        if layer is None or self._looking:
            return
        course = self.retrainer.course
        wanted = (layer.name, len(course.epochs))
        if wanted == self.shown:
            return
        self._looking = True
        path = course.checkpoint

        def look() -> Picture | None:
            weights = member(Path(path), f"weights/{layer.weight}") if path else layer.weights
            return picture_of(layer, weights) if weights is not None else None

        def done(picture: Picture | None) -> None:
            self._looking, self.shown = False, wanted
            if picture is not None:
                self.picture.show_picture(picture)
                epochs = f"after epoch {wanted[1]}" if path else "as it came"
                self.name.set_whole(f"{layer.short}, {epochs}; select a layer to see another")
            self.show_weights()

        self.retrainer.document.background.run(look, done, self._failed)

    def _failed(self, error: Exception) -> None:
        self._looking = False
        raise error


def _layer(state: State) -> Layer | None:
    """The layer whose weights are shown."""
    layers = [one for one in (state.made.layers if state.made else ()) if one.tensor.dtype.is_floating]
    for layer in layers:
        if state.selected in (layer.weight, layer.bias, *layer.users):
            return layer
    return max(layers, key=lambda layer: layer.parameters, default=None)
