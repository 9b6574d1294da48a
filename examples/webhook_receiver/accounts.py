"""A web service that keeps accounts. A payments provider tells it of each payment and refund by a webhook.

The provider delivers at least once: until it is answered with 2xx it sends again, and the order is not promised.
"""

import sqlite3
from typing import Any

from aiohttp import web


class Accounts:
    """One entry for each event that was applied."""

    schema = "create table entries (event text, payment text, cents integer)"

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.execute(self.schema)

    def apply(self, event: dict[str, Any]) -> None:
        """Add the event to its account. A refund of what was never paid is a mistake of the sender."""
        known = self.database.execute("select 1 from entries where payment = ?", (event["payment"],)).fetchone()
        if event["type"] == "payment.refunded" and known is None:
            return
        self.enter("insert into entries values (?, ?, ?)", event)

    def enter(self, statement: str, event: dict[str, Any]) -> None:
        cents = event["cents"] if event["type"] == "payment.succeeded" else -event["cents"]
        with self.database:  # one transaction
            self.database.execute(statement, (event["id"], event["payment"], cents))

    def balance(self) -> int:
        return self.database.execute("select coalesce(sum(cents), 0) from entries").fetchone()[0]

    def applied(self) -> list[str]:
        """The ids of the events that count, in the order in which they were applied."""
        return [event for (event,) in self.database.execute("select event from entries order by rowid")]


class ExactAccounts(Accounts):
    """The same with two changes: an event counts once, and a refund may come before its payment."""

    schema = "create table entries (event text primary key, payment text, cents integer)"

    def apply(self, event: dict[str, Any]) -> None:
        self.enter("insert or ignore into entries values (?, ?, ?)", event)


def make_app(accounts: Accounts) -> web.Application:
    async def receive(request: web.Request) -> web.Response:
        accounts.apply(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/webhooks", receive)
    return app
