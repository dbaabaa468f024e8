from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import guess
from compressor_gui.core.distilling import Distill, Distilled
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Evaluate, ModelRef
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.students import make_student
from compressor_gui.core.training import News, Optimizing
from tests.support import Net, tensorflow

pytestmark = pytest.mark.tensorflow
SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
TEACHER = SAMPLES / "lenet-300-100.pb"
DIGITS = SAMPLES / "t10k-1000-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ask(tmp_path: Path, **changes: object) -> Distill:
    request = Distill(
        teacher=ModelRef(str(TEACHER)), student="shallow", output=str(tmp_path / "student.pb"),
        data=guess(read_graph(TEACHER), DIGITS), epochs=2, optimizing=Optimizing(learning_rate=3e-3, batch=50),
    )  # fmt: skip
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def run(request: Distill, job: Job | None = None) -> Distilled:
    from compressor_gui.engine.train.distill import distill

    tensorflow()
    return distill(request, job or Job(1, lambda *_: None))


def test_a_student_learns_and_is_written_as_it_was_measured(tmp_path: Path) -> None:
    request = ask(tmp_path)
    with EngineClient() as engine:
        pieces: list[News] = []
        found = engine.run(request, None, pieces.append)
        test = dataclasses.replace(request.data, split="test")
        checked = engine.run(Evaluate(ModelRef(found.path), test))
    assert found.value > found.before + 0.1
    assert found.teacher is not None
    assert found.teacher > 0.95
    assert checked.accuracy.top1 == pytest.approx(found.value, abs=1e-6)
    assert checked.accuracy.n == found.test_n
    assert found.weights * 10 < found.teacher_weights
    assert [piece.epoch.epoch for piece in pieces if piece.epoch] == [1, 2]
    assert read_graph(found.path).outputs == ("output",)


def test_labels_alone_are_a_training_without_a_teacher(tmp_path: Path) -> None:
    """The weight 1 for the labels gives the same whatever the temperature, the teacher's share something else."""
    alone = [run(ask(tmp_path, labels=1.0, temperature=t, epochs=1)).epochs[0].loss for t in (1.0, 9.0)]
    assert alone[0] == alone[1]
    assert run(ask(tmp_path, labels=0.5, epochs=1)).epochs[0].loss != alone[0]


def test_a_student_with_the_teacher_s_weights_has_nothing_to_learn(tmp_path: Path) -> None:
    found = run(ask(tmp_path, student=str(TEACHER), labels=0.0, epochs=1, optimizing=Optimizing(learning_rate=0.0)))
    assert found.epochs[0].loss == pytest.approx(0, abs=1e-5)
    assert found.value == found.teacher
    fresh = run(ask(tmp_path, student=str(TEACHER), fresh=True, epochs=1, optimizing=Optimizing(learning_rate=0.0)))
    assert fresh.value < 0.5


def test_hints_count(tmp_path: Path) -> None:
    hints = (("fc1/Relu", "student/conv1/Relu"),)
    losses = [
        run(ask(tmp_path, hints=pair, epochs=1, optimizing=Optimizing(learning_rate=0.0))).epochs[0].loss
        for pair in ((), hints)
    ]
    assert losses[1] > losses[0]
    with pytest.raises(CompressorError, match="the student has no node 'nope'"):
        run(ask(tmp_path, hints=(("fc1/Relu", "nope"),)))


def test_a_run_that_was_broken_off_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(ask(tmp_path, epochs=3))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    job = Job(1, lambda _, event: _cancel_behind(job, event, 2))
    with pytest.raises(Stop):
        run(ask(tmp_path, epochs=3), job)
    again = run(ask(tmp_path, epochs=3))
    assert [(epoch.loss, epoch.value) for epoch in again.epochs] == [(e.loss, e.value) for e in whole.epochs]


def _cancel_behind(job: Job, event: object, epoch: int) -> None:
    piece = getattr(event, "part", None)
    if isinstance(piece, News) and piece.batches is not None and piece.batches.epoch > epoch:
        job.cancel()


def test_finishing_keeps_what_there_is(tmp_path: Path) -> None:
    job = Job(1, lambda _, event: job.tell("finish") if getattr(event, "part", None) else None)
    found = run(ask(tmp_path, epochs=50), job)
    assert found.stopped == "it was stopped in epoch 1"
    assert Path(found.path).exists()


def at_measuring(monkeypatch: pytest.MonkeyPatch, number: int, then: Callable[[Job], float | None]) -> None:
    """At the ``number``-th measurement of the student (the first: as it begins) the job hears ``then``, whose answer,
    if there is one, is what was measured."""
    from compressor_gui.engine.train.trainer import Trainer

    measured, measure = itertools.count(1), Trainer.value

    def value(trainer: Trainer, examples: Any, job: Job) -> float:
        told = then(job) if next(measured) == number else None
        return measure(trainer, examples, job) if told is None else told

    monkeypatch.setattr(Trainer, "value", value)


def test_stopping_while_an_epoch_is_measured_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_measuring(monkeypatch, 2, lambda job: job.tell("finish"))
    first = run(ask(tmp_path, epochs=2))
    assert first.stopped == "it was stopped after epoch 1"
    at_measuring(monkeypatch, 2, lambda job: job.tell("finish"))
    job = Job(1, lambda _, event: None)
    second = run(ask(tmp_path, epochs=2), job)
    assert second.epochs[0] == first.epochs[0]  # from the checkpoint: nothing of it was trained again
    assert job.finishing.is_set()
    assert second.stopped == ""  # it came to its end all the same


def test_a_result_that_is_no_number_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rate = Optimizing(learning_rate=3e-3, batch=50, rate="constant")
    kept = run(ask(tmp_path, epochs=1, optimizing=rate))
    weights = Path(kept.path).read_bytes()
    at_measuring(monkeypatch, 3, lambda _: math.nan)
    found = run(ask(tmp_path, epochs=2, optimizing=rate))
    assert found.stopped.startswith("the result on the test data became NaN (not a number) in epoch 2; the epoch")
    assert [epoch.value for epoch in found.epochs] == [found.value] == [kept.value]
    assert Path(found.path).read_bytes() == weights


def test_the_command(tmp_path: Path) -> None:
    arguments = ["distill", "--teacher", TEACHER, "--student", "fire", "-o", tmp_path / "s.pb", "--data", DIGITS,
                 "--epochs", 1, "--json"]  # fmt: skip
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["metric"] == "top1"
    assert any(line.startswith('{"epoch"') for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student": "tiny"}, "there is no student 'tiny'"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"labels": 2.0}, "labels is 2"),
        ({"output": str(TEACHER)}, "the file that was opened"),
    ],
)
def test_bad_requests(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(CompressorError, match=words):
        run(ask(tmp_path, **changes))


def test_other_classes_than_the_teacher_s(tmp_path: Path) -> None:
    other = tmp_path / "other.pb"
    write_graph(make_student(Net((-1, 28, 28, 1)).flatten().dense(12).then("Softmax").build(), "shallow"), other)
    with pytest.raises(CompressorError, match="the student has 12 classes and the teacher 10"):
        run(ask(tmp_path, student=str(other)))


def test_without_labels_the_student_is_held_against_the_teacher(tmp_path: Path) -> None:
    images = tmp_path / "digits.npy"
    np.save(images, np.random.default_rng(0).random((120, 28, 28, 1), np.float32))
    found = run(ask(tmp_path, data=guess(read_graph(TEACHER), images), epochs=1))
    assert found.metric == "sqnr_db"
    assert found.teacher is None
