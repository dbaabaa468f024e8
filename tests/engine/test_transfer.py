from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Evaluate, ModelRef
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Augmenting
from compressor_gui.core.transfer import TopProgress, Transfer
from tests.support import tensorflow

pytestmark = pytest.mark.tensorflow
SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
MODEL = SAMPLES / "lenet-5.pb"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 of the digits as PNG: ``small`` (0 to 4) and ``large`` (5 to 9)."""
    from compressor_gui.core.datafiles import read_idx

    tf = tensorflow()
    folder = tmp_path_factory.mktemp("pictures")
    images = read_idx(SAMPLES / "t10k-1000-images-idx3-ubyte.gz")[:300]
    labels = read_idx(SAMPLES / "t10k-1000-labels-idx1-ubyte.gz")[:300]
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / ("small" if label < 5 else "large") / f"{at}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(tf.io.encode_png(image[..., np.newaxis]).numpy())
    return folder


def ask(pictures: Path, tmp_path: Path, **changes: object) -> Transfer:
    spec = guess(read_graph(MODEL), pictures)
    request = Transfer(
        model=ModelRef(str(MODEL)), data=spec, output_graph=str(tmp_path / "new.pb"),
        output_labels=str(tmp_path / "new.txt"), how_many_training_steps=300, train_batch_size=50,
        bottleneck_dir=str(tmp_path / "bottlenecks"), testing_percentage=25,
    )  # fmt: skip
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def run(request: Transfer) -> tuple[object, list[object]]:
    from compressor_gui.engine.transfer import transfer

    pieces: list[object] = []
    job = Job(1, lambda _, event: pieces.append(getattr(event, "part", None)))
    return transfer(request, job), [piece for piece in pieces if piece is not None]


def test_new_classes_are_learnt_and_bottlenecks_are_computed_once(pictures: Path, tmp_path: Path) -> None:
    found, pieces = run(ask(pictures, tmp_path))
    assert found.classes == ("large", "small")  # type: ignore[attr-defined]
    assert found.bottleneck == "fc1/Relu"  # type: ignore[attr-defined]
    assert sum(found.counts.values()) == 300  # type: ignore[attr-defined]
    assert found.test > 0.9  # type: ignore[attr-defined]
    assert found.cached == 0  # type: ignore[attr-defined]
    assert [piece.step for piece in pieces] == [100, 200, 300]  # type: ignore[attr-defined]
    assert Path(tmp_path / "new.txt").read_text() == "large\nsmall\n"
    assert read_graph(tmp_path / "new.pb").outputs == ("final_result",)
    again, _ = run(ask(pictures, tmp_path))
    assert again.cached == 300  # type: ignore[attr-defined]
    assert again.history == found.history  # type: ignore[attr-defined]


def test_distorted_copies_have_bottlenecks_of_their_own(pictures: Path, tmp_path: Path) -> None:
    request = ask(pictures, tmp_path, augmenting=Augmenting(flip=True, crop=0.9, colour=0.1), copies=2)
    found, _ = run(request)
    assert found.cached == 0  # type: ignore[attr-defined]
    assert len(list((tmp_path / "bottlenecks").iterdir())) == 3
    assert run(request)[0].cached == 900  # type: ignore[attr-defined]


def test_the_written_graph_is_as_good_as_was_said(pictures: Path, tmp_path: Path) -> None:
    """In a real engine; evaluated on all pictures, of which the training part is known to be right more often."""
    with EngineClient() as engine:
        pieces: list[TopProgress] = []
        found = engine.run(ask(pictures, tmp_path), None, pieces.append)
        assert pieces
        new = read_graph(tmp_path / "new.pb")
        checked = engine.run(Evaluate(ModelRef(str(tmp_path / "new.pb")), guess(new, pictures)))
    right = sum(round(share * found.counts[part]) for part, share in
                (("train", found.train), ("validation", found.validation), ("test", found.test)))  # fmt: skip
    assert checked.accuracy.top1 == pytest.approx(right / 300, abs=0.01)


def test_the_command_takes_retrain_s_flags(pictures: Path, tmp_path: Path) -> None:
    arguments = [
        "transfer", MODEL, "--image_dir", pictures, "--output_graph", tmp_path / "g.pb", "--output_labels",
        tmp_path / "l.txt", "--how_many_training_steps", 100, "--bottleneck_dir", tmp_path / "b", "--json",
        "--train_batch_size", 20, "--final_tensor_name", "scores", "--validation_batch_size", 7,
        "--test_batch_size", 11, "--random_scale", 25, "--copies", 1,
    ]  # fmt: skip
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["classes"] == ["large", "small"]
    assert (found["counts"]["validation"], found["counts"]["test"]) == (7, 11)
    assert found["counts"]["train"] > 200  # what is not validated on is not trained on either
    assert len(list((tmp_path / "b").iterdir())) == 2  # the pictures, and a larger copy of each to train on
    assert any(line.startswith('{"step": 100') for line in done.stderr.splitlines())
    assert read_graph(tmp_path / "g.pb").outputs == ("scores",)


def test_a_target_is_refused_before_the_work(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(CompressorError, match="the file that was opened"):
        run(ask(pictures, tmp_path, output_labels=str(MODEL)))
    assert not (tmp_path / "bottlenecks").exists()


def test_bad_folders_are_told(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(CompressorError, match="fewer than the 5000 of a batch"):
        run(ask(pictures, tmp_path, train_batch_size=5000))
    with pytest.raises(CompressorError, match="has a node 'fc1/MatMul' already"):
        run(ask(pictures, tmp_path, final_tensor_name="fc1/MatMul"))
    alone = tmp_path / "alone"
    (alone / "only").mkdir(parents=True)
    (alone / "only" / "1.png").write_bytes(next((pictures / "small").iterdir()).read_bytes())
    with pytest.raises(CompressorError, match="there is only one class"):
        run(ask(alone, tmp_path))
    (alone / "empty").mkdir()
    (alone / "empty" / "2.png").write_bytes(b"")
    spec = DataSpec(**{**dataclasses.asdict(ask(pictures, tmp_path).data), "path": str(alone)})
    with pytest.raises(CompressorError, match="the class 'empty' has no picture to train on"):
        run(ask(pictures, tmp_path, data=spec, testing_percentage=0, validation_percentage=0))
