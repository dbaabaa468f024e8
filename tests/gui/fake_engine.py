"""An engine that answers what a test tells it to, and when."""

from __future__ import annotations

import base64
from typing import Any

from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QColor, QImage

from compressor_gui.core.adaround import Adaround, Adarounded, RoundedLayer
from compressor_gui.core.choose import ChooseRegions, ChosenRegions, RegionGain
from compressor_gui.core.jobs import EngineInfo, Hello, OutputCheck
from compressor_gui.core.measure import (
    BITS,
    SPARSITIES,
    Accuracy,
    Calibrate,
    Calibration,
    Evaluate,
    Evaluation,
    Fidelity,
    LabelImage,
    Latency,
    LatencyResult,
    LayerCurve,
    Prediction,
    Predictions,
    Preview,
    PreviewItem,
    PreviewResult,
    RangeHistogram,
    Sensitivity,
    SensitivityResult,
    Timing,
)
from compressor_gui.core.noise import LayerNoise, LayerNoiseResult, NodeNoise
from compressor_gui.core.protocol import Cancelled, Died, Done, Event, Failed, Request, Word
from compressor_gui.gui.engine_link import EngineLink

CLASSES = ("zero", "one", "two")


class FakeEngine:
    """Stands for the EngineClient of a link. Requests wait in ``asked`` until the test answers them."""

    def __init__(self, link: EngineLink) -> None:
        link.client.close()
        link.client = self  # type: ignore[assignment]
        self._link = link
        self._last = 0
        self.asked: dict[int, Request] = {}
        self.cancelled: list[int] = []
        self.told: list[Word] = []

    def submit(self, request: Request) -> int:
        self._last += 1
        self.asked[self._last] = request
        return self._last

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def tell(self, number: int, word: Word) -> None:
        assert number in self.asked
        self.told.append(word)

    def close(self) -> None:
        """There is no process."""

    def find(self, kind: type[Request]) -> tuple[int, Any]:
        """The oldest request of a kind that waits, and its number."""
        return next((number, request) for number, request in self.asked.items() if isinstance(request, kind))

    def waits(self, kind: type[Request]) -> bool:
        """Whether a request of this kind waits."""
        return any(isinstance(request, kind) for request in self.asked.values())

    def say(self, kind: type[Request], event: Event) -> None:
        """Send an event of the oldest request of a kind; what ends a job takes it off the list."""
        number, _ = self.find(kind)
        if isinstance(event, Done | Failed | Cancelled | Died):
            del self.asked[number]
        self._link._arrived.emit(number, event)

    def answer(self, kind: type[Request]) -> Any:
        """Answer a request with something sensible, and return it."""
        _, request = self.find(kind)
        self.say(kind, Done(reply(request)))
        return request


def png(side: int = 4) -> str:
    """A grey picture."""
    image = QImage(side, side, QImage.Format.Format_Grayscale8)
    image.fill(QColor("grey"))
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.data().data()).decode()


def accuracy(top1: float) -> Accuracy:
    """Of 100 examples in three classes."""
    return Accuracy(100, top1, None, (top1 - 0.05, top1 + 0.03), 0.2, ((30, 3, 0), (0, 33, 1), (1, 0, 32)))


def layer_curve(name: str, steep: float = 4.0) -> LayerCurve:
    """Top-1 that falls the later the larger ``steep``."""
    values = tuple(0.95 * (1 - s**steep) for s in SPARSITIES)
    return LayerCurve(name, SPARSITIES, values, BITS, tuple(0.95 - 0.1 * (8 - b) for b in BITS))


def histogram() -> RangeHistogram:
    """2,000 values around 0 and one far out, so that methods differ."""
    counts = [0] * 2048
    counts[0:400] = [5] * 400
    counts[2047] = 1
    return RangeHistogram(-1.0, 9.0, tuple(counts), -0.9, 5.0)


def reply(request: Request) -> Any:
    """An answer to any request."""
    if isinstance(request, Hello):
        return EngineInfo("2.21.0", "3.11")
    if isinstance(request, Preview):
        items = tuple(PreviewItem(png(), f"picture {at}", at % 3) for at in range(min(request.count, 6)))
        return PreviewResult(items, 100, CLASSES, ("broken.png",))
    if isinstance(request, Evaluate):
        if request.against is None:
            return Evaluation(accuracy(0.95), classes=CLASSES)
        check = OutputCheck("softmax", 28.0, 0.97, True, False, (3,))
        return Evaluation(accuracy(0.91), accuracy(0.95), (Fidelity(check, 0.01),), 0.02, ("broken.png",), CLASSES, 1.5)
    if isinstance(request, LabelImage):
        good, bad = ((0, "zero", 0.9), (1, "one", 0.1)), ((1, "one", 0.6), (0, "zero", 0.4))
        items = [Prediction(f"picture {at}", 0, good, good if request.against else ()) for at in range(6)]
        items[4] = Prediction("picture 4", 0, bad, good)
        return Predictions(tuple(items))
    if isinstance(request, Calibrate):
        names = ("conv_eightbit_requant_range", "bias_eightbit_requant_range")
        return Calibration(
            request.data.limit, request.method, dict.fromkeys(names, (-1.0, 9.0)), dict.fromkeys(names, histogram())
        )
    if isinstance(request, Adaround):
        return Adarounded(request.model.recipe, (RoundedLayer("conv", 30.0), RoundedLayer("dense", 28.0)), 10, {})
    if isinstance(request, ChooseRegions):
        regions = (RegionGain(("conv", "bias"), 1.3, 0.4, True), RegionGain(("dense",), 0.9, -0.1, False))
        return ChosenRegions(("dense",), regions, 8.9, 3.5, 3.4, 1, request.runs)
    if isinstance(request, Sensitivity):
        return SensitivityResult("top1", 0.95, 100, (layer_curve("conv"), layer_curve("dense", 8.0)), 3.0)
    if isinstance(request, LayerNoise):
        conv = NodeNoise(("conv", "bias", "relu"), "Conv2D · Bias · Relu", 12.0, 12.0)
        return LayerNoiseResult(
            (conv, NodeNoise(("dense", "dense_bias"), "MatMul · Bias", 10.0, 36.0)), 10, seconds=2.0
        )
    assert isinstance(request, Latency)
    timing = Timing(3.4, 4.0, 290.0, (("conv", "Conv2D", 2.0), ("dense", "MatMul", 0.5)), 400_000_000)
    slow = Timing(8.9, 9.9, 110.0, (("conv", "Conv2D", 7.0),), 300_000_000)
    return LatencyResult(
        request.batch, 0, 50, timing, slow if request.against else None, 2.6 if request.against else None,
        notes=("net.pb has a fixed batch of 1; it was timed with that",),
    )  # fmt: skip
