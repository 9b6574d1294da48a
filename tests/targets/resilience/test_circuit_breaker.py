"""The breaker lets everything through, nothing, or a few probes, and only evidence of now moves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.session import Session
from targets.resilience.circuit_breaker import LEGAL, CircuitBreaker, CircuitBreakerConfig, CircuitState, Permit
from targets.resilience.errors import ServiceUnavailableError

CONFIG = CircuitBreakerConfig(failure_threshold=5, timeout=60000, half_open_requests=3)
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker(CONFIG)
    for _ in range(5):
        breaker.record_failure()
    return breaker


async def half_open() -> CircuitBreaker:
    breaker = opened()
    await asyncio.sleep(60)
    assert breaker.state == HALF_OPEN
    return breaker


def test_it_starts_closed_and_lets_any_number_through() -> None:
    breaker = CircuitBreaker(CONFIG)
    assert breaker.state == CLOSED
    assert not breaker.is_open()
    assert breaker.retry_after_s == 0
    assert len([breaker.acquire() for _ in range(100)]) == 100


def test_it_opens_with_the_fifth_failure_in_a_row_and_not_before() -> None:
    breaker = CircuitBreaker(CONFIG)
    for _ in range(4):
        breaker.record_failure(breaker.acquire())
    assert breaker.state == CLOSED
    breaker.record_failure(breaker.acquire())
    assert breaker.state == OPEN
    assert breaker.is_open()


def test_a_success_starts_the_count_again() -> None:
    breaker = CircuitBreaker(CONFIG)
    for _ in range(20):
        for _ in range(4):
            breaker.record_failure(breaker.acquire())
        breaker.record_success(breaker.acquire())
    assert breaker.state == CLOSED


def test_a_call_without_a_verdict_neither_counts_nor_starts_the_count_again() -> None:
    breaker = CircuitBreaker(CONFIG)
    for _ in range(4):
        breaker.record_failure()
    breaker.release(breaker.acquire())
    assert breaker.state == CLOSED
    breaker.record_failure()
    assert breaker.state == OPEN


async def test_while_it_is_open_nothing_is_sent_and_the_error_says_for_how_long(faultline: Session) -> None:
    breaker = opened()
    await asyncio.sleep(20)
    with pytest.raises(ServiceUnavailableError, match=r"another 40\.0 s") as refused:
        breaker.acquire()
    assert refused.value.retry_after_s == pytest.approx(40, abs=0.01)
    assert refused.value.effect == "none"


async def test_it_becomes_half_open_after_the_timeout_and_not_before(faultline: Session) -> None:
    breaker = opened()
    await asyncio.sleep(59.9)
    assert breaker.is_open()
    await asyncio.sleep(0.1)
    assert not breaker.is_open()
    assert breaker.state == HALF_OPEN


async def test_a_step_of_the_wall_clock_neither_opens_nor_closes_it(
    faultline: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaker = opened()
    wall_s = time.time
    with monkeypatch.context() as stepped:
        stepped.setattr(time, "time", lambda: wall_s() + 3600)
        assert breaker.is_open()
        stepped.setattr(time, "time", lambda: wall_s() - 3600)
        await asyncio.sleep(60)
        assert breaker.state == HALF_OPEN


async def test_one_success_closes_it_and_the_count_starts_at_nought(faultline: Session) -> None:
    breaker = await half_open()
    breaker.record_success(breaker.acquire())
    assert breaker.state == CLOSED
    for _ in range(4):
        breaker.record_failure()
    assert breaker.state == CLOSED


async def test_one_failing_probe_opens_it_for_a_full_timeout(faultline: Session) -> None:
    breaker = await half_open()
    await asyncio.sleep(10)
    breaker.record_failure(breaker.acquire())
    assert breaker.state == OPEN
    await asyncio.sleep(59.9)
    assert breaker.state == OPEN
    await asyncio.sleep(0.1)
    assert breaker.state == HALF_OPEN


async def test_half_open_never_has_more_than_its_probes_in_flight(faultline: Session) -> None:
    breaker = await half_open()
    let_through = 0
    for _ in range(50):
        try:
            breaker.acquire()
        except ServiceUnavailableError:
            continue
        let_through += 1
    assert let_through == 3


async def test_a_probe_that_was_cancelled_gives_its_place_back(faultline: Session) -> None:
    breaker = await half_open()
    probes = [breaker.acquire() for _ in range(3)]
    for _ in range(5):
        breaker.release(probes.pop())
        probes.append(breaker.acquire())
        with pytest.raises(ServiceUnavailableError, match="3 probes"):
            breaker.acquire()


async def test_a_result_that_is_reported_and_released_gives_one_place_back(faultline: Session) -> None:
    breaker = await half_open()
    probes = [breaker.acquire() for _ in range(3)]
    breaker.record_failure(probes[0])
    breaker.release(probes[0])
    await asyncio.sleep(60)
    assert len([breaker.acquire() for _ in range(3)]) == 3
    breaker.release(probes[1])
    with pytest.raises(ServiceUnavailableError):
        breaker.acquire()


@pytest.mark.parametrize("succeeds", [True, False])
async def test_calls_begun_before_it_opened_have_no_say_when_they_end(faultline: Session, succeeds: bool) -> None:
    breaker = CircuitBreaker(CONFIG)
    slow = [breaker.acquire() for _ in range(10)]
    for _ in range(5):
        breaker.record_failure(breaker.acquire())
    report = breaker.record_success if succeeds else breaker.record_failure
    report(slow.pop())
    assert breaker.state == OPEN
    await asyncio.sleep(60)
    report(slow.pop())
    assert breaker.state == HALF_OPEN
    breaker.record_success(breaker.acquire())
    for permit in slow:
        report(permit)
    assert breaker.state == CLOSED


async def test_a_second_probe_that_fails_after_the_first_does_not_make_it_stay_open_longer(faultline: Session) -> None:
    breaker = await half_open()
    first, second = breaker.acquire(), breaker.acquire()
    breaker.record_failure(first)
    await asyncio.sleep(30)
    breaker.record_failure(second)
    await asyncio.sleep(30)
    assert breaker.state == HALF_OPEN


async def test_the_exempt_lane_is_open_in_every_state_and_has_a_say_only_while_closed(faultline: Session) -> None:
    breaker = CircuitBreaker(CONFIG)
    for _ in range(5):
        breaker.record_failure(breaker.acquire(exempt=True))
    assert breaker.state == OPEN
    breaker.record_success(breaker.acquire(exempt=True))
    assert breaker.state == OPEN
    await asyncio.sleep(60)
    exempt = [breaker.acquire(exempt=True) for _ in range(10)]
    assert len([breaker.acquire() for _ in range(3)]) == 3
    breaker.record_failure(exempt[0])
    breaker.record_success(exempt[1])
    assert breaker.state == HALF_OPEN


async def test_an_operator_can_set_the_state_by_hand(faultline: Session) -> None:
    seen: list[tuple[CircuitState, CircuitState]] = []
    breaker = CircuitBreaker(CONFIG, on_transition=lambda *states: seen.append(states))
    breaker.state = OPEN
    assert breaker.is_open()
    breaker.state = HALF_OPEN
    breaker.record_success()
    assert breaker.state == CLOSED
    breaker.state = CLOSED
    assert seen == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]
    for _ in range(5):
        breaker.record_failure()
    breaker.state = CLOSED
    for _ in range(4):
        breaker.record_failure()
    assert breaker.state == CLOSED


@pytest.mark.parametrize("field", ["failure_threshold", "timeout", "half_open_requests"])
def test_a_setting_that_cannot_be_is_refused_by_name(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: 0 is out of range; it is 1 or more"):
        CircuitBreakerConfig(**{field: 0})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.booleans()),
        st.tuples(st.sampled_from(["succeed", "fail", "release"]), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 59, 61])),
    ),
    max_size=60,
)


class Watched:
    """A breaker under any sequence of steps, and what must never be seen of it."""

    def __init__(self) -> None:
        self.transitions: list[tuple[CircuitState, CircuitState]] = []
        self.breaker = CircuitBreaker(CONFIG, on_transition=lambda *states: self.transitions.append(states))
        self.flying: list[tuple[Permit, int]] = []
        """Each with the number of transitions when it began."""

    async def step(self, step: str, value: int) -> None:
        if step == "wait":
            await asyncio.sleep(value)
        elif step == "begin":
            self.begin(exempt=bool(value))
        elif self.flying:
            permit, _ = self.flying.pop(value % len(self.flying))
            state = self.breaker.state
            self.end(step, permit)
            assert step != "release" or self.breaker.state == state

    def begin(self, *, exempt: bool) -> None:
        state = self.breaker.state
        now = len(self.transitions)
        probes = sum(permit.probe for permit, began in self.flying if began == now)
        try:
            permit = self.breaker.acquire(exempt=exempt)
        except ServiceUnavailableError:
            assert not exempt
            assert state == OPEN or (state == HALF_OPEN and probes == 3)
        else:
            assert exempt or state == CLOSED or (state == HALF_OPEN and probes < 3)
            self.flying.append((permit, now))

    def end(self, step: str, permit: Permit) -> None:
        {
            "succeed": self.breaker.record_success,
            "fail": self.breaker.record_failure,
            "release": self.breaker.release,
        }[step](permit)

    def reached(self) -> Iterator[CircuitState]:
        state = CLOSED
        for before, after in self.transitions:
            assert before == state
            assert (before, after) in LEGAL
            state = after
            yield state


@given(STEPS)
def test_no_sequence_of_calls_makes_an_illegal_transition_or_a_send_while_open(steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        watched = Watched()
        for step, value in steps:
            await watched.step(step, value)
        states = [CLOSED, *watched.reached()]
        assert watched.breaker.state in (states[-1], HALF_OPEN)

    Session().run(play)
