"""Where a run takes place: the simulated world, and later others that carry the same faults."""
