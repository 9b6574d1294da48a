"""Any target class of this folder as a program of its own: ``python as_command.py targets.order_flow:OrderFlow``.

It reads questions as lines of JSON on standard input, puts them to the client, and writes what the client answers and
believes on standard output. What runs as a command can be killed and stopped like any process.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

LINE_MAX_BYTES = 1 << 20


class Loop:
    """Reads questions until it is asked to stop, or nobody asks any more."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """From start to stop."""
        questions = asyncio.StreamReader(limit=LINE_MAX_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
        await self._client.start()
        say(ready=True)
        while line := await questions.readline():
            question = json.loads(line)
            do = question.pop("do")
            if do == "stop":
                break
            if do == "snapshot":
                self._say_snapshot()
                continue
            task = asyncio.create_task(self._answer(do, question))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        await self._client.stop()

    async def _answer(self, do: str, question: dict[str, str]) -> None:
        intent = question.pop("id")
        try:
            answer = await getattr(self._client, do)(intent, **question)
        except Exception as error:
            print(f"{do} {intent}: {type(error).__name__}: {error}", file=sys.stderr)
            answer = "unknown"
        say(id=intent, answer=answer)

    def _say_snapshot(self) -> None:
        try:
            say(snapshot=self._client.snapshot())
        except Exception as error:  # its store may be locked for a moment; it is asked again soon
            print(f"snapshot: {type(error).__name__}: {error}", file=sys.stderr)


def say(**what: Any) -> None:
    """One line to whoever asks."""
    print(json.dumps(what), flush=True)


def main(name: str) -> None:
    """Make the client from its environment and run it."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    module, _, attribute = name.partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    settings = ("rest_url", "stream_url", "store_path", "client_id", "client_secret")
    client = kind(**{setting: os.environ[f"FAULTLINE_{setting.upper()}"] for setting in settings})
    asyncio.run(Loop(client).run())


if __name__ == "__main__":
    main(sys.argv[1])
