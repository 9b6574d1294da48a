"""Results over time: every campaign that was run, kept in a database, with a folder of artifacts for each.

A campaign is first written as a folder, which needs nothing but a disk, and then taken into the database in one
transaction. What was written and not taken in (no SQLAlchemy installed, a locked database, a killed process) is taken
in by whoever opens the store next. The row in the database says that a campaign is there; a folder without one is not
there yet.

Nothing here is imported by a run before its end, and SQLAlchemy only by ``database``, ``schema``, ``migrations``,
``results`` and ``retention``.
"""
