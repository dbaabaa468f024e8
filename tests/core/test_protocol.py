"""The lines between the program and its engine, and a server that reads them."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import protocol
from compressor_gui.core.jobs import CheckExport, ExportCheck, Hello, OutputCheck
from compressor_gui.core.protocol import (
    Cancelled,
    Done,
    Event,
    Failed,
    Progress,
    ProtocolError,
    cancel_line,
    event_line,
    parse_event,
    parse_request,
    read_line,
    request_line,
    word_line,
)
from tests.core.fake_worker import Do
from tests.core.test_worker import FAKE

# --- the lines -------------------------------------------------------------------------------------------------------


text = st.text(st.characters(codec=None, categories=("L", "N", "P", "Zs", "Cs", "Cc")), max_size=20)
names = st.lists(text, max_size=3).map(tuple)


@given(st.builds(CheckExport, text, text, names, names, st.integers(0, 2**40), st.booleans()))
def test_a_request_survives_the_line(request: CheckExport) -> None:
    line = request_line(7, request)
    assert line.count(b"\n") == 1
    assert parse_request(line, [Hello, CheckExport]) == (7, request)


number = st.floats(allow_nan=False, allow_infinity=False)
outputs = st.builds(
    OutputCheck, text, number, st.none() | number, st.booleans(), st.booleans(), st.lists(st.integers()).map(tuple)
)


@given(st.builds(ExportCheck, st.lists(outputs, max_size=2).map(tuple), names, names, number))
def test_a_result_survives_the_line(result: ExportCheck) -> None:
    assert parse_event(event_line(3, Done(result)), CheckExport) == (3, Done(result))


@pytest.mark.parametrize("event", [Progress(1, 2, "half"), Failed("what", "where", "hint"), Cancelled()])
def test_other_events_survive_the_line(event: Event) -> None:
    assert parse_event(event_line(1, event), CheckExport) == (1, event)


def test_a_wish_to_cancel_survives_the_line() -> None:
    assert parse_request(cancel_line(9), [Hello]) == (9, None)


def test_a_word_survives_the_line() -> None:
    assert parse_request(word_line(9, "pause"), [Hello]) == (9, "pause")
    with pytest.raises(ProtocolError, match="no word 'sing'"):
        parse_request(b'{"v": 1, "tell": 9, "word": "sing"}\n', [Hello])


GOOD = {
    "v": 1,
    "id": 1,
    "ask": "check_export",
    "with": {"original": "a", "candidate": "b", "outputs": ["x"], "seed": 0},
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v": 2}, "version 1"),
        ({"ask": "format_disk"}, "no request 'format_disk'"),
        ({"id": "1"}, "not int"),
        ({"id": True}, "not int"),
        ({"with": []}, "request is not CheckExport"),
        ({"with": {**GOOD["with"], "seed": "0"}}, "request.seed is not int"),  # type: ignore[dict-item]
        ({"with": {**GOOD["with"], "outputs": "x"}}, "request.outputs is not"),  # type: ignore[dict-item]
        ({"with": {**GOOD["with"], "outputs": [1]}}, r"request.outputs\[0\] is not str"),  # type: ignore[dict-item]
        ({"with": {**GOOD["with"], "color": "red"}}, "has no 'color'"),  # type: ignore[dict-item]
        ({"with": {"original": "a"}}, "missing"),
    ],
)
def test_a_malformed_request_is_refused(change: dict, words: str) -> None:
    assert parse_request(json.dumps(GOOD).encode(), [CheckExport])[0] == 1
    with pytest.raises(ProtocolError, match=words):
        parse_request(json.dumps({**GOOD, **change}).encode(), [CheckExport])


@pytest.mark.parametrize("line", [b"\n", b"hello\n", b"[1]\n", b'{"v": 1}\n', b"\xff\xfe\n", b"[" * 100_000])
def test_garbage_is_refused_on_both_sides(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_request(line, [CheckExport])
    with pytest.raises(ProtocolError):
        parse_event(line, CheckExport)


@given(st.binary(max_size=80))
def test_no_bytes_bring_the_parser_down(line: bytes) -> None:
    for parse in (lambda: parse_request(line, [CheckExport]), lambda: parse_event(line, CheckExport)):
        with pytest.raises(ProtocolError):
            parse()


def test_what_is_too_long_is_neither_sent_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_LINE", 100)
    with pytest.raises(ProtocolError, match="can't be sent"):
        request_line(1, CheckExport("a" * 100, "b", ()))
    stream = io.BytesIO(b"x" * 250 + b"\nnext\n")
    with pytest.raises(ProtocolError, match="longer"):
        read_line(stream)
    assert read_line(stream) == b"next\n"


def test_numbers_that_json_lacks_are_not_sent() -> None:
    with pytest.raises(ProtocolError, match="can't be sent"):
        event_line(1, Done(OutputCheck("x", math.nan, None, True, False, ())))


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", FAKE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as made:
        yield made
        made.kill()


def _ask(server: subprocess.Popen, *lines: bytes) -> dict:
    assert server.stdin
    assert server.stdout
    server.stdin.write(b"".join(lines))
    server.stdin.flush()
    answer: dict = json.loads(server.stdout.readline())
    return answer


def test_the_server_answers_garbage_and_goes_on(server: subprocess.Popen) -> None:
    assert _ask(server, b"GET / HTTP/1.1\n")["id"] == 0
    answer = _ask(server, b"x" * (protocol.MAX_LINE + 10) + b"\n")
    assert (answer["id"], answer["event"]) == (0, "failed")
    assert "longer than 16 MB" in answer["with"]["what"]
    assert _ask(server, cancel_line(5), request_line(6, Do("refuse")))["id"] == 6


def test_the_server_ends_with_its_client_even_in_a_job(server: subprocess.Popen) -> None:
    assert _ask(server, request_line(1, Do("wait_stubbornly")))["event"] == "progress"
    assert server.stdin
    server.stdin.close()
    assert server.wait(timeout=60) == 0
