"""What every venue profile keeps: it answers whatever comes, books what it does, and repeats under the same seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Final

import aiohttp

from faultline.faults.points import Plane
from faultline.history import Contract
from faultline.history.contract import ClientPolicy
from faultline.history.event import Answered, Effect, Received
from faultline.session import RunningVenue, Session
from faultline.testing.conformance import Promises
from faultline.venues.profile import Profile, why_no_profile

_BODIES: Final = (b"", b"{", b"[1, 2]", b'{"symbol": null}', "ä\udcff".encode("utf-8", "surrogateescape"))
"""What a client that is wrong may send."""


def check_venue(profile: Profile) -> None:
    """Raises NonConforming for a venue profile that does not keep what ours keep.

    Its settings are a frozen dataclass with defaults and an explanation; its contract follows from them; each REST
    endpoint that it names answers in the simulated world, whatever is sent, without a status of 500 or above and
    without booking anything for a stranger; and all that is the same under the same seed.
    """
    promises = Promises(f"venue {getattr(profile, 'name', profile)!r}")
    why = why_no_profile(getattr(profile, "name", ""), profile)
    if promises.that(not why, why):
        _check_settings(promises, profile)
        if not promises.broken:
            _check_wire(promises, profile)
    promises.keep()


def _check_settings(promises: Promises, profile: Profile) -> None:
    settings = promises.works(profile.settings, "its settings have no defaults")
    promises.that(is_dataclass(profile.settings), "its settings are no dataclass")
    promises.that(inspect.getdoc(profile.settings), "its settings have no docstring")
    if settings is None or promises.broken:
        return
    names = [field.name for field in fields(profile.settings)]
    try:
        for name in names[:1]:
            setattr(settings, name, None)
    except FrozenInstanceError:
        pass
    else:
        promises.that(not names, "its settings can be changed after they were made: write @dataclass(frozen=True)")
    contract = promises.works(lambda: profile.contract(settings, ClientPolicy()), "it gives no contract")
    promises.that(contract is None or isinstance(contract, Contract), f"its contract {contract!r} is no Contract")
    rest = _rest(profile)
    promises.that(rest, "it names no REST endpoint of the message plane, so no fault could be told where to strike")


def _rest(profile: Profile) -> list[str]:
    return [name for name in profile.endpoints.get(Plane.MESSAGE, ()) if " /" in name]


def _check_wire(promises: Promises, profile: Profile) -> None:
    first = _asked(promises, profile, told=True)
    if not promises.broken:
        again = _asked(promises, profile, told=False)
        promises.that(first == again, "under the same seed its history is not the same")


def _asked(promises: Promises, profile: Profile, told: bool) -> str:
    """Ask all endpoints all sorts of things; with ``told``, note what is wrong. The digest of the history."""
    session = Session(seed=11)
    note: Callable[[object, str], bool] = promises.that if told else lambda holds, otherwise: bool(holds)

    async def main() -> None:
        venue = await session.venue(profile)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
            for endpoint in _rest(profile):
                await _ask(client, venue, endpoint, note)
            async with client.get(venue.url + "/no/such/path") as response:
                note(400 <= response.status < 500, f"GET /no/such/path is answered {response.status}, and not 4xx")
        await session.settle()

    if promises.works(lambda: session.run(main) or True, "it breaks when it is asked") is None:
        return ""
    received = {event.endpoint for event in session.history.of(Received)}
    for endpoint in _rest(profile):
        note(endpoint in received, f"a request to {endpoint} is not booked under that name")
    arrived = {event.request for event in session.history.of(Received)}
    answered = {event.request for event in session.history.of(Answered)}
    note(arrived <= answered, f"requests {sorted(arrived - answered)} were never answered")
    effects = [effect.what for effect in session.history.of(Effect) if effect.what != "reject"]
    note(not effects, f"it carried out {effects} for nobody who has logged in")
    return session.history.digest


async def _ask(
    client: aiohttp.ClientSession, venue: RunningVenue, endpoint: str, note: Callable[[object, str], bool]
) -> None:
    method, _, path = endpoint.partition(" ")
    url = venue.url + path.replace("{", "").replace("}", "").replace("*", "x")
    for body in _BODIES:
        async with client.request(method, url, data=body, headers={"Content-Type": "application/json"}) as response:
            await response.read()
            note(response.status < 500, f"{endpoint} with the body {body!r} is answered {response.status}")
