"""faultline proves that a client of a remote API neither duplicates nor loses anything."""

__version__ = "0.1.0"
