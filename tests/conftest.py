"""What holds for all tests.

Rule: a property fails for its values, never for how busy the machine is.
"""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
