"""Every kind of mistake: one message, at the exact place, with a way out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Problems = Callable[..., tuple[list[str], list[str]]]

GOOD = {
    "name": "name: n",
    "target": "target: t.py:T",
    "venue": "venue: plain",
    "faults": "faults: [lost]",
    "expect": "expect: [whole]",
}


def scenario(**changed: str) -> str:
    """A good scenario with some of its lines replaced, added, or (empty) left out."""
    return "\n".join(line for line in {**GOOD, **changed}.values() if line) + "\n"


CASES = {
    "a wrong key of an effect": (
        scenario(effects="effects:\n  - POST /orders: {«idd: json id}"),
        "unknown key 'idd' of effect; did you mean 'id'?",
    ),
    "an effect whose place is none": (
        scenario(effects="effects:\n  - POST /orders: {key: «body k}"),
        "effect: key is 'body k'; write header NAME or json path.to.it",
    ),
    "an effect with statuses that are none": (
        scenario(effects="effects: [POST /orders: {statuses: [200, «ok]}]"),
        "effect.statuses: expected a whole number, not the text 'ok'",
    ),
    "an effect that says twice what it is about": (
        scenario(effects="effects:\n  - POST /orders: {«on: POST /a}"),
        "'on' is given already: it is POST /orders, before the colon",
    ),
    "an effect that is there twice": (
        scenario(effects="effects:\n  - POST /orders\n  - «POST /orders: {id: json n}"),
        "POST /orders is an effect already; keep one",
    ),
    "effects that are no list": (
        scenario(effects="effects: «{POST /orders: {}}"),
        "expected a list, each item like POST /orders: {key: header Idempotency-Key, id: json id}",
    ),
    "a wrong key": (scenario(x="«workloads: {}"), "unknown key 'workloads'; did you mean 'workload'?"),
    "a wrong key of a fault": (
        scenario(faults="faults:\n  - lost: {«probabilty: 50%}"),
        "unknown key 'probabilty' of lost; did you mean 'probability'?",
    ),
    "a key that is like no other": (
        scenario(expect="expect:\n- soon:\n    «zzz: 1"),
        "unknown key 'zzz' of soon; known: within",
    ),
    "a wrong key deep inside": (
        scenario(venue="venue: {profile: plain, limits: [{count: 1, «windows: 1s}]}"),
        "unknown key 'windows'; did you mean 'window'?",
    ),
    "an unknown fault": (scenario(faults="faults:\n  - «lots: {}"), "unknown fault 'lots'; did you mean 'lost'?"),
    "an unknown fault in short": (scenario(faults="faults: [«lots]"), "unknown fault 'lots'; did you mean 'lost'?"),
    "an unknown oracle": (scenario(expect="expect: [«hole]"), "unknown oracle 'hole'; did you mean 'whole'?"),
    "an unknown group": (
        scenario(expect="expect: [«all_their]"),
        "unknown oracle 'all_their'; did you mean 'all_there'?",
    ),
    "an unknown profile": (scenario(venue="venue: «plane"), "unknown venue profile 'plane'; did you mean 'plain'?"),
    "an unknown world": (scenario(x="world: «simm"), "unknown world 'simm'; did you mean 'sim'?"),
    "a missing unit": (
        scenario(expect="expect: [soon: {within: «30}]"),
        "soon.within: 30 has no unit: write a duration like 250ms",
    ),
    "a missing unit in quotes": (
        scenario(expect="expect: [soon: {within: «'30'}]"),
        "soon.within: '30' has no unit (a duration needs one of us, ms, s, min, m, h, d); write it like 250ms or 2s",
    ),
    "a unit of another kind": (
        scenario(faults="faults: [lost: {after_bytes: «5s}]"),
        "lost.after_bytes: '5s' has an unknown unit 's' (a size takes B, kB, KB, MB, GB, KiB, MiB, GiB)",
    ),
    "a fraction as a number": (
        scenario(faults="faults: [lost: {probability: «0.5}]"),
        "lost.probability: 0.5 has no unit: write a percentage like 50%",
    ),
    "a percentage too high": (
        scenario(faults="faults: [lost: {probability: «150%}]"),
        "lost.probability: '150%' is not between 0% and 100%",
    ),
    "a duration in a list": (
        scenario(faults="faults: [lost: {during: [1s, «20]}]"),
        "lost.during: 20 has no unit: write a duration like 250ms",
    ),
    "a list too short": (scenario(faults="faults: [lost: {during: «[1s]}]"), "lost.during: too few values"),
    "a list too long": (
        scenario(faults="faults: [lost: {during: «[1s, 2s, 3s]}]"),
        "lost.during: expected 2 values, not 3",
    ),
    "a value in place of a list": (
        scenario(faults="faults: [lost: {during: «5s}]"),
        "lost.during: expected a list, not the text '5s'",
    ),
    "a word for a number": (
        scenario(faults="faults: [lost: {status: «many}]"),
        "lost.status: expected a whole number, not the text 'many'",
    ),
    "a fraction for a whole number": (
        scenario(faults="faults: [lost: {status: «1.5}]"),
        "lost.status: expected a whole number, not the number 1.5",
    ),
    "one of several kinds": (
        scenario(faults="faults: [lost: {nth: «first}]"),
        "lost.nth: expected a whole number or a list, not the text 'first'",
    ),
    "the kind that fits deepest": (
        scenario(faults="faults: [lost: {nth: [1, «x]}]"),
        "lost.nth: expected a whole number, not the text 'x'",
    ),
    "a misspelt choice": (
        scenario(faults="faults: [lost: {phase: «befor}]"),
        "lost.phase: expected 'before' or 'after', not the text 'befor'; did you mean 'before'?",
    ),
    "a choice or a unit": (
        scenario(faults="faults: [lost: {delay: «nevr}]"),
        "lost.delay: 'nevr' is not a duration; write it like 250ms or 2s; or expected 'never', not the text 'nevr'; "
        "did you mean 'never'?",
    ),
    "yes for true": (
        scenario(venue="venue: {profile: plain, strict: «yes}"),
        "venue.strict: expected true or false, not the text 'yes'",
    ),
    "a number for a name": (
        scenario(name="name: «5"),
        "name: expected text, not the number 5; put it in quotes",
    ),
    "a number that is none": (
        scenario(venue="venue: {profile: plain, fee: «.nan}"),
        "venue.fee: expected a finite number",
    ),
    "a missing name": ("«target: t.py:T\nvenue: plain\nexpect: [whole]\n", "'name' is missing"),
    "a missing setting": (
        scenario(venue="venue: {profile: plain, limits: [«{window: 1s}]}"),
        "venue.limits: 'count' is missing",
    ),
    "what the class itself refuses": (
        scenario(expect="expect: [soon: {within: «0s}]"),
        "soon: within is zero, so nothing could hold",
    ),
    "what a class within refuses": (
        scenario(venue="venue: {profile: plain, limits: [«{count: 0}]}"),
        "venue.limits: count must be at least 1",
    ),
    "what the base of faults refuses": (
        scenario(faults="faults: [lost: {during: «[5s, 1s]}]"),
        "lost: during [5s, 1s] ends before it begins; write the earlier time first",
    ),
    "a synonym is pointed at as it was written": (
        scenario(faults="faults: [lost: {jitter: «1s}]"),
        "lost: jitter moves the repetitions of every; give every as well",
    ),
    "a synonym given twice": (
        scenario(faults="faults: [lost: {every: 1s, every_jitter: 1ms, «jitter: 1ms}]"),
        "'jitter' and 'every_jitter' mean the same; give one of them",
    ),
    "settings that are not indented": (
        scenario(faults="faults:\n  - lost:\n    «on: x"),
        "one item has 'lost' and 'on'; indent the settings of lost further than its name",
    ),
    "settings that are no mapping": (
        scenario(faults="faults: [lost: «50%]"),
        "lost: expected a mapping of settings, such as {key: value}",
    ),
    "an item that is nothing": (
        scenario(faults="faults: [«7]"),
        "expected an item like lost_response: {on: POST /orders}, not the number 7",
    ),
    "no list": (
        scenario(faults="faults: «lost"),
        "expected a list, each item like lost_response: {on: POST /orders}",
    ),
    "an oracle twice": (scenario(expect="expect: [whole, «whole]"), "whole is expected twice; keep one"),
    "an oracle twice by a group": (
        scenario(expect="expect: [whole, «all_there]"),
        "whole is expected twice (by all_there); keep one",
    ),
    "settings of a group": (
        scenario(expect="expect: [all_there: «{within: 1s}]"),
        "all_there has no settings of its own; write its oracles: whole, acked",
    ),
    "nothing expected": (
        scenario(expect="expect: «[]"),
        "nothing is expected, so nothing could fail; name at least one oracle",
    ),
    "no target": ("«" + scenario(target=""), "'target' is missing; write target: path/to/file.py:Class"),
    "a target without a class": (
        scenario(target="target: «t.py"),
        "the text 't.py' does not name a target; write path/to/file.py:Class",
    ),
    "both kinds of target": (
        scenario(target="«target: t.py:T\ntargets: {a: t.py:T}"),
        "target and targets are both given; keep one",
    ),
    "no targets": (
        scenario(target="targets: «{}"),
        "expected names with their targets: {careful: path/to/file.py:Class}",
    ),
    "no venue": (
        scenario(venue="«venue: {profil: plain}").replace("«venue: ", "venue: «"),
        "expected a venue such as {profile: generic} (known: plain)",
    ),
    "known failures of a stranger": (
        scenario(target="targets: {naive: t.py:T}", x="expect_for: {«naif: {fails: [whole]}}"),
        "no target is called 'naif'; did you mean 'naive'?",
    ),
    "a known failure that nobody looks for": (
        scenario(x="expect_for: {default: {fails: [«acked]}}"),
        "'acked' is not among the oracles of expect; known: whole",
    ),
    "the same with a reason": (
        scenario(x="expect_for: {default: {fails: {«hole: because}}}"),
        "'hole' is not among the oracles of expect; did you mean 'whole'?",
    ),
    "a group that fails": (
        scenario(expect="expect: [all_there]", x="expect_for: {default: {fails: [«all_there]}}"),
        "'all_there' is not among the oracles of expect; name the one that fails: whole, acked",
    ),
    "an unknown one that may fail": (
        scenario(x="expect_for: {default: {may_fail: [«hole]}}"),
        "unknown oracle 'hole'; did you mean 'whole'?",
    ),
    "one that must and may fail": (
        scenario(x="expect_for: {default: {fails: [whole], may_fail: [«whole]}}"),
        "whole is under fails too; keep one",
    ),
    "no seeds": (scenario(x="seeds: «0"), "seeds is 0; it is 1 to 1000000"),
    "a later version": (scenario(x="version: «2"), "version is 2; this faultline reads 1"),
    "no orders": (scenario(x="workload: {orders: «0}"), "workload: orders is 0; it is 1 to 1000000"),
    "no rate": (
        scenario(x="workload: {rate: «0/s}"),
        "workload: rate is zero, so no order would ever be placed; write it like 20/s",
    ),
    "a number without end": (
        scenario(faults="faults: [lost: {rate: «" + "9" * 400 + "B/s}]"),
        "is too large for a data rate",
    ),
    "an unknown parameter": (
        scenario(x="params: {p: 1}", name="name: «${q} ${p}"),
        "unknown parameter ${q}; known: p",
    ),
    "a parameter where there are none": (
        scenario(name="name: «${q}"),
        "unknown parameter ${q}; name it under params or matrix",
    ),
    "a parameter that nothing uses": (scenario(x="params: {«p: 1}"), "nothing uses ${p}; use it or remove it"),
    "a parameter that is a list": (scenario(x="params: {p: «[1]}", name="name: ${p}"), "expected a single value"),
    "a parameter of a parameter": (
        scenario(x="params: {p: «'${q}', q: 1}", name="name: ${p} ${q}"),
        "a parameter cannot refer to another",
    ),
    "a parameter with a wrong name": (
        scenario(x="params: {«p-1: 1}"),
        "'p-1' cannot be a name: use letters, digits and _",
    ),
    "params that are no mapping": (scenario(x="params: «[p]"), "expected a mapping of names to values"),
    "a matrix of one value": (
        scenario(x="matrix: {p: «1}", name="name: ${p}"),
        "expected a list of values, such as [fin, rst], or a mapping of named rows",
    ),
    "a matrix with a value twice": (
        scenario(x="matrix: {p: «[1, '1']}", name="name: x ${p}"),
        "a value is there twice",
    ),
    "a name in both": (
        scenario(x="params: {p: 1}\nmatrix: {«p: [1]}", name="name: x ${p}"),
        "'p' is in params too; keep one",
    ),
    "an endless matrix": (
        scenario(
            x=f"matrix: «{{p: &m [{', '.join(map(str, range(40)))}], q: *m, r: *m}}",
            name="name: ${p} ${q} ${r}",
        ),
        "64000 combinations; a file may have up to 1000",
    ),
    "a wrong value that came from a parameter": (
        scenario(x="params: {p: 5}", faults="faults: [lost: {probability: «'${p}'}]"),
        "lost.probability: 5 has no unit: write a percentage like 50%",
    ),
    "nothing at all": ("", "this is not a scenario: expected keys such as name, target, faults and expect"),
    "a list": ("«- a\n", "this is not a scenario: expected keys such as name, target, faults and expect"),
}


@pytest.mark.parametrize(("text", "message"), CASES.values(), ids=CASES)
def test_a_mistake_is_told_at_its_place(problems: Problems, text: str, message: str) -> None:
    found, marked = problems(text)
    where = marked[0] if marked else "1:1"
    about = [each for each in found if each.startswith(f"{where}: ")]
    assert about, f"nothing at {where}: {found}"
    assert message in about[0]
    # What is missing by the same mistake may be told too, but nothing else.
    assert all("is missing" in each or each in about for each in found)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    text = """
name: n
«tagz: [a]
target: «t
venue: {profile: plain, «lagg: 1s}
seeds: «none
faults:
  - lost: {probability: «50, status: «x}
  - «lots
expect: [«hole, soon: {within: «5}]
"""
    found, marked = problems(text)
    assert [":".join(each.split(":")[:2]) for each in found] == marked
    assert len(found) == 9


def test_a_wrong_parameter_is_told_once_and_hides_nothing_else(problems: Problems) -> None:
    text = scenario(x="params: {p: «[1]}\nseeds: ${p}", faults="faults: [«lots]")
    found, marked = problems(text)
    assert sorted(":".join(each.split(":")[:2]) for each in found) == sorted(marked)


def test_a_problem_of_every_cell_of_a_matrix_is_told_once(problems: Problems) -> None:
    found, _ = problems(scenario(x="matrix: {p: [a, b]}", name="name: ${p}", faults="faults: [lots]"))
    assert len(found) == 1
