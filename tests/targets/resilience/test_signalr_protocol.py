"""The hub protocol as text: framing, handshake, the seven message types, and what is no message."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.resilience import signalr_protocol
from targets.resilience.signalr_protocol import (
    HANDSHAKE,
    CancelInvocation,
    Close,
    Completion,
    HubMessage,
    HubReader,
    Invocation,
    Ping,
    ProtocolError,
    StreamInvocation,
    StreamItem,
    encode,
)

MESSAGES: list[tuple[dict[str, object], HubMessage]] = [
    ({"type": 1, "target": "T", "arguments": [1, "a", None]}, Invocation("T", (1, "a", None))),
    (
        {"type": 1, "target": "T", "arguments": [], "invocationId": "1", "streamIds": ["2"]},
        Invocation("T", (), "1", ("2",)),
    ),
    ({"type": 2, "invocationId": "1", "item": {"a": 1}}, StreamItem("1", {"a": 1})),
    ({"type": 3, "invocationId": "1"}, Completion("1")),
    ({"type": 3, "invocationId": "1", "result": None}, Completion("1", result=None)),
    ({"type": 3, "invocationId": "1", "error": "no"}, Completion("1", error="no")),
    ({"type": 4, "invocationId": "1", "target": "T", "arguments": [2]}, StreamInvocation("1", "T", (2,))),
    ({"type": 5, "invocationId": "1"}, CancelInvocation("1")),
    ({"type": 6}, Ping()),
    ({"type": 7}, Close()),
    ({"type": 7, "error": "bye", "allowReconnect": True}, Close("bye", allow_reconnect=True)),
]


def shaken() -> HubReader:
    reader = HubReader()
    assert reader.feed("{}\x1e") == []
    return reader


@pytest.mark.parametrize(("wire", "message"), MESSAGES)
def test_each_message_is_read_and_written_as_the_protocol_has_it(wire: dict[str, object], message: HubMessage) -> None:
    assert shaken().feed(json.dumps(wire) + "\x1e") == [message]
    text = encode(message)
    assert text.endswith("\x1e")
    assert json.loads(text[:-1]) == wire


def test_numbers_with_a_fraction_do_not_pass_through_a_float() -> None:
    (message,) = shaken().feed('{"type":1,"target":"T","arguments":[0.1,{"price":21050.25},3]}\x1e')
    assert isinstance(message, Invocation)
    assert message.arguments == (Decimal("0.1"), {"price": Decimal("21050.25")}, 3)


def test_the_answer_to_the_handshake_may_share_a_frame_with_the_first_messages() -> None:
    assert json.loads(HANDSHAKE[:-1]) == {"protocol": "json", "version": 1}
    reader = HubReader()
    assert reader.feed("{") == []
    assert not reader.shaken
    assert reader.feed('}\x1e{"type":6}\x1e{"type"') == [Ping()]
    assert reader.shaken
    assert reader.feed(":6}\x1e") == [Ping()]


@pytest.mark.parametrize("answer", ['{"error":"unknown protocol"}', '{"type":6}', "[]", "nonsense", ""])
def test_anything_but_an_accepted_handshake_is_an_error(answer: str) -> None:
    with pytest.raises(ProtocolError):
        HubReader().feed(answer + "\x1e")


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[]",
        '"text"',
        "{}",
        '{"type":"6"}',
        '{"type":8,"sequenceId":1}',
        '{"type":1,"arguments":[]}',
        '{"type":1,"target":"","arguments":[]}',
        '{"type":1,"target":"T","arguments":{}}',
        '{"type":1,"target":"T","arguments":[],"invocationId":""}',
        '{"type":1,"target":"T","arguments":[NaN]}',
        '{"type":3}',
        '{"type":3,"invocationId":7}',
        '{"type":3,"invocationId":"1","result":1,"error":"both"}',
        '{"type":7,"allowReconnect":"yes"}',
        '{"type":6}{"type":6}',
    ],
)
def test_what_is_no_message_is_an_error(record: str) -> None:
    with pytest.raises(ProtocolError):
        shaken().feed(record + "\x1e")


def test_a_binary_frame_and_a_message_without_end_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match="binary"):
        shaken().feed(b'{"type":6}\x1e')
    monkeypatch.setattr(signalr_protocol, "RECORD_CHARS_MAX", 100)
    with pytest.raises(ProtocolError, match="more than 100"):
        shaken().feed("x" * 101)


@given(
    messages=st.lists(st.sampled_from([message for _, message in MESSAGES]), max_size=12),
    cuts=st.lists(st.integers(min_value=0, max_value=600), max_size=12),
)
def test_it_does_not_matter_how_the_text_is_cut_into_frames(messages: list[HubMessage], cuts: list[int]) -> None:
    text = "{}\x1e" + "".join(map(encode, messages))
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    reader = HubReader()
    heard = [message for start, end in pairwise(places) for message in reader.feed(text[start:end])]
    assert heard == messages


@given(st.text(max_size=40))
def test_whatever_arrives_is_one_message_or_an_error(text: str) -> None:
    records = text.count("\x1e") + 1
    try:
        heard = shaken().feed(text + "\x1e")
    except ProtocolError:
        return
    assert len(heard) == records
