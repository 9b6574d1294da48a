"""An API resilience layer: eight components between a trading client and a venue, each usable alone.

Plain asyncio code that knows nothing of faultline, which is why faultline can prove things about it.
"""
