"""Conformance kits."""
