"""How many CPU threads JAX uses, and where it keeps compiled programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def configure(threads: int, compilation_cache: Path | None = None) -> None:
    """Pin the number of CPU threads; call before JAX is imported.

    XLA sizes its thread pool by `NPROC` and splits reductions by the size of the pool, so the bytes of a result
    depend on it, and with this setting on nothing else of the machine's cores.

    Args:
        threads: threads of XLA's and of the BLAS's pool.
        compilation_cache: folder of compiled programs, made if absent; one machine type each.

    Raises:
        RuntimeError: JAX has been imported already.
    """
    if "jax" in sys.modules:
        raise RuntimeError("devices.configure must be called before JAX is imported")
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if compilation_cache is not None:
        compilation_cache.mkdir(parents=True, exist_ok=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compilation_cache.absolute())
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
