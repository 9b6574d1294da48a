"""A client's module as people write them: everything imported by name, before any simulation runs."""

from __future__ import annotations

import random
import uuid
from datetime import date, datetime
from os import urandom
from random import random as draw
from random import shuffle
from secrets import token_hex
from time import gmtime, localtime, monotonic, perf_counter, sleep, strftime, time, time_ns
from uuid import uuid1, uuid4

private_random = random.Random()
seeded_random = random.Random(42)

__all__ = [
    "date",
    "datetime",
    "draw",
    "gmtime",
    "localtime",
    "monotonic",
    "perf_counter",
    "private_random",
    "random",
    "seeded_random",
    "shuffle",
    "sleep",
    "strftime",
    "time",
    "time_ns",
    "token_hex",
    "urandom",
    "uuid",
    "uuid1",
    "uuid4",
]
