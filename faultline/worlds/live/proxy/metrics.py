"""Counters in Prometheus' text format, with Toxiproxy's names. Bytes count when their connection ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faultline.worlds.live.proxy.server import ProxyServer

_HEAD = "# HELP {name} {help}\n# TYPE {name} {kind}\n"
_STREAMS = {"up": "upstream", "down": "downstream"}


def metrics_text(server: ProxyServer) -> str:
    """All counters of a server."""
    lines: list[str] = []
    for what, about in (("received", "bytes received"), ("sent", "bytes sent")):
        name = f"toxiproxy_proxy_{what}_bytes_total"
        lines.append(_HEAD.format(name=name, help=f"The total number of {about}", kind="counter"))
        for proxy in server.proxies.values():
            counted = proxy.proxy.received_bytes if what == "received" else proxy.proxy.sent_bytes
            for way, size in counted.items():
                labels = {
                    "direction": _STREAMS[way], "listener": proxy.proxy.listen, "proxy": proxy.name,
                    "upstream": proxy.proxy.upstream,
                }  # fmt: skip
                shown = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
                lines.append(f"{name}{{{shown}}} {size}\n")
    name = "faultline_proxy_connections"
    lines.append(_HEAD.format(name=name, help="Open connections", kind="gauge"))
    lines += [
        f'{name}{{proxy="{_escaped(proxy.name)}"}} {len(proxy.proxy.connections)}\n'
        for proxy in server.proxies.values()
    ]
    name = "faultline_proxy_connections_refused_total"
    lines.append(_HEAD.format(name=name, help="Connections beyond the limit, which were reset", kind="counter"))
    lines.append(f"{name} {server.limit.refused}\n")
    return "".join(lines)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
