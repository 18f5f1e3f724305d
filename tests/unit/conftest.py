"""How hypothesis runs here: no time limit for an example; a failing one is printed to repeat."""

from hypothesis import settings

# A limit in ms would be a timed test: the machine is shared, and a first import is slow.
settings.register_profile("streamq", deadline=None, print_blob=True)
settings.load_profile("streamq")
