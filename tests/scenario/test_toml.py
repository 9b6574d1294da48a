"""The same scenario in TOML."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline.scenario.model import Scenario

Read = Callable[..., tuple[Scenario, ...]]
Problems = Callable[..., tuple[list[str], list[str]]]

GOOD = """
name = "in TOML"
target = "t.py:T"
expect = ["whole", {soon = {within = "5s"}}]

[venue]
profile = "plain"
lag = "1s"

[workload]
orders = 3

[[faults]]
lost = {on = "POST /orders", probability = "50%"}

[[faults]]
[faults.lost]
during = ["1s", "2s"]
"""


def test_toml_says_the_same_as_yaml(read: Read) -> None:
    (scenario,) = read(GOOD, "s.toml")
    yaml = """
name: in TOML
target: t.py:T
expect: [whole, soon: {within: 5s}]
venue: {profile: plain, lag: 1s}
workload: {orders: 3}
faults:
  - lost: {on: POST /orders, probability: 50%}
  - lost: {during: [1s, 2s]}
"""
    (same,) = read(yaml, "s.toml".replace("toml", "yaml"))
    assert (scenario.faults, scenario.venue, scenario.workload) == (same.faults, same.venue, same.workload)
    assert [oracle.name for oracle in scenario.expect] == ["whole", "soon"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('lag = "1s"', "lag = «1", "venue.lag: 1 has no unit: write a duration like 250ms"),
        ("orders = 3", 'orders = «"3"', "workload.orders: expected a whole number, not the text '3'"),
        ("orders = 3", "«order = 3", "unknown key 'order' of workload; did you mean 'orders'?"),
        ('["1s", "2s"]', '«["1s"]', "lost.during: too few values"),
        ("lost = {on", "«lots = {on", "unknown fault 'lots'; did you mean 'lost'?"),
        ('lag = "1s"', "«lag = 1979-05-27", "dates and times of day are not used in scenarios; put it in quotes"),
        ('lag = "1s"', "lag = «= 1", "not TOML: Invalid value"),
    ],
)
def test_positions_are_found_again(problems: Problems, old: str, new: str, message: str) -> None:
    found, marked = problems(GOOD.replace(old, new), "s.toml")
    assert found[0].endswith(message)
    # A date is noted at its value, which is near enough.
    assert found[0].split(":")[0] == marked[0].split(":")[0]
    assert found[0].startswith(marked[0]) or "dates" in message


def test_deep_nesting_is_a_problem_not_a_crash(problems: Problems) -> None:
    for text in (f"a = {'[' * 100_000}", f"a = {'[' * 60}{']' * 60}"):
        assert "nested more than" in problems(text, "s.toml")[0][0]


def test_two_items_that_begin_alike_are_two_places(problems: Problems) -> None:
    second = GOOD.replace('[[faults]]\n[faults.lost]\nduring = ["1s", "2s"]', '[[faults]]\nlost = {status = «"x"}')
    first = second.replace('on = "POST /orders"', 'status = «"y"')
    found, marked = problems(first, "s.toml")
    assert [":".join(each.split(":")[:2]) for each in found] == marked
