"""A small local page of results over time. It reads and never writes; what came off a wire stays text."""
