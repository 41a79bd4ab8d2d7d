"""For all tests: property tests draw the same examples every time, and no machine is too slow for them."""

from hypothesis import settings

settings.register_profile("dalsegno", deadline=None, derandomize=True)
settings.load_profile("dalsegno")
