"""The live world: real sockets, a fault proxy and a gateway in front of any upstream."""
