"""The embedded fault proxy: TCP with faults of the stream plane, as a library and behind Toxiproxy's control API."""

from __future__ import annotations

from faultline.worlds.live.proxy.armed import Armed
from faultline.worlds.live.proxy.proxy import FaultProxy

__all__ = ["Armed", "FaultProxy"]
