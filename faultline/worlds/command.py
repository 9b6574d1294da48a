"""A client that is started as a command: what a scenario says of it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from faultline.errors import UsageError
from faultline.units import Seconds

Channel = Literal["stdio", "fd", "files", "http"]
"""How lines travel: over its standard input and output, over two file descriptors of their own, through two named
pipes, or over HTTP. ``docs/any-language.md`` is the reference."""

PREFIX: Final = "FAULTLINE_"
"""What the names of the variables begin with that a command is told its surroundings in."""

READY_MAX_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Command:
    """A client in any language, started as a process of its own. ``command`` is the program and its arguments.

    ``env`` is added to the environment. ``folder`` is where it runs, counted from the scenario's own folder.
    ``ready_within`` is how long it may take to say that it can take orders.
    """

    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    channel: Channel = "stdio"
    folder: str = ""
    ready_within_s: Seconds = 15.0

    def __post_init__(self) -> None:
        if not self.command or not self.command[0].strip():
            raise ValueError("command is empty; write the program and its arguments: [node, client.js]")
        parts = {"command": self.command, "env": (*self.env, *self.env.values()), "folder": (self.folder,)}
        for name, texts in parts.items():
            if any("\0" in text for text in texts):
                raise ValueError(f"{name} has a NUL character, which no process can be given")
        for name in self.env:
            if not name or "=" in name:
                raise ValueError(f"env has {name!r}, which cannot be the name of a variable")
            if name.startswith(PREFIX):
                raise ValueError(f"env has {name}; names that begin with {PREFIX} are faultline's own")
        if not 0 < self.ready_within_s <= READY_MAX_S:
            raise ValueError(
                f"ready_within is {self.ready_within_s:g}s; it is more than 0s and {READY_MAX_S:g}s at most"
            )

    @property
    def spec(self) -> str:
        """The command line, as one would type it. ``env`` is not in it: that may hold secrets."""
        return shlex.join(self.command)

    def environment(self) -> dict[str, str]:
        """This process's environment with ``env``. ``PATH`` begins with the folder of faultline's own Python, so that
        ``python`` is the one that has what faultline has."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
        return {**inherited, "PATH": path, **self.env}

    def found(self, near: str) -> Command:
        """The same with ``folder`` and program as absolute paths. ``near`` is the scenario's own file.

        Raises UsageError when one of them is not there.
        """
        folder = (Path(near).parent / self.folder).resolve()
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder for {self.spec} to run in")
        program = self.command[0]
        path = str(folder / program) if os.sep in program else program
        there = shutil.which(path, path=self.environment()["PATH"])
        if there is None and os.sep in program:
            wrong = "it may not be executed" if Path(path).is_file() else "there is no such file"
            raise UsageError(f"{program} cannot be started: {wrong} ({path})")
        if there is None:
            raise UsageError(f"{program} cannot be started: no such program on the PATH")
        return Command((there, *self.command[1:]), self.env, self.channel, str(folder), self.ready_within_s)
