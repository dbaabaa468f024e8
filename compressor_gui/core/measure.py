"""What the engine measures on the user's data: the requests and their answers.

Models are named by path and recipe, never sent; the engine replays. SQNR is in dB as in :class:`.jobs.OutputCheck`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.jobs import OutputCheck
from compressor_gui.core.protocol import Request


@dataclass(frozen=True)
class ModelRef:
    """A model: its file, the recipe (JSON; empty: none) to replay on it, its outputs (empty: the sinks), whether ops
    that are not known to be harmless may run, and the file's SHA-256 (empty: whatever lies there)."""

    path: str
    recipe: str = ""
    outputs: tuple[str, ...] = ()
    allow_unsafe_ops: bool = False
    sha256: str = ""


# -- preview and predictions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PreviewItem:
    """One example as the network will see it (size and crop; mean, std and order are undone): a PNG in base64, empty
    where it is no picture; where it came from; its class (-1: none)."""

    png: str
    source: str
    label: int


@dataclass(frozen=True)
class PreviewResult:
    """The first examples; ``count`` is how many there are (-1: unknown), without those found
    broken, ``classes`` the names of the classes.

    ``shape`` and ``dtype`` are what the network is fed for one example, ``low`` and ``high`` the extremes of its values
    (0 where it is fed text).
    """

    items: tuple[PreviewItem, ...]
    count: int
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = ""
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Preview(Request[PreviewResult]):
    """Decode the first examples of a data description."""

    name: ClassVar[str] = "preview"
    answer: ClassVar[type] = PreviewResult

    model: ModelRef
    data: DataSpec
    count: int = 12


@dataclass(frozen=True)
class Prediction:
    """The top classes of one example: ``(class index, name, score)``, best first; ``against`` those of the other."""

    source: str
    label: int
    top: tuple[tuple[int, str, float], ...]
    against: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True)
class Predictions(Ran):
    """Predictions, in the order of the examples, by the scores of the model's ``output``."""

    items: tuple[Prediction, ...]
    skipped: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class LabelImage(Cautious[Predictions]):
    """What ``label_image`` does: the ``top`` classes of each example, of ``model`` and of ``against`` beside it."""

    name: ClassVar[str] = "label_image"
    answer: ClassVar[type] = Predictions

    model: ModelRef
    data: DataSpec
    against: ModelRef | None = None
    top: int = 5
    output: str = ""


# -- accuracy ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accuracy:
    """What a model gets right of ``n`` labelled examples.

    ``top1`` and ``top5`` are fractions (None without labels, or with fewer than 6 classes for top5), ``top1_interval``
    the 95 % Wilson interval, ``loss`` the mean cross entropy, ``confusion`` rows by true class (empty above 50).
    """

    n: int
    top1: float | None = None
    top5: float | None = None
    top1_interval: tuple[float, float] | None = None
    loss: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Fidelity:
    """How near one output is to the original's: SQNR, share of the same top class, mean KL divergence in nats (None
    where the output is no distribution)."""

    check: OutputCheck
    kl: float | None = None


@dataclass(frozen=True)
class Evaluation(Ran):
    """The answer to :class:`Evaluate`; ``against`` and ``fidelity`` are there when a second model was given.

    ``mcnemar_p`` is the exact two-sided p-value of McNemar's test on the examples that only one of both gets right.
    ``output`` is the model's output whose scores were taken (empty: none were).
    """

    accuracy: Accuracy
    against: Accuracy | None = None
    fidelity: tuple[Fidelity, ...] = ()
    mcnemar_p: float | None = None
    skipped: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    seconds: float = 0.0
    output: str = ""


@dataclass(frozen=True)
class Evaluate(Cautious[Evaluation]):
    """Accuracy of ``model`` on the data, and of ``against`` (the original) on the same batches. ``scheduler`` as in
    :class:`Sensitivity`."""

    name: ClassVar[str] = "evaluate"
    answer: ClassVar[type] = Evaluation

    model: ModelRef
    data: DataSpec
    against: ModelRef | None = None
    batch: int = 32
    output: str = ""
    scheduler: str = ""


# -- ranges ----------------------------------------------------------------------------------------

METHODS = ("minmax", "moving_average", "percentile", "kl", "mse")


@dataclass(frozen=True)
class RangeHistogram:
    """What an activation's values were: ``counts`` in even bins from ``low`` to ``high``, the smallest and the largest
    value or 0, and the means of the batches' minima and maxima (for the moving average)."""

    low: float
    high: float
    counts: tuple[int, ...]
    mean_low: float
    mean_high: float


@dataclass(frozen=True)
class Calibration(Ran):
    """Ranges from ``n`` examples by ``method``, node -> (min, max), and the histograms they were chosen from, so that
    another method needs no second run."""

    n: int
    method: str
    ranges: dict[str, tuple[float, float]]
    histograms: dict[str, RangeHistogram]
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Calibrate(Cautious[Calibration]):
    """Run the model's RequantizationRange nodes' inputs in float on ``data.limit`` examples and choose ranges; see
    :mod:`.ranges` for the methods. A recipe without quantize_nodes is completed with it. ``scheduler`` as in
    :class:`Sensitivity`."""

    name: ClassVar[str] = "calibrate"
    answer: ClassVar[type] = Calibration

    model: ModelRef
    data: DataSpec
    method: str = "minmax"
    percentile: float = 99.99
    batch: int = 16
    scheduler: str = ""


# -- sensitivity ----------------------------------------------------------------------------------------

SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
BITS = (8, 7, 6, 5, 4, 3, 2)


@dataclass(frozen=True)
class LayerCurve:
    """The metric of one layer pruned to each ``sparsity`` (``value``), and stored in each of ``bits``
    (``bits_value``), all other layers untouched; points in order of sparsity, bits falling."""

    name: str
    sparsity: tuple[float, ...] = ()
    value: tuple[float, ...] = ()
    bits: tuple[int, ...] = ()
    bits_value: tuple[float, ...] = ()


@dataclass(frozen=True)
class SensitivityResult(Ran):
    """The curves; ``metric`` is ``top1`` (a fraction) or ``sqnr_db`` (the worst output's), ``baseline`` the untouched
    model's value on the same examples."""

    metric: str
    baseline: float
    n: int
    layers: tuple[LayerCurve, ...]
    seconds: float = 0.0
    reused: int = 0
    """Points that the cache had already."""
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sensitivity(Cautious[SensitivityResult]):
    """Sweep the layers; a :class:`LayerCurve` is sent as a piece whenever one has grown. ``metric`` ``auto`` is top1
    where the data has labels. ``cache`` is the folder of finished points (empty: the user's cache folder).

    ``refine``: how many sparsities are added where a curve bends most. ``scheduler``: empty for this process,
    ``processes:N``, or a Dask scheduler's address (``tcp://...``)."""

    name: ClassVar[str] = "sensitivity"
    answer: ClassVar[type] = SensitivityResult
    piece: ClassVar[type | None] = LayerCurve

    model: ModelRef
    data: DataSpec
    layers: tuple[str, ...] = ()
    sparsities: tuple[float, ...] = SPARSITIES
    bits: tuple[int, ...] = BITS
    refine: int = 2
    metric: str = "auto"
    batch: int = 32
    activation_bytes: int = 1_000_000_000
    cache: str = ""
    scheduler: str = ""


# -- latency ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one run: median and 90th percentile; examples a second; the slowest nodes (name, kernel that ran,
    median ms), slowest first; peak memory of the engine in bytes, TensorFlow's own included, while it alone ran."""

    median_ms: float
    p90_ms: float
    throughput: float
    nodes: tuple[tuple[str, str, float], ...] = ()
    peak_bytes: int = 0


@dataclass(frozen=True)
class LatencyResult(Ran):
    """Timings, taken in turns in one process, warm; ``speedup`` is against / model (above 1: the model is faster).

    ``batch`` is the one that ran: a model whose batch is fixed keeps it, and a note says so.
    """

    batch: int
    threads: int
    runs: int
    model: Timing
    against: Timing | None = None
    speedup: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latency(Cautious[LatencyResult]):
    """Time the model, and ``against`` in turns with it. ``threads`` 0: as TensorFlow chooses."""

    name: ClassVar[str] = "latency"
    timed: ClassVar[bool] = True
    answer: ClassVar[type] = LatencyResult

    model: ModelRef
    against: ModelRef | None = None
    batch: int = 1
    threads: int = 0
    runs: int = 50
    nodes: int = 20

    def environment(self) -> dict[str, str]:
        """The threads are those of a process: TensorFlow makes its pools once, with the first session."""
        threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(self.threads))
        return {**super().environment(), **(threads if self.threads else {})}


# -- other formats ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported(Ran):
    """The frozen graph that was written, its inputs and outputs, sentences for the user, and what its outputs were
    against the model's own (empty where no input could be made that the model runs on)."""

    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()
    checks: tuple[OutputCheck, ...] = ()


@dataclass(frozen=True)
class ImportModel(Cautious[Imported]):
    """Freeze a SavedModel, Keras file (safe mode), checkpoint with ``.meta`` or TF Hub folder into ``target``.

    ``signature`` chooses one of a SavedModel's (empty: ``serving_default``, or the first); ``outputs`` are nodes of a
    checkpoint's graph, which has no signature (empty: a guess).
    """

    name: ClassVar[str] = "import_model"
    answer: ClassVar[type] = Imported

    source: str
    target: str
    signature: str = ""
    outputs: tuple[str, ...] = ()
    allow_unsafe_ops: bool = False


FORMATS = ("pb", "pbtxt", "saved_model", "tflite", "tflite_dynamic", "tflite_int8")


@dataclass(frozen=True)
class ExportedModel(Ran):
    """What was written, its bytes, and what its outputs were against the model's own."""

    path: str
    size: int
    outputs: tuple[OutputCheck, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportModel(Cautious[ExportedModel]):
    """Write the model in another format, load it again and run it before it is said to be done. ``tflite_int8``
    calibrates on ``data``."""

    name: ClassVar[str] = "export_model"
    answer: ClassVar[type] = ExportedModel

    model: ModelRef
    target: str
    format: str = "pb"
    data: DataSpec | None = None
    options: dict[str, str] = field(default_factory=dict)
