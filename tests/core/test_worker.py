"""Jobs in a process of their own, which may be told to end, misbehave and die."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator

import pytest

from compressor_gui.core.caution import ONEDNN, REMAPPER
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import Cancelled, Died, Done, Event, Progress
from compressor_gui.core.worker import JobCancelled, Worker, WorkerDied
from tests.core.fake_worker import Answer, Do, Run

FAKE = "tests.core.fake_worker"
AGAIN = "the fake_worker's process was ended by SIGABRT; trying again"


class Log:
    """Collects a worker's events; ``until`` waits for one of a kind."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()

    def __call__(self, number: int, event: Event) -> None:
        self.events.put((number, event))

    def until(self, *kinds: type) -> tuple[int, Event]:
        while True:
            number, event = self.events.get(timeout=60)
            if isinstance(event, kinds):
                return number, event


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def worker(log: Log) -> Iterator[Worker]:
    before = set(threading.enumerate())
    with Worker(FAKE, log, patience=60) as made:
        yield made
        pid = made.pid
    assert set(threading.enumerate()) == before
    if pid is not None:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_jobs_run_in_order_in_one_process_that_starts_late(worker: Worker, log: Log) -> None:
    assert worker.pid is None
    numbers = [worker.submit(Do(value=str(n))) for n in range(3)]
    ends = [log.until(Done) for _ in numbers]
    assert [number for number, _ in ends] == numbers
    assert [event.result.value for _, event in ends] == ["0", "1", "2"]  # type: ignore[union-attr]
    assert {event.result.pid for _, event in ends} == {worker.pid}  # type: ignore[union-attr]


def test_run_waits_for_the_answer_and_passes_progress_on(worker: Worker) -> None:
    seen: list[Progress] = []
    assert worker.run(Do(value="ä\n"), seen.append).value == "ä\n"
    assert seen == [Progress(n, 3, f"step {n}") for n in range(3)]


def test_what_libraries_print_and_read_stays_out_of_the_protocol(worker: Worker) -> None:
    assert worker.run(Do("print_much")).value == "printed"
    with pytest.raises(CompressorError, match="EOF"):
        worker.run(Do("print_much", "read"))


def test_errors_come_as_sentences_and_the_process_lives_on(worker: Worker) -> None:
    with pytest.raises(CompressorError) as caught:
        worker.run(Do("refuse"))
    assert (caught.value.what, caught.value.where, caught.value.hint) == ("it is blue", "node 'sky'", "paint it")
    pid = worker.pid
    with pytest.raises(CompressorError, match="internal error: ZeroDivisionError: by zero"):
        worker.run(Do("fail"))
    with pytest.raises(CompressorError, match="17 MB"):
        worker.run(Do("too_much"))
    assert worker.run(Do(value="still here")).pid == pid


def test_a_request_that_is_too_long_fails_at_once(worker: Worker) -> None:
    with pytest.raises(CompressorError, match="can't be sent"):
        worker.run(Do(value="x" * (17 << 20)))
    assert worker.pid is None


def test_a_polite_job_is_cancelled_and_its_process_kept(worker: Worker, log: Log) -> None:
    first = worker.submit(Do("wait_politely"))
    log.until(Progress)
    pid = worker.pid
    waiting = worker.submit(Do(value="never"))
    last = worker.submit(Do(value="last"))
    worker.cancel(waiting)
    worker.cancel(first)
    assert log.until(Cancelled) == (waiting, Cancelled())
    assert log.until(Cancelled) == (first, Cancelled())
    assert log.until(Done) == (last, Done(Answer("last", pid or 0)))


def test_a_job_pauses_goes_on_and_finishes_when_it_is_told(worker: Worker, log: Log) -> None:
    number = worker.submit(Do("wait_for_words"))
    for message, word in (("working", "pause"), ("paused", "go_on"), ("going on", "finish")):
        assert log.until(Progress) == (number, Progress(0, 0, message))
        worker.tell(number + 1, "finish")  # of which nobody knows
        worker.tell(number, word)  # type: ignore[arg-type]
    assert log.until(Done)[1].result.value == "finished"  # type: ignore[union-attr]
    worker.tell(number, "pause")
    assert worker.run(Do(value="next")).value == "next"


def test_a_paused_job_can_be_cancelled(worker: Worker, log: Log) -> None:
    number = worker.submit(Do("wait_for_words"))
    log.until(Progress)
    worker.tell(number, "pause")
    log.until(Progress)
    pid = worker.pid
    worker.cancel(number)
    assert log.until(Cancelled) == (number, Cancelled())
    assert worker.pid == pid


def test_a_stubborn_job_is_killed_and_the_next_one_gets_a_new_process(log: Log) -> None:
    with Worker(FAKE, log, patience=0.1) as worker:
        number = worker.submit(Do("wait_stubbornly"))
        log.until(Progress)
        old = worker.pid
        worker.cancel(number)
        worker.cancel(number)
        assert log.until(Cancelled, Died) == (number, Cancelled())
        assert worker.run(Do(value="new")).pid != old


def test_run_raises_when_its_job_is_cancelled_elsewhere(worker: Worker) -> None:
    with pytest.raises(JobCancelled):
        worker.run(Do("wait_politely"), lambda _: worker.cancel(1))


def test_an_interrupted_run_cancels_its_job(worker: Worker, log: Log) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.run(Do("wait_politely"), interrupt)
    assert worker.run(Do(value="free again")).value == "free again"


def test_a_killed_process_is_reported_and_survived(worker: Worker, log: Log) -> None:
    number = worker.submit(Do("wait_stubbornly"))
    after = worker.submit(Do(value="after"))
    log.until(Progress)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    got, died = log.until(Died)
    assert got == number
    assert died == Died("the fake_worker's process was ended by SIGKILL")
    assert log.until(Done)[0] == after


def test_a_process_that_dies_between_jobs_is_replaced(worker: Worker) -> None:
    old = worker.run(Do()).pid
    os.kill(old, signal.SIGKILL)
    os.waitid(os.P_PID, old, os.WEXITED | os.WNOWAIT)
    assert worker.run(Do()).pid != old


def test_a_crash_shows_the_last_words(worker: Worker) -> None:
    words = r"the fake_worker's process was ended by SIGSEGV \(its last words: about to crash\)"
    with pytest.raises(WorkerDied, match=words) as caught:
        worker.run(Do("crash"))
    assert "about to crash" in caught.value.details


def test_children_do_not_delay_the_news_of_a_death(worker: Worker, log: Log) -> None:
    number = worker.submit(Do("crash_with_a_child"))
    assert log.until(Died)[0] == number
    assert worker.run(Do(value="after")).value == "after"


def test_after_a_crash_the_request_is_asked_as_it_says(worker: Worker) -> None:
    seen: list[Progress] = []
    assert worker.run(Do("crash", "second try", retry="echo"), seen.append).value == "second try"
    assert seen[0].message == AGAIN.replace("ABRT", "SEGV")
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        worker.run(Do("crash", retry="crash"))


@pytest.mark.parametrize("needed", ["", REMAPPER, f"{REMAPPER} {ONEDNN}"])
def test_a_process_that_crashes_is_started_again_with_less(worker: Worker, needed: str) -> None:
    seen: list[Progress] = []
    assert worker.run(Run(value=needed), seen.append).value == needed
    assert [event.message for event in seen] == [AGAIN] * len(needed.split())


def test_what_crashes_with_nothing_left_to_leave_out_is_given_up(worker: Worker) -> None:
    with pytest.raises(WorkerDied, match=r"TensorFlow itself crashes on this graph, .*SIGABRT"):
        worker.run(Run(value=f"{REMAPPER} {ONEDNN} SOMETHING_ELSE"))
    assert worker.run(Run()).value == ""  # the next job has everything again


@pytest.mark.parametrize("background", [False, True])
def test_a_background_process_gives_way(background: bool) -> None:
    with Worker(FAKE, background=background) as worker:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        pid = worker.run(Do()).pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == max(own, 10 if background else own)


def test_a_job_that_takes_times_does_not_give_way() -> None:
    class Timed(Do):
        timed = True

    with Worker(FAKE, background=True) as worker:
        own, seen = os.getpriority(os.PRIO_PROCESS, 0), []
        for request in (Do("echo"), Timed("echo"), Do("echo")):
            worker.run(request)
            seen.append(os.getpriority(os.PRIO_PROCESS, worker.pid or 0))
        assert seen == [max(own, 10), own, max(own, 10)]


def test_a_process_above_its_memory_is_ended_with_a_sentence() -> None:
    with Worker(FAKE, memory_bytes=150_000_000) as worker:
        assert worker.run(Do(value="small")).value == "small"
        for action in ("take_memory", "take_memory_elsewhere"):
            with pytest.raises(CompressorError, match=r"more memory than the 150 MB .*allow more"):
                worker.run(Do(action, "200"))
        worker.memory_bytes = 0
        assert worker.run(Do(value="still here")).value == "still here"


def test_an_exit_is_no_crash_and_not_tried_again(worker: Worker) -> None:
    with pytest.raises(WorkerDied, match="exit code 3"):
        worker.run(Do("leave", retry="echo"))


def test_a_process_that_babbles_is_ended(worker: Worker) -> None:
    worker.run(Do())
    assert worker.pid is not None
    answers = [int(fd) for fd in os.listdir(f"/proc/{worker.pid}/fd") if _is_pipe_of(worker.pid, fd, worker)]
    with pytest.raises(WorkerDied, match="broke the protocol"):
        worker.run(Do("babble", str(answers[0])))


def _is_pipe_of(pid: int, fd: str, worker: Worker) -> bool:
    assert worker._process is not None
    ours = os.readlink(f"/proc/self/fd/{worker._process.stdout.fileno()}")
    return os.readlink(f"/proc/{pid}/fd/{fd}") == ours


def test_a_program_that_is_not_there_is_said() -> None:
    with Worker("compressor_gui.no_such_module") as worker, pytest.raises(WorkerDied, match="exit code 1") as caught:
        worker.run(Do())
    assert "no_such_module" in caught.value.details


def test_closing_cancels_what_runs_and_what_waits(log: Log) -> None:
    worker = Worker(FAKE, log)
    numbers = [worker.submit(Do("wait_stubbornly")), worker.submit(Do())]
    log.until(Progress)
    worker.close()
    worker.close()
    assert [log.until(Cancelled, Died, Done) for _ in numbers] == [(number, Cancelled()) for number in numbers]
    with pytest.raises(RuntimeError, match="closed"):
        worker.submit(Do())


def test_a_listener_that_fails_stops_nothing(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_number: int, _event: Event) -> None:
        raise ValueError("in a listener")

    worker.submit(Do(), broken)
    assert worker.run(Do(value="fine")).value == "fine"
    assert "a listener failed" in caplog.text
