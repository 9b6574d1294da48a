"""What ``faultline init`` writes: a small client with a bug that is easy to write, and the scenario that finds it."""
