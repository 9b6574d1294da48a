"""The toxiproxy world: the live world, with faults of the stream plane as toxics on a Toxiproxy server."""
