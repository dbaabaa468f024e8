"""The way from one layout to the next: boxes glide from where they were, and the view goes along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF

from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.canvas.scene import Floats, Scene

View = tuple[QPointF, float]
"""The point in the middle, in the picture's units, and the zoom."""


@dataclass(eq=False)
class Motion:
    """``x`` and ``y``: where the boxes begin; ``end``: where they will be. The box ``fixed`` (-1: none) stays on the
    screen ``shift`` from its middle, unless there is a ``goal``: a view to arrive at, coming from ``start``."""

    end: Scene
    x: Floats
    y: Floats
    fixed: int
    shift: QPointF
    start: View
    goal: View | None = None

    @classmethod
    def between(cls, old: Scene, picture: Picture, anchor: str, start: View) -> Motion:
        """Move each box from where the box that held its first node was; ``anchor``: a node of the box to hold on to,
        or of none (default: the box nearest to the middle that is in both pictures)."""
        owner, folded = old.picture.folded.owner, picture.folded
        before = np.array([owner.get(box.members[0], -1) for box in folded.boxes], np.int64)
        known = before >= 0
        x, y = picture.layout.x.copy(), picture.layout.y.copy()
        x[known], y[known] = old.x[before[known]], old.y[before[known]]
        fixed, held = folded.owner.get(anchor, -1), owner.get(anchor, -1)
        if (fixed < 0 or held < 0) and known.any():
            middle = start[0]
            fixed = int(np.argmin(np.where(known, np.hypot(x - middle.x(), y - middle.y()), np.inf)))
            held = int(before[fixed])
        if fixed < 0 or held < 0:
            return cls(Scene(picture), x, y, -1, QPointF(), start)
        return cls(Scene(picture), x, y, fixed, QPointF(float(old.x[held]), float(old.y[held])) - start[0], start)

    @property
    def last(self) -> View:
        """The view at the end."""
        return self.goal or self._held(self.end)

    def at(self, amount: float) -> tuple[Scene, View, float]:
        """The scene and the view when ``amount`` of the time is over, and how far the way is behind (eased)."""
        ease = amount * amount * (3 - 2 * amount)
        if amount >= 1:
            return self.end, self.last, 1.0
        scene = Scene(self.end.picture, self.x + (self.end.x - self.x) * ease, self.y + (self.end.y - self.y) * ease)
        if self.goal is None:
            return scene, self._held(scene), ease
        (center, zoom), (to, far) = self.start, self.goal
        return scene, (center + (to - center) * ease, zoom * (far / zoom) ** ease), ease

    def _held(self, scene: Scene) -> View:
        center, zoom = self.start
        if self.fixed >= 0:
            center = QPointF(float(scene.x[self.fixed]), float(scene.y[self.fixed])) - self.shift
        return center, zoom

    def let_go(self, view: View) -> None:
        """The view was moved by hand: it stays there."""
        self.start, self.goal, self.fixed = view, None, -1
