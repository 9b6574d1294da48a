"""A client that is a process: it speaks the protocol over any channel, says yes to everything, and asks no venue.

Its arguments are what it does wrong, each ``name`` or ``name=value``. It writes down who it was under ``$NOTES``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

HABITS = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
FOLDER = Path(os.environ["NOTES"])


def over_http() -> tuple[Iterator[bytes], Callable[[bytes], None]]:
    url = os.environ["FAULTLINE_CONTROL_URL"]

    def questions() -> Iterator[bytes]:
        while True:
            with urlopen(f"{url}/next") as answer:
                if answer.status == 200:
                    yield answer.read()

    def say(line: bytes) -> None:
        urlopen(Request(f"{url}/say", line, method="POST")).close()

    return questions(), say


def over_pipes() -> tuple[Iterator[bytes], Callable[[bytes], None]]:
    env = os.environ
    if "FAULTLINE_IN_FD" in env:
        into, out = int(env["FAULTLINE_IN_FD"]), int(env["FAULTLINE_OUT_FD"])
    elif "FAULTLINE_IN_FILE" in env:
        into, out = os.open(env["FAULTLINE_IN_FILE"], os.O_RDONLY), os.open(env["FAULTLINE_OUT_FILE"], os.O_WRONLY)
    else:
        into, out = 0, 1
    return iter(os.fdopen(into, "rb", buffering=0).readline, b""), lambda line: [os.write(out, line), None][1]


def note(**more: Any) -> None:
    told = {name: value for name, value in os.environ.items() if name.startswith("FAULTLINE_")}
    stored = Path(told["FAULTLINE_STORE_PATH"])
    with stored.open("a") as file:
        file.write(f"{told['FAULTLINE_INCARNATION']}\n")
    what = {"pid": os.getpid(), "env": told, "folder": os.getcwd(), "stored": stored.read_text().split(), **more}
    unfinished = FOLDER / "unfinished"
    unfinished.write_text(json.dumps(what))
    unfinished.rename(FOLDER / f"{told['FAULTLINE_INCARNATION']}.json")


def started() -> list[int]:
    """Children that outlive it unless somebody sees to them: one in its group, one that left it."""
    return [
        subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, start_new_session=own).pid
        for own in {"children": (False, True), "child": (False,)}.get(next(iter(HABITS), ""), ())
    ]


def main() -> None:
    questions, say = over_http() if "FAULTLINE_CONTROL_URL" in os.environ else over_pipes()
    note(children=started())
    if "flood" in HABITS:
        for _ in range(200):
            os.write(2, b"flood " * 10_000)
    if "say" in HABITS:
        say(HABITS["say"].encode() + b"\n")
    if "never_ready" in HABITS:
        print("waiting for godot", file=sys.stderr, flush=True)
        time.sleep(1000)
    say(b'{"ready": true}\n')
    if "orphan" in HABITS:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)
    orders: dict[str, Any] = {}
    for line in questions:
        question = json.loads(line)
        if question["do"] == "stop":
            if "hang" in HABITS:
                time.sleep(1000)
            sys.exit(int(HABITS.get("status", 0)))
        if question["do"] == "snapshot":
            say(json.dumps({"snapshot": {"orders": orders}}).encode() + b"\n")
            continue
        if "exit" in HABITS and os.environ["FAULTLINE_INCARNATION"] == "1":
            print("out of money", file=sys.stderr, flush=True)
            os._exit(7)
        if "close" in HABITS:
            os.close(1)
            time.sleep(1000)
        orders[question["id"]] = {"status": HABITS.get("believes", "new")}
        say(json.dumps({"id": question["id"], "answer": HABITS.get("answer", "accepted")}).encode() + b"\n")


main()
