"""Settings of the whole suite."""

from hypothesis import settings

# The machines that run this are shared and slow at times: a deadline per example would test the machine.
settings.register_profile("faultline", deadline=None, derandomize=True)
settings.load_profile("faultline")
