"""Variables, masks and an optimizer around a trainable graph, and the compiled functions that train and measure it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.python.framework import config

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Optimizing
from compressor_gui.engine.session import TF_ERRORS, failure, quiet, tf
from compressor_gui.engine.train.devices import Order, Team, lost
from compressor_gui.engine.train.examples import Augmenter, Examples, order, parts
from compressor_gui.engine.train.tasks import Task
from compressor_gui.engine.train.trainable import Trainable

_GROUP_SECONDS = 0.4
"""About how long the batches of one call train: what is told, and whether to stop, is looked at in between."""
_FADING = 0.99
"""What a weight beyond the mask is multiplied by after each batch where zeros are not held. Its gradient is that of a
weight that is not used, so that without this it would drift away, above all with Adam's steps of one size (A. Zhou et
al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch", 2021)."""
_MOST_BYTES = 64 << 20
"""The examples of one call take no more than this."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """Some batches: their losses, one for each."""

    losses: np.ndarray

    @property
    def batches(self) -> int:
        """How many there were."""
        return len(self.losses)

    @property
    def loss(self) -> float:
        """The mean loss; NaN where one is no number."""
        return float(self.losses.mean(dtype=np.float64))


class Trainer:
    """A network under training.

    Its weights are multiplied by a mask whenever they are used. Where zeros are held they are zero after every update
    too; else weights beyond the mask go on being trained, as surgery wants it.
    """

    def __init__(
        self,
        network: Trainable,
        task: Task,
        how: Optimizing,
        augment: Augmenter,
        examples: Examples,
        seed: int,
        team: Team | None = None,
    ) -> None:
        tf.keras.utils.set_random_seed(seed)
        self.network, self.task, self.examples = network, task, examples
        self._augment, self._seed = augment, seed
        self.batch = examples.batch
        self._team = team or Team()
        self._strategy = self._team.strategy
        with self._strategy.scope():
            self._make_variables(how)
        self._originals = {name: tf.constant(value) for name, value in network.constants.items()}
        self._constants = {name: tf.constant(value) for name, value in examples.constants.items()}
        self._train = self._compiled_training()
        self._group = 1
        self._changed = True  # by other means than training, which the other workers have to hear of
        self.finishing = False
        """Whether the user of another worker wants what there is."""

    def _make_variables(self, how: Optimizing) -> None:
        """The weights, what masks them, and what the optimizer remembers of them."""
        constants = self.network.constants
        self._variables = {name: tf.Variable(value, name=_plain(name)) for name, value in constants.items()}
        ones = {name: np.ones(constants[name].shape, np.float32) for name in self.network.weights}
        self._masks = {name: tf.Variable(one, trainable=False) for name, one in ones.items()}
        self._allowed = {name: tf.Variable(one, trainable=False) for name, one in ones.items()}
        self._optimizer = _optimizer(how)
        biases = [variable for variable in self._variables.values() if len(variable.shape) < 2]
        if biases:
            self._optimizer.exclude_from_weight_decay(var_list=biases)
        self._optimizer.build(list(self._variables.values()))

    # -- state --

    def restart(self) -> None:
        """Let the optimizer forget what it remembers."""
        self._changed = True
        for slot in self._optimizer.variables:
            slot.assign(tf.zeros_like(slot))

    @property
    def weights(self) -> Arrays:
        """All that is trained, as the network uses it: what the masks leave out is zero."""
        found = {name: variable.numpy() for name, variable in self._variables.items()}
        return found | {name: found[name] * mask.numpy() for name, mask in self._masks.items()}

    @weights.setter
    def weights(self, values: Mapping[str, np.ndarray]) -> None:
        self._changed = True
        for name, value in values.items():
            self._variables[name].assign(value)

    @property
    def dense(self) -> list[np.ndarray]:
        """The pruned layers' weights, those beyond the masks too."""
        return [self._variables[name].numpy() for name in self.network.weights]

    @property
    def masks(self) -> list[np.ndarray]:
        """The pruned layers' masks, True where a weight stays."""
        return [mask.numpy() > 0 for mask in self._masks.values()]

    def set_masks(self, masks: Sequence[np.ndarray], *, hold: bool = True) -> None:
        """Other masks; with ``hold`` what they leave out is zero from now on, else it fades."""
        self._changed = True
        for name, mask in zip(self._masks, masks, strict=True):
            self._masks[name].assign(mask.astype(np.float32))
            self._allowed[name].assign(np.where(mask, np.float32(1), np.float32(0 if hold else _FADING)))
        self.reapply_masks()

    def reapply_masks(self) -> None:
        """Bring weights that were set behind the masks that are held."""
        for name, allowed in self._allowed.items():
            self._variables[name].assign(self._variables[name] * allowed)

    def state(self) -> Arrays:
        """All that training goes on from, as arrays."""
        found = {f"weights/{name}": variable.numpy() for name, variable in self._variables.items()}
        found |= {f"masks/{name}": mask.numpy() > 0 for name, mask in self._masks.items()}
        found |= {f"allowed/{name}": allowed.numpy() for name, allowed in self._allowed.items()}
        return found | {f"slots/{at}": np.asarray(slot) for at, slot in enumerate(self._optimizer.variables)}

    def restore(self, found: Mapping[str, np.ndarray]) -> None:
        """Go back to a :meth:`state`."""
        self._changed = True
        for kind, variables in (("weights", self._variables), ("masks", self._masks), ("allowed", self._allowed)):
            for name, variable in variables.items():
                variable.assign(found[f"{kind}/{name}"].astype(np.float32))
        for at, slot in enumerate(self._optimizer.variables):
            slot.assign(found[f"slots/{at}"])

    # -- training --

    @property
    def batches(self) -> int:
        """Batches in an epoch; what is left over is not used in it."""
        return len(self.examples) // self.batch

    def epoch(self, number: int, rate: Callable[[int], float], stops: Sequence[int] = ()) -> Iterator[Trained]:
        """Train one epoch; ``rate(batch)`` is the learning rate. No group of batches goes beyond one of ``stops``, so
        that masks can be changed behind that many. Raises CompressorError."""
        one = self.batch * self.examples.values[:1].nbytes
        most = max(1, _MOST_BYTES // max(1, one))
        at = 0
        while at < self.batches:
            end = min([self.batches, at + min(self._group, most), *(stop for stop in stops if stop > at)])
            rates = np.array([rate(batch) for batch in range(at, end)], np.float32)
            group = Order(number, at, rates, self._changed)
            start = time.perf_counter()
            self.finishing = self._team.tell(group)
            losses = self._obey(group)
            self._aim(end - at, time.perf_counter() - start)
            yield Trained(losses)
            at = end

    def follow(self, job: Job) -> None:
        """Train what the chief says until the run has ended. Raises CompressorError."""
        while (group := self._team.hear(finish=job.finishing.is_set())) is not None:
            self._obey(group)
            job.progress(0, 0, f"training with others, epoch {group.epoch}")

    def _obey(self, group: Order) -> np.ndarray:
        """Train a group of batches; their losses."""
        if group.aligned and self._team.workers > 1:
            state = self.state()
            self.restore(dict(zip(state, self._team.share(list(state.values())), strict=True)))
        self._changed = False
        chosen, draws = order(self._seed, group.epoch, len(self.examples))
        end = group.at + len(group.rates)
        some = chosen[group.at * self.batch : end * self.batch].reshape(-1, self.batch)
        losses: np.ndarray = self._called(self._train, *self._taken(some), draws[some], group.rates)
        return losses

    def _taken(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        targets = self.examples.targets
        return self.examples.values[some], some if targets is None else targets[some]

    def _aim(self, batches: int, seconds: float) -> None:
        """Choose the next group's size; how batches are grouped changes no number."""
        self._group = max(1, min(4 * self._group, int(batches * _GROUP_SECONDS / max(seconds, 1e-6))))

    def gradients(self, number: int, batches: int) -> list[np.ndarray]:
        """The mean magnitude of the loss's gradient by the pruned layers' weights, masked ones included, over the first
        batches of an epoch."""
        chosen, draws = order(self._seed, number, len(self.examples))
        sums = [np.zeros(self.network.constants[name].shape, np.float32) for name in self.network.weights]
        for at in range(min(batches, self.batches)):
            some = chosen[at * self.batch : (at + 1) * self.batch]
            found = self._called(self._compiled_gradients, *self._taken(some), draws[some])
            for total, gradient in zip(sums, found, strict=True):
                total += np.abs(gradient)
        return sums

    def value(self, examples: Examples, job: Job) -> float:
        """The task's metric on other examples. Raises CompressorError."""
        counter = self.task.counted()
        for values, targets in parts(examples, np.arange(len(examples)), self.batch):
            job.wait()
            short = self.batch - len(values)
            if short:
                values = np.concatenate([values, np.repeat(values[-1:], short, axis=0)])
            found, original = self._called(self._compiled_measure, values)
            n = self.batch - short
            counter.add([v[:n] for v in found], targets, [v[:n] for v in original])
        return counter.value

    # -- compiled --

    def _called(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with quiet():
                return tf.nest.map_structure(lambda tensor: tensor.numpy(), function(*arguments))
        except TF_ERRORS as error:
            gone = lost(error) if self._team.workers > 1 else None
            raise gone or failure(error, "TensorFlow can't train this graph", self.network.where) from None

    def _used(self) -> dict[str, Any]:
        """The trained constants as the network uses them."""
        return {
            name: variable * self._masks[name] if name in self._masks else tf.identity(variable)
            for name, variable in self._variables.items()
        }

    def _loss(self, used: Mapping[str, Any], values: Any, targets: Any, draws: Any) -> Any:
        feeds = {self.examples.input: self._augment(values, draws), **self._constants}
        found = self.network.compute(self.task.fetches, feeds, used)
        original = self._original(feeds) if self.task.asks_original else []
        return self.task.loss(found, targets, original)

    def _original(self, feeds: Mapping[str, Any]) -> list[Any]:
        """The original's outputs."""
        return self.network.compute(self.task.fetches, feeds, self._originals)

    def _compiled_training(self) -> Callable[..., Any]:
        def train(values: Any, targets: Any, draws: Any, rates: Any) -> Any:
            count = tf.shape(rates)[0]

            def body(at: Any, losses: Any) -> tuple[Any, Any]:
                self._optimizer.learning_rate.assign(rates[at])
                loss = self._strategy.run(self._step, (values[at], targets[at], draws[at]))
                self.reapply_masks()
                return at + 1, losses.write(at, self._strategy.reduce("SUM", loss, axis=None))

            losses = tf.TensorArray(tf.float32, count)
            return tf.while_loop(lambda at, _: at < count, body, (0, losses), parallel_iterations=1)[1].stack()

        shapes = [(None, *self._taken(np.zeros((1, self.batch), np.int64))[at].shape[1:]) for at in (0, 1)]
        values, targets = self._taken(np.zeros((1, self.batch), np.int64))
        signature = [
            tf.TensorSpec(shapes[0], values.dtype),
            tf.TensorSpec(shapes[1], targets.dtype),
            tf.TensorSpec((None, self.batch, None), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        ]
        return tf.function(train, input_signature=signature, autograph=False)  # type: ignore[no-any-return]

    def _step(self, *batch: Any) -> Any:
        """Move the weights by one batch, of which each device takes its part; what the part adds to the loss."""
        replicas = self._strategy.num_replicas_in_sync
        if replicas > 1:
            part, at = self.batch // replicas, tf.distribute.get_replica_context().replica_id_in_sync_group
            batch = tuple(tensor[at * part : (at + 1) * part] for tensor in batch)
        used = self._used()
        loss = self._loss(used, *batch) / replicas
        gradients = tf.gradients(loss, list(used.values()))
        self._check_gradients(used, gradients)
        pairs = zip(gradients, self._variables.values(), strict=True)
        self._optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
        return loss

    def _check_gradients(self, used: Mapping[str, Any], gradients: Sequence[Any]) -> None:
        for layer in self.network.pruned:
            at = list(used).index(layer.weight)
            if gradients[at] is None:
                raise CompressorError(f"the layer {layer.name!r} gets no gradient", where=self.network.where)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def _compiled_gradients(self, values: Any, targets: Any, draws: Any) -> Any:
        used = self._used()
        loss = self._loss(used, values, targets, draws)
        return tf.gradients(loss, [used[name] for name in self.network.weights])

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def _compiled_measure(self, values: Any) -> Any:
        feeds = {self.examples.input: values, **self._constants}
        original = self._original(feeds) if self.task.kind == "fidelity" else []
        return self.network.compute(self.task.fetches, feeds, self._used()), original


def _optimizer(how: Optimizing) -> Any:
    """Keras's, with decoupled weight decay. The learning rate is set before each batch."""
    decay = how.weight_decay or None
    match how.optimizer:
        case "sgd":
            return tf.keras.optimizers.SGD(1.0, momentum=how.momentum, weight_decay=decay)
        case "adam":
            return tf.keras.optimizers.Adam(1.0, weight_decay=decay)
        case _:
            return tf.keras.optimizers.AdamW(1.0, weight_decay=how.weight_decay)


def _plain(name: str) -> str:
    """A constant's name as a variable's may be."""
    return name.replace("/", "_").replace(":", "_")


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Kernels that give the same sums at each run; other jobs of this process need not have them."""
    before = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()


@contextlib.contextmanager
def bfloat16(wanted: bool) -> Iterator[str]:
    """Convolutions and products in bfloat16 where that is ``wanted`` and the processor has it; gives a note where it
    has not. Grappler's rewrite chooses the operations; weights and sums stay float32."""
    if not wanted:
        yield ""
        return
    if not _has_bfloat16():
        yield "this processor has no bfloat16 (AVX512_BF16 or AMX): everything was trained in float32"
        return
    option = "auto_mixed_precision_onednn_bfloat16"
    tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield ""
    finally:
        tf.config.optimizer.set_experimental_options({option: False})


def _has_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))
