"""Units that run the nightly job: printed, never installed. The reader knows best where they go."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

GRACE_S: Final = 120
"""What a night gets for its report after it was asked to end."""


def cron(command: list[str], folder: Path, budget_s: float) -> str:
    """A line for ``crontab -e``. Cron has no environment to speak of, so everything is spelt out."""
    line = " ".join(shlex.quote(word) for word in command)
    # In a crontab a percent sign ends the command.
    return (
        "# m h dom mon dow  command\n"
        f"30 2 * * *  cd {shlex.quote(str(folder))} && {line} >> .faultline/nightly.log 2>&1\n"
    ).replace("%", "\\%")


def systemd(command: list[str], folder: Path, budget_s: float) -> str:
    """A service and its timer. ``Persistent`` makes up for a night that the machine slept through."""
    line = " ".join(_systemd_quoted(word) for word in command)
    return f"""# ~/.config/systemd/user/faultline-nightly.service
[Unit]
Description=faultline: chaos runs of the night

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart={line}
# 75: another night is still going on.
SuccessExitStatus=75
# SIGTERM goes to the main process only: it lets its workers finish, and reports.
KillMode=mixed
TimeoutStartSec={int(budget_s) + GRACE_S}
TimeoutStopSec={GRACE_S}

# ~/.config/systemd/user/faultline-nightly.timer
[Unit]
Description=faultline: every night

[Timer]
OnCalendar=*-*-* 02:30:00
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target

# systemctl --user daemon-reload && systemctl --user enable --now faultline-nightly.timer
"""


def kubernetes(command: list[str], folder: Path, budget_s: float) -> str:
    """A CronJob. ``Forbid`` keeps nights apart; the state lives on a volume, or every night is the first."""
    words = "\n".join(f"                - {_yaml_quoted(word)}" for word in _portable(command))
    return f"""apiVersion: batch/v1
kind: CronJob
metadata:
  name: faultline-nightly
spec:
  schedule: "30 2 * * *"
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  jobTemplate:
    spec:
      backoffLimit: 0
      activeDeadlineSeconds: {int(budget_s) + 2 * GRACE_S}
      template:
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: {GRACE_S}
          containers:
            - name: faultline
              image: YOUR/IMAGE:TAG  # with your client, your scenarios and faultline
              workingDir: /srv/chaos
              command:
{words}
              volumeMounts:
                - {{name: state, mountPath: /srv/chaos/.faultline}}
          volumes:
            - name: state
              persistentVolumeClaim: {{claimName: faultline-state}}
"""


def github(command: list[str], folder: Path, budget_s: float) -> str:
    """A workflow. The cache carries the state from night to night."""
    line = " ".join(shlex.quote(word) for word in _portable(command))
    return f"""# .github/workflows/nightly.yml
name: nightly
on:
  schedule:
    - cron: "30 2 * * *"  # UTC; GitHub may begin late
  workflow_dispatch:
concurrency:
  group: faultline-nightly
jobs:
  chaos:
    runs-on: ubuntu-latest
    timeout-minutes: {-(-int(budget_s) // 60) + 10}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      - run: pip install ./third_party/faultline
      - uses: actions/cache@v4
        with:
          path: .faultline
          key: faultline-${{{{ github.run_id }}}}
          restore-keys: faultline-
      - run: {line}
      - uses: actions/upload-artifact@v4
        if: always()
        with: {{name: faultline, path: .faultline, include-hidden-files: true}}
"""


def _portable(command: list[str]) -> list[str]:
    """Elsewhere the program is on the path, not where it is here."""
    return ["faultline", *command[1:]]


def _systemd_quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word or not word else word


def _yaml_quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


UNITS: Final[Mapping[str, Callable[[list[str], Path, float], str]]] = {
    "cron": cron,
    "systemd": systemd,
    "kubernetes": kubernetes,
    "github": github,
}
"""How each of them is written: the command's words, the folder that it runs in, its budget in seconds."""
