"""Store folders: private, and none is left behind for good."""

import subprocess
import sys
from pathlib import Path

KILLED = """
import os, signal
from faultline.worlds.store import memory_folder
print(memory_folder(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
LIVES = """
from faultline.worlds.store import memory_folder
folder = memory_folder()
print(folder)
folder.rmdir()
"""


def test_the_next_process_removes_what_a_killed_one_left() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    lives = subprocess.run([sys.executable, "-c", LIVES], capture_output=True, text=True, check=True)
    assert not left.exists()
    assert Path(lives.stdout.strip()) != left
