"""A reverse proxy for HTTP/1.1 and WebSocket that carries the message plane's faults in front of any upstream."""

from __future__ import annotations

from faultline.worlds.effect_rule import EffectRule
from faultline.worlds.live.gateway.effects import EffectLedger
from faultline.worlds.live.gateway.outlook import Outlook
from faultline.worlds.live.gateway.server import GatewayServer
from faultline.worlds.live.gateway.upstream import UpstreamAddress

__all__ = ["EffectLedger", "EffectRule", "GatewayServer", "Outlook", "UpstreamAddress"]
