"""Copied to a place of its own, an example is imported as pytest does it by default. Here several lie side by side."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(path) for path in sorted(Path(__file__).parent.iterdir()) if path.is_dir()]
