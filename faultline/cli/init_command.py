"""``faultline init``: a working example that fails, and what to do next."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from faultline.cli import exits
from faultline.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from faultline.cli.app import State

STARTER: Final = Path(__file__).parent / "starter"
FILES: Final = {
    "client.py": "a small client, with a bug that is easy to write",
    "lost_responses.yaml": "the scenario that finds it",
}

EPILOG: Final = """\b
Examples:
  faultline init                 into the folder chaos/
  faultline init tests/chaos     into another one
"""

NEXT: Final = """
What to do next:

  1. faultline run {folder}
     It fails: one intent became two orders. The report shows the one fault that is enough, and how to repeat it.
  2. In {client}, line {line}, the key is made anew for each try. Move that line before the loop.
  3. faultline run {folder}
     It passes, under every seed.
  4. faultline run {folder} --target path/to/your/client.py:YourClient
     Your own client needs the four methods that this one has.

faultline list --faults shows what else can go wrong, faultline list --oracles what else can be checked.
"""


@click.command("init", epilog=EPILOG)
@click.argument("folder", default="chaos", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def command(state: State, folder: Path) -> int:
    """Write a small client and a scenario that it fails into FOLDER (default: chaos/), and say what to do next.

    Nothing is overwritten.
    """
    there = [str(folder / name) for name in FILES if (folder / name).exists()]
    if there:
        are = "is" if len(there) == 1 else "are"
        raise UsageError(f"{' and '.join(there)} {are} there already; give another folder: faultline init FOLDER")
    _write(folder)
    width = max(len(str(folder / name)) for name in FILES)
    for name, what in FILES.items():
        click.echo(f"wrote {str(folder / name).ljust(width)}   {what}")
    client = folder / "client.py"
    lines = client.read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "uuid.uuid4()" in text)
    click.echo(NEXT.format(folder=f"{folder}/", client=client, line=line), nl=False)
    return exits.OK


def _write(folder: Path) -> None:
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            written.append(folder / name)
            written[-1].write_text((STARTER / name).read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        for path in written:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise HarnessError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
