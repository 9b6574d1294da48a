from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.errors import HarnessError, UsageError
from faultline.history import Aliases, Contract, History, RateBucket, read_history
from faultline.history.event import VERSION, AnyEvent, Belief, Contracted, Event, Intent, OrderBelief, Phase

CONTRACTED = Contracted(0.0, Contract("v", buckets=(RateBucket("all", 5, 1.0, (("* *", 1),)),)), seed=3)


def strategy(annotation: object) -> st.SearchStrategy[object]:
    """Values of a field. Text is any text that UTF-8 can hold, so that nothing depends on it being tame."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if annotation is int:
        return st.integers(-(2**63), 2**63)
    if annotation is str:
        return st.text(max_size=12)
    if annotation is bool:
        return st.booleans()
    if annotation is type(None):
        return st.none()
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is ...:
        return st.lists(strategy(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(strategy, arguments))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return structs(annotation)
    return st.one_of(*map(strategy, arguments))


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: strategy(hints[name]) for name in kind.__struct_fields__})


any_event = st.one_of(*(structs(kind) for kind in typing.get_args(AnyEvent)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("log")


@given(events=st.lists(any_event, max_size=12), digest=st.sampled_from(["", "5f"]))
def test_a_history_read_back_is_the_one_that_was_written(folder, events, digest):
    history = History(events, path=folder / "streamed.jsonl")
    history.seal(digest)
    history.write(folder / "written.jsonl")

    assert (folder / "written.jsonl").read_bytes() == (folder / "streamed.jsonl").read_bytes()
    back = read_history(folder / "streamed.jsonl")
    assert list(back) == events
    assert back.digest == history.digest


def test_every_kind_of_event_is_covered():
    assert set(typing.get_args(AnyEvent)) == set(Event.__subclasses__())


def test_the_hash_depends_on_the_order_of_events_and_on_the_wire():
    one, other = Phase(1.0, "load"), Phase(1.0, "tail")
    digests = set()
    for events, wire in (([one, other], ""), ([other, one], ""), ([one], ""), ([one, other], "5f")):
        history = History(events)
        history.seal(wire)
        digests.add(history.digest)

    assert len(digests) == 4


def test_what_happens_after_the_seal_is_no_evidence(tmp_path):
    history = History([CONTRACTED], path=tmp_path / "h.jsonl")
    history.seal()
    before = history.digest
    history.append(Phase(1.0, "load"))
    history.seal("again")

    assert (len(history), history.digest) == (1, before)
    assert len(read_history(tmp_path / "h.jsonl")) == 1


def test_a_run_that_is_killed_leaves_every_event_so_far_readable(tmp_path):
    path = tmp_path / "h.jsonl"
    history = History([CONTRACTED, Phase(1.0, "load")], path=path)

    assert list(read_history(path)) == list(history)  # nobody sealed or closed it


def test_a_torn_last_line_is_left_out_wherever_it_is_torn(tmp_path):
    path = tmp_path / "h.jsonl"
    whole = History([Phase(0.0, "load"), Phase(1.0, "tail"), Intent(2.0, "I1", "place", symbol="é")], path=path)
    whole.seal("5f")
    text = path.read_bytes()
    lengths = set()
    for end in range(text.index(b"\n") + 1, len(text)):
        path.write_bytes(text[:end])
        back = read_history(path)
        assert list(back) == list(whole)[: len(back)]
        lengths.add(len(back))

    assert lengths == {0, 1, 2, 3}


def test_damage_in_the_middle_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "h.jsonl"
    History([CONTRACTED, Phase(1.0, "load"), Phase(2.0, "tail")]).write(path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], lines[2][:-4], *lines[3:]]))

    with pytest.raises(UsageError, match=r"h\.jsonl:3: damaged event"):
        read_history(path)


def test_a_whole_last_line_that_is_no_event_is_an_error(tmp_path):
    path = tmp_path / "h.jsonl"
    History([CONTRACTED]).write(path)
    path.write_bytes(path.read_bytes() + b'{"kind":"phase","t":"soon"}\n')

    with pytest.raises(UsageError, match=r"h\.jsonl:3: damaged event"):
        read_history(path)


def test_a_later_version_is_refused_and_an_equal_one_is_not(tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_text(f'{{"faultline_history":{VERSION}}}\n')
    assert len(read_history(path)) == 0

    path.write_text(f'{{"faultline_history":{VERSION + 1}}}\n')
    with pytest.raises(UsageError, match="upgrade"):
        read_history(path)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"hello\n", b"\xff\xfe\n", b'{"faultline_history":"1"}\n'])
def test_a_file_that_is_no_history_is_refused(tmp_path, content):
    path = tmp_path / "h.jsonl"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="not a faultline history"):
        read_history(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_history(tmp_path / "none.jsonl")


def test_writing_leaves_nothing_but_the_file(tmp_path):
    History([CONTRACTED]).write(tmp_path / "h.jsonl")

    assert [path.name for path in tmp_path.iterdir()] == ["h.jsonl"]


def test_the_ledger_follows_a_history_that_still_grows():
    history = History([CONTRACTED, Intent(1.0, "I1", "place")])
    assert set(history.ledger.intents) == {"I1"}
    assert history.ledger is history.ledger

    history.append(Intent(2.0, "I2", "place"))
    assert set(history.ledger.intents) == {"I1", "I2"}


def test_events_are_found_by_their_kind_and_phases_by_their_name():
    belief = Belief(2.0, 1, (OrderBelief("I1", "new"),))
    history = History([CONTRACTED, Phase(1.0, "load"), belief])

    assert history.of(Belief) == [belief]
    assert history.of(Intent) == []
    assert (history.phase_t("load"), history.phase_t("tail")) == (1.0, None)
    assert (history.end_t, History().end_t) == (2.0, 0.0)
    assert history.contract == CONTRACTED.contract


def test_a_history_without_its_contract_says_so():
    with pytest.raises(HarnessError, match="does not begin with its contract"):
        _ = History([Phase(1.0, "load")]).contract


# Aliases


def test_secrets_become_aliases_that_stay_the_same_for_a_run():
    aliases = Aliases()

    assert [aliases.name("token", secret) for secret in ("abc", "xyz", "abc", "")] == [
        "<token#1>",
        "<token#2>",
        "<token#1>",
        "",
    ]
    assert aliases.name("refresh", "abc") == "<refresh#1>"


def test_no_secret_survives_scrubbing_even_inside_another():
    aliases = Aliases()
    aliases.name("token", "abc")
    aliases.name("token", "abcdef")

    assert aliases.scrub("Bearer abcdef, then abc") == "Bearer <token#2>, then <token#1>"


def test_the_signature_in_a_url_is_scrubbed():
    url = f"https://api.test/order?timestamp=1&signature={'0af' * 20}&x=1"
    assert Aliases().scrub(f"Timeout: GET {url}") == (
        "Timeout: GET https://api.test/order?timestamp=1&signature=<signature>&x=1"
    )
    assert Aliases().scrub("the signature=wrong") == "the signature=wrong"
