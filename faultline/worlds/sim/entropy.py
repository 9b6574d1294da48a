"""Seeded entropy for code that never heard of it.

Everything random in a Python process comes from two places: the system's entropy (``os.urandom``, and through it
``secrets``, ``uuid4`` and ``SystemRandom``), and ``random.Random`` objects. The first is answered from the run's
seed. Of the second there are more than the global one: libraries hide instances in modules and in default arguments
(aiohttp's WebSocket writer masks its frames with one). All of them are found once, watched from then on, seeded alike
when a run starts, and given their old state back when it ends.

The harness itself never draws here; it uses :class:`faultline.faults.chance.Chance`.
"""

from __future__ import annotations

import _random
import gc
import os
import random
import ssl
import uuid
import weakref
from hashlib import blake2b
from typing import Any, Final

from faultline.worlds.sim.active import running
from faultline.worlds.sim.frames import importing
from faultline.worlds.sim.patches import Patches

_GREGORIAN_OFFSET_100NS: Final = 0x01B21DD213814000  # 1582-10-15 to 1970-01-01 (RFC 9562, section 5.1)
_instances: weakref.WeakSet[random.Random] = weakref.WeakSet()


class Entropy(random.Random):
    """The stream that stands for the system's entropy in one run."""

    def __init__(self, seed: int) -> None:
        self.last_uuid1_100ns = 0
        _random.Random.seed(self, seed)


def seed_for(*key: object) -> int:
    """A 64-bit seed for one purpose. Equal keys give equal seeds in any process."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "little")


def _is_watched(instance: object) -> bool:
    # By type: isinstance() asks the object itself, and a weak proxy whose object is gone raises.
    kind = type(instance)
    return issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom | Entropy)


def _watch_random_class() -> None:
    real_seed, real_init = random.Random.seed, random.Random.__init__

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and (sim := running()) is not None:
            # An instance made by a lazy import exists already in the next run, and is seeded like the others there.
            a = sim.instance_seed if importing() else sim.entropy.getrandbits(64)
        real_seed(self, a, version)

    def __init__(self: random.Random, x: Any = None) -> None:  # noqa: N807
        real_init(self, x)
        if _is_watched(self):
            _instances.add(self)

    seed.__doc__ = real_seed.__doc__
    random.Random.seed = seed  # type: ignore[method-assign]
    random.Random.__init__ = __init__  # type: ignore[method-assign]


def _seed_global(a: Any = None, version: int = 2) -> None:
    """``random.seed``: the original is bound to the method as it was before it was watched."""
    random._inst.seed(a, version)


def _find_instances() -> None:
    frozen = gc.get_freeze_count()
    if frozen:
        gc.unfreeze()  # get_objects() does not show frozen objects, and a missed instance breaks every replay
    for candidate in gc.get_objects():
        if _is_watched(candidate):
            _instances.add(candidate)
    if frozen:
        gc.freeze()


def _add_system_entropy(patches: Patches) -> None:
    real_urandom, real_rand_bytes, real_uuid1 = os.urandom, ssl.RAND_bytes, uuid.uuid1

    def urandom(size: int, /) -> bytes:
        sim = running()
        return real_urandom(size) if sim is None else sim.entropy.randbytes(size)

    def rand_bytes(n: int, /) -> bytes:
        sim = running()
        return real_rand_bytes(n) if sim is None else sim.entropy.randbytes(n)

    def uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
        sim = running()
        if sim is None:
            return real_uuid1(node, clock_seq)
        return _uuid1(sim.entropy, round(sim.read_wall_s() * 1e7), node, clock_seq)

    patches.add(os, "urandom", urandom)
    patches.add(ssl, "RAND_bytes", rand_bytes)
    patches.add(uuid, "uuid1", uuid1)
    if hasattr(os, "getrandom"):
        real_getrandom = os.getrandom

        def getrandom(size: int, flags: int = 0) -> bytes:
            sim = running()
            return real_getrandom(size, flags) if sim is None else sim.entropy.randbytes(size)

        patches.add(os, "getrandom", getrandom)


def _uuid1(entropy: random.Random, now_100ns: int, node: int | None, clock_seq: int | None) -> uuid.UUID:
    """A version 1 UUID from virtual time; the real one reads the clock and the network card in C."""
    if isinstance(entropy, Entropy):
        now_100ns = entropy.last_uuid1_100ns = max(now_100ns, entropy.last_uuid1_100ns + 1)
    ticks = now_100ns + _GREGORIAN_OFFSET_100NS
    sequence = entropy.getrandbits(14) if clock_seq is None else clock_seq
    node = entropy.getrandbits(48) | (1 << 40) if node is None else node  # the multicast bit: no real card
    high = sequence >> 8 & 0x3F
    return uuid.UUID(
        fields=(ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF, high, sequence & 0xFF, node), version=1
    )


def add_to(patches: Patches) -> None:
    """Declare the replacements of entropy."""
    _add_system_entropy(patches)
    patches.add(random, "seed", _seed_global)


def watch_instances() -> None:
    """Find every PRNG that exists, and be told of each new one. Called once per process; it changes no behaviour."""
    _watch_random_class()
    _find_instances()


Saved = list[tuple[random.Random, tuple[Any, ...], float | None]]
"""The PRNGs that existed when a run started, with their states."""


def reseed(seed: int) -> Saved:
    """Seed every PRNG that exists alike. Returns what :func:`restore` needs."""
    saved: Saved = []
    for instance in list(_instances):
        state = _random.Random.getstate(instance)
        saved.append((instance, state, getattr(instance, "gauss_next", None)))
        _random.Random.seed(instance, seed)
        instance.gauss_next = None  # type: ignore[attr-defined]
    return saved


def restore(saved: Saved) -> None:
    """Give every PRNG the state that it had before the run."""
    for instance, state, gauss_next in saved:
        _random.Random.setstate(instance, state)
        instance.gauss_next = gauss_next  # type: ignore[attr-defined]
