"""What the tests of pruning with retraining share: LeNet-300-100, its digits, and runs in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compressor_gui.core.data import DataSpec
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.protocol import Event, Piece
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Goal, News, Optimizing, PruneRetrain, Retrained

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"
LENET = SAMPLES / "lenet-300-100.pb"


def digits(**changes: Any) -> DataSpec:
    """MNIST's first test digits; a part is held out to measure on."""
    images, labels = (str(SAMPLES / f"t10k-1000-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return replace(DataSpec("idx", images, labels, height=28, width=28, channels=1, limit=600), **changes)


def open_batches(data: DataSpec, graph: ModelGraph) -> list[Any]:
    from compressor_gui.engine.dataset import open_dataset

    return list(open_dataset(data, graph, 100))


@dataclass
class Ask:
    """Runs in this process; what was told on the way is in ``news``."""

    folder: Path
    on_news: Callable[[News, Job], None] = lambda news, job: None
    news: list[News] = field(default_factory=list)

    def __call__(self, model: Path = LENET, data: DataSpec | None = None, **options: Any) -> Retrained:
        from compressor_gui.engine.train.prune_retrain import prune_retrain

        def hear(_: int, event: Event) -> None:
            if isinstance(event, Piece):
                self.news.append(event.part)
                self.on_news(event.part, job)

        wanted: dict[str, Any] = {"goal": Goal(ratio=12), "epochs": 2, "checkpoint": str(self.folder)}
        wanted |= {"schedule": "iterative", "optimizing": Optimizing()}
        job = Job(1, hear)
        return prune_retrain(PruneRetrain(model=ModelRef(str(model)), data=data or digits(), **(wanted | options)), job)

    @property
    def notes(self) -> list[str]:
        return [news.note for news in self.news if news.note]
