"""What a profile says of the machine, and never the study: threads, devices, precision, memory, hosts."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("float32", "bfloat16")
SHARDINGS = ("data", "full")
HOST_DEVICES = "xla_force_host_platform_device_count"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of `mallopt`, as glibc's malloc.h numbers them."""


@dataclass(frozen=True)
class Machine:
    """How one training program is laid out; changes the last digits of a result and nothing else.

    Attributes:
        precision: of products and activations. Weights, moments, averages and the loss are float32 in any case.
        sharding: over more than one device, batches are split; with `data` every device holds the whole state,
            with `full` a part of each array (Rajbhandari et al. 2020).
        microbatches: parts of a batch that are computed one after the other, their gradients added: less memory.
    """

    precision: str = "float32"
    sharding: str = "data"
    microbatches: int = 1

    def __post_init__(self) -> None:
        for name, value, valid in (
            ("precision", self.precision, PRECISIONS),
            ("sharding", self.sharding, SHARDINGS),
        ):
            if value not in valid:
                raise ValueError(f"{name} {value!r} is not valid; use {' or '.join(valid)}")
        if self.microbatches < 1:
            raise ValueError(f"microbatches must be 1 or more, not {self.microbatches}")


def configure(threads: int, compilation_cache: Path | None = None, processes: int = 1) -> None:
    """Pin the number of CPU threads and join the other processes; call before JAX is imported.

    XLA sizes its thread pool by `NPROC` and splits reductions by the size of the pool, so the bytes of a result
    depend on it, and with this setting on nothing else of the machine's cores. Each thread is a device as well, since
    XLA shares out the rows of a batch better than the many small products of a step.

    Args:
        threads: threads of XLA's and of the BLAS's pool.
        compilation_cache: folder of compiled programs, made if absent; one machine type each.
        processes: programs that train together, one a host. They find each other through Slurm, Open MPI or a TPU
            pod; elsewhere through `JAX_COORDINATOR_ADDRESS` (host and port of the first) and `JAX_PROCESS_ID`.

    Raises:
        RuntimeError: JAX has been imported already.
    """
    if "jax" in sys.modules:
        raise RuntimeError("devices.configure must be called before JAX is imported")
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    flags = os.environ.get("XLA_FLAGS", "")
    if threads > 1 and HOST_DEVICES not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{HOST_DEVICES}={threads}".strip()
    keep_memory()
    if compilation_cache is not None:
        compilation_cache.mkdir(parents=True, exist_ok=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compilation_cache.absolute())
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
    if processes > 1:
        import jax

        own = os.environ.get("JAX_PROCESS_ID")
        jax.distributed.initialize(num_processes=processes, process_id=None if own is None else int(own))


def keep_memory() -> None:
    """Have glibc's malloc keep what is freed, for the next step to take.

    XLA allocates the buffers of a step anew each time. By default the system would take them back in between and hand
    them out page by page, zeroed: a tenth to a fifth of a step. Other allocators, and other systems, are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        largest = 2**31 - 1
        # One arena, as only the main one can grow beyond 64 MiB; a step allocates rarely, so its lock is free.
        for option, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, largest), (M_TRIM_THRESHOLD, largest)):
            mallopt(option, value)


def leads() -> bool:
    """Whether this process writes files: the first of those that train together."""
    if "jax" not in sys.modules:
        return True
    import jax

    return bool(jax.process_index() == 0)
