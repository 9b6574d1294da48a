"""Imported by one test only, and only inside a run."""

import random

GENERATOR = random.Random()
