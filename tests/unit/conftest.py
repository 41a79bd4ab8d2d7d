"""Tests of models compile the same small programs again and again: keep them for the session."""

import tempfile
from pathlib import Path

from dalsegno.training import devices

_CACHE = tempfile.TemporaryDirectory(prefix="dalsegno-compiled-")
devices.configure(1, Path(_CACHE.name))
