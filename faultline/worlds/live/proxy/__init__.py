"""The embedded fault proxy: TCP with faults of the stream plane, as a library and behind Toxiproxy's control API."""

from __future__ import annotations

from faultline.worlds.live.proxy.armed import Armed
from faultline.worlds.live.proxy.control import ControlApi
from faultline.worlds.live.proxy.keeping import keep_lease
from faultline.worlds.live.proxy.proxy import FaultProxy
from faultline.worlds.live.proxy.server import ProxyServer

__all__ = ["Armed", "ControlApi", "FaultProxy", "ProxyServer", "keep_lease"]
