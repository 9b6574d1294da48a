"""What judging costs: every oracle on a history of a million events, and on one run's worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import REAL, Figure
from faultline.history import Aliases, Contract, History, RateBucket
from faultline.history.event import (
    Answer,
    Answered,
    Belief,
    Boot,
    Connected,
    Contracted,
    Delivered,
    Effect,
    Event,
    Intent,
    OrderBelief,
    Phase,
    Received,
    Resolved,
    Struck,
    TokenIssued,
)
from faultline.oracles import ORACLES, Oracle

BUCKET = RateBucket("all", 150, 1.0, (("POST /orders", 1), ("* *", 1)))
TOKEN_TTL_S = 900.0
GAP_S = 0.05


def events_of_order(index: int, aliases: Aliases) -> Iterator[Event]:
    """Thirty events: one order from intent to final belief, with a retry, two fills and a few reads."""
    t = index * GAP_S
    intent, order, key = f"I{index}", f"o{index}", f"key-{index}"
    token = aliases.name("token", f"secret-{int(t / TOKEN_TTL_S)}")
    yield Intent(t, intent, "place", "NQ", "buy", "4", f"{100 + index}.25")
    request = index * 6
    for n, (endpoint, entity) in enumerate(
        (("POST /orders", intent), ("POST /orders", intent), ("GET /orders", intent), ("GET /fills", "-")), start=1
    ):
        yield Received(t + 0.01, request + n, index % 7 + 1, endpoint, entity, n, t + 0.005, token, key)
        if n == 1:
            yield Struck(t + 0.01, index + 1, "lost_response", "message", endpoint, entity, n, "before", "Cut()")
            yield Resolved(t + 0.01, index + 1, "not_applied")
        yield Answered(t + 0.01, request + n, 0 if n == 1 else 200, "lost" if n == 1 else "sent")
        if n == 2:
            yield Effect(
                t + 0.01, 1, "order", order, intent, "key", "", "new", key, "NQ", "buy", "4", "100.25", request=request
            )
            yield Delivered(t + 0.01, 1, "user", "orders", 3 * index + 1, f"{intent}/1", 1, order)
    yield Answer(t + 0.015, intent, "ok" if index % 10 else "info", 1)
    yield Belief(t + 0.015, 1, (OrderBelief(intent, "new", "0", order),))
    for part, state in ((1, "partially_filled"), (2, "filled")):
        fill, now, filled = f"f{index}.{part}", t + 0.015 + part * 0.01, str(2 * part)
        before = "new" if part == 1 else "partially_filled"
        yield Effect(
            now, 1 + part, "fill", order, intent, "order", before, state, key, "NQ", "buy", "2", "100.25", filled, fill
        )
        yield Delivered(now, 1, "user", "fills", 2 * index + part, f"{intent}/{part}", 1, fill)
        yield Delivered(now, 1, "user", "orders", 3 * index + 1 + part, f"{intent}/{part}", 1, order)
        position = str(index * 4 + 2 * part)
        yield Belief(now + 0.005, 1, (OrderBelief(intent, state, filled, order),), (("NQ", position),), (fill,))
    for n in (5, 6):
        yield Received(t + 0.045, request + n, index % 7 + 1, "GET /orders/{id}", intent, n, t + 0.04, token)
        yield Answered(t + 0.045, request + n, 200)


def history_of(orders: int, *, path: Path | None = None) -> History:
    """A whole run without a flaw: about 27 events per order."""
    aliases = Aliases()
    history = History(path=path)
    history.append(Contracted(0.0, Contract("generic", buckets=(BUCKET,), token_ttl_s=TOKEN_TTL_S), seed=0))
    history.append(Boot(0.0, 1))
    history.append(Phase(0.0, "load"))
    end_t = orders * GAP_S
    for number in range(int(end_t / TOKEN_TTL_S) + 1):
        token = aliases.name("token", f"secret-{number}")
        history.append(TokenIssued(0.0, token, (number + 1) * TOKEN_TTL_S))
    history.append(Connected(0.0, 1, "user", (), aliases.name("token", "secret-0")))
    for index in range(orders):
        for event in events_of_order(index, aliases):
            history.append(event)
    for phase in ("faults_over", "tail", "quiescence"):
        history.append(Phase(end_t, phase))
    history.append(Belief(end_t, 1, final=True))
    history.append(Phase(end_t, "judgement"))
    history.seal()
    return history


def fresh_oracles() -> list[Oracle]:
    """Every oracle, with a bound where it takes one, so that none has it easy."""
    chosen: dict[str, dict[str, object]] = {"reconciled": {"within_s": 30.0}, "latency": {"p99": "< 30s"}}
    return [oracle(**chosen.get(name, {})) for name, oracle in ORACLES.items()]


def judge_s(history: History) -> dict[str, float]:
    """Seconds that each oracle takes; the fold that they share is ``ledger``. All must pass."""
    began = REAL.cpu_s()
    assert history.ledger.orders
    spent = {"ledger": REAL.cpu_s() - began}
    for oracle in fresh_oracles():
        began = REAL.cpu_s()
        verdict = oracle.judge(history)
        spent[oracle.name] = REAL.cpu_s() - began
        assert verdict.verdict == "pass", verdict
    return spent


def _small_ms(repeats: int = 200) -> tuple[float, int]:
    best, count = float("inf"), 0
    for _ in range(repeats):
        history = history_of(21)
        count = len(history)
        best = min(best, sum(judge_s(history).values()))
    return best * 1000, count


def figures(events: int = 1_000_000) -> Iterator[Figure]:
    """One run's worth, and a million events: all oracles together, then each."""
    per_order = len(list(events_of_order(0, Aliases())))
    small_ms, count = _small_ms()
    yield Figure(f"oracles.small_run_{count}_events", small_ms, "ms")
    history = history_of(events // per_order)
    spent = judge_s(history)
    yield Figure(f"oracles.all_{len(history)}_events", sum(spent.values()), "s", "< 15")
    for name, value in spent.items():
        yield Figure(f"oracles.{name}", value, "s")
