"""Faults: pure decisions, the closed list of actions they answer with, and who decides."""
