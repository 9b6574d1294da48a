"""Entropy comes from the seed inside of a run, by every name it has, and from the system outside."""

from __future__ import annotations

import inspect
import os
import random
import secrets
import ssl
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import websockets.asyncio.client
from aiohttp.http_websocket import WebSocketWriter

from tests.worlds.sim import aliases
from tests.worlds.sim.kit import new_simulation


def draw_all() -> dict[str, object]:
    """Every way to something random that a client has."""
    shuffled = list(range(10))
    aliases.shuffle(shuffled)
    return {
        "os.urandom": os.urandom(8),
        "os.getrandom": os.getrandom(8),
        "ssl.RAND_bytes": ssl.RAND_bytes(8),
        "alias urandom": aliases.urandom(8),
        "random.random": random.random(),
        "random.randbytes": random.randbytes(4),
        "random.gauss": random.gauss(0, 1),
        "alias random": aliases.draw(),
        "alias shuffle": shuffled,
        "a new Random": random.Random().random(),
        "SystemRandom": random.SystemRandom().random(),
        "a module's own Random": aliases.private_random.random(),
        "secrets.token_hex": secrets.token_hex(8),
        "secrets.randbelow": secrets.randbelow(10**9),
        "alias token_hex": aliases.token_hex(8),
        "uuid4": uuid.uuid4(),
        "alias uuid4": aliases.uuid4(),
        "uuid1": uuid.uuid1(),
        "alias uuid1": aliases.uuid1(),
    }


async def drawn() -> dict[str, object]:
    return draw_all()


def test_the_same_seed_draws_the_same_and_another_seed_draws_otherwise() -> None:
    first, again, other = (new_simulation(seed).run(drawn) for seed in (1, 1, 2))
    assert first == again
    assert [name for name in first if first[name] == other[name]] == []


@pytest.mark.parametrize("fails", [False, True])
def test_outside_of_a_run_nothing_repeats(fails: bool) -> None:
    async def main() -> None:
        draw_all()
        if fails:
            raise RuntimeError("the client broke")

    outside = []
    for _ in range(2):
        try:
            new_simulation(1).run(main)
        except RuntimeError:
            assert fails
        outside.append(draw_all())
    assert [name for name in outside[0] if outside[0][name] == outside[1][name]] == []


def test_a_run_does_not_disturb_the_random_numbers_of_the_host_suite() -> None:
    def sequence(with_run: bool) -> list[float]:
        random.seed(5)
        aliases.seeded_random.seed(6)
        drawn_ = [random.gauss(0, 1), aliases.seeded_random.random()]
        if with_run:
            new_simulation(1).run(drawn)
        return [*drawn_, random.gauss(0, 1), random.random(), aliases.seeded_random.random()]

    assert sequence(with_run=True) == sequence(with_run=False)


def test_seeding_explicitly_inside_a_run_still_works() -> None:
    async def main() -> tuple[float, float, float, float]:
        random.seed(5)
        first = random.random()
        random.seed()
        reseeded = random.random()
        return first, random.Random(5).random(), reseeded, first

    first, own, reseeded, _ = new_simulation(1).run(main)
    assert first == own == random.Random(5).random()
    assert reseeded != first


def test_hidden_generators_of_libraries_are_found_and_repeat() -> None:
    # aiohttp masks its WebSocket frames with a Random in a default argument, made when it was imported.
    parameters = inspect.signature(WebSocketWriter).parameters.values()
    hidden = next(one.default for one in parameters if isinstance(one.default, random.Random))

    async def main() -> tuple[float, int]:
        return hidden.random(), random.Random().getrandbits(64)

    first = new_simulation(1).run(main)
    hidden.random()
    for seed in range(5):
        new_simulation(seed).run(main)
    assert new_simulation(1).run(main) == first


def test_the_first_reconnect_delay_of_websockets_repeats() -> None:
    async def main() -> list[float]:
        delays = websockets.asyncio.client.backoff()
        return [next(delays) for _ in range(3)]

    assert new_simulation(1).run(main) == new_simulation(1).run(main) != new_simulation(2).run(main)


def test_uuid1_carries_virtual_time_and_never_repeats_in_a_run() -> None:
    async def main() -> list[uuid.UUID]:
        return [uuid.uuid1() for _ in range(100)]

    drawn_ = new_simulation(1).run(main)
    assert len(set(drawn_)) == 100
    seconds = (drawn_[0].time - 0x01B21DD213814000) / 1e7
    assert seconds == pytest.approx(1_767_225_600.0, abs=0.01)
    assert drawn_[0].version == 1


def test_a_generator_made_by_a_lazy_import_repeats_in_the_next_run() -> None:
    async def main() -> float:
        import tests.worlds.sim.lazy as lazy

        return lazy.GENERATOR.random()

    assert new_simulation(1).run(main) == new_simulation(1).run(main)


def test_generators_that_were_frozen_out_of_the_collectors_sight_are_found_too() -> None:
    code = """
import gc, random
hidden = random.Random()
gc.freeze()
from faultline.worlds.sim.simulation import Simulation
async def main():
    return hidden.random()
assert Simulation(seed=1).run(main) == Simulation(seed=1).run(main)
assert gc.get_freeze_count() > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
