"""What a run is made of: the trainable network, the examples, what it is trained for; and what is said about them."""

from __future__ import annotations

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.serve import Job
from compressor_gui.core.training import MULTI_WORKER, PruneRetrain, train_and_test
from compressor_gui.core.units import counted
from compressor_gui.engine.train.devices import open_team
from compressor_gui.engine.train.examples import Augmenter, read_examples
from compressor_gui.engine.train.tasks import Task, check_labels, find_task, missing_classes
from compressor_gui.engine.train.trainable import Trainable
from compressor_gui.engine.train.trainer import Trainer


class Setup:
    """The parts of a run, checked against each other. ``notes`` are sentences for the user."""

    def __init__(self, request: PruneRetrain, graph: ModelGraph, job: Job) -> None:
        """Raises CompressorError where they don't fit together."""
        self._request = request
        if request.strategy == MULTI_WORKER:
            job.progress(0, 0, "waiting for the other workers")
        self.team = open_team(request.strategy, request.optimizing.batch)
        self.notes: list[str] = []
        self.network = Trainable(graph, request.layers, request.freeze, where=request.model.path)
        train, test = train_and_test(request.data, request.test)
        batch, numbers = request.optimizing.batch, request.loss == "regression"
        self.train = read_examples(train, graph, batch, job, numbers=numbers)
        self.train.check_batch()
        if self.train.batch != batch:
            self.notes.append(f"the graph fixes the batch: {counted(self.train.batch, 'example')}, not {batch}")
        self.test = read_examples(test, graph, batch, job, numbers=numbers)
        self.task: Task = find_task(request, self.network, self.train)
        if self.task.kind == "classes":
            self._check_labels()
        self.network.check_gradients(self.task.fetches)

    def trainer(self) -> Trainer:
        """A trainer with the file's weights."""
        request = self._request
        augment = Augmenter(request.augmenting, self.train)
        return Trainer(self.network, self.task, request.optimizing, augment, self.train, request.seed, self.team)

    def _check_labels(self) -> None:
        classes, names = self.task.classes, dict(enumerate(self.train.classes))
        for examples in (self.train, self.test):
            check_labels(examples, classes)
        missing = missing_classes(self.train, classes)
        if missing:
            shown = ", ".join(repr(names.get(at, str(at))) for at in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            self.notes.append(f"there is no training example of the class {shown}{more}: the network will forget it")
