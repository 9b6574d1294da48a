"""The service that the script talks to. It stands for whatever you have: faultline knows only its address."""

import itertools

from aiohttp import web


def make_app() -> web.Application:
    """POST /charges answers with the id of a new charge, and with the same charge for a key that it knows."""
    numbers = itertools.count(1)
    by_key: dict[str, str] = {}

    async def charge(request: web.Request) -> web.Response:
        await request.json()
        key = request.headers.get("Idempotency-Key", "")
        made = by_key.get(key) or f"ch_{next(numbers)}"
        if key:
            by_key[key] = made
        return web.json_response({"id": made}, status=201)

    app = web.Application()
    app.router.add_post("/charges", charge)
    return app
