"""Arrays over the devices of one or many hosts: one mesh, whose only axis splits batches and, if asked, the state.

The program is the one of a single device; XLA's partitioner puts the communication in (Xu et al. 2021).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dalsegno.training.devices import Machine

AXIS = "batch"


class Layout:
    """Where the arrays of a training run lie.

    Args:
        machine: what the profile says.
        batch_size: rows of a batch.

    Raises:
        ValueError: the batch cannot be cut as the machine asks.
    """

    def __init__(self, machine: Machine, batch_size: int) -> None:
        self.machine = machine
        count = jax.device_count()
        if jax.default_backend() == "cpu" and jax.process_count() == 1:
            # Threads that do not divide a batch stand idle; a GPU that did would be a mistake to tell.
            cuts = [n for n in range(1, count + 1) if batch_size % (n * machine.microbatches) == 0]
            count = max(cuts, default=count)
        axis = jax.sharding.AxisType.Auto
        self.mesh: Mesh = jax.make_mesh((count,), (AXIS,), axis_types=(axis,), devices=jax.devices()[:count])
        self.whole = NamedSharding(self.mesh, PartitionSpec())
        self.rows = NamedSharding(self.mesh, PartitionSpec(AXIS))
        self._gather = jax.jit(lambda tree: tree, out_shardings=self.whole)
        parts = self.mesh.size * machine.microbatches
        if batch_size % parts:
            raise ValueError(
                f"training.batch_size {batch_size} is no multiple of {parts} ({self.mesh.size} devices times "
                f"{machine.microbatches} microbatches): change it, or the profile's devices or microbatches"
            )

    @property
    def count(self) -> int:
        """Devices of all hosts."""
        return self.mesh.size

    @property
    def compiler_options(self) -> dict[str, bool | str] | None:
        """What XLA is told when it compiles a training step."""
        if jax.default_backend() != "cpu" or self.count == 1:
            return None
        # Where threads are devices, each does its own work: shared out between them, small loops wait for one another,
        # and where one device runs two parts of its step at once, the other waits for its thread, by chance.
        return {"xla_cpu_multi_thread_eigen": False, "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}

    def used(self) -> AbstractContextManager[Any]:
        """A context in which traced functions know the mesh."""
        return jax.set_mesh(self.mesh) if self.count > 1 else nullcontext()

    def of_state(self, tree: Any) -> Any:
        """The sharding of every leaf: in full sharding its longest axis is cut that can be cut evenly."""

        def one(leaf: Any) -> NamedSharding:
            fitting = [(size, -axis) for axis, size in enumerate(leaf.shape) if size % self.mesh.size == 0]
            if self.machine.sharding == "data" or not fitting:
                return self.whole
            return NamedSharding(self.mesh, PartitionSpec(*[None] * -max(fitting)[1], AXIS))

        return jax.tree.map(one, tree)

    def place(self, tree: Any, shardings: Any) -> Any:
        """Arrays of this process, equal in all processes, on the devices."""
        return jax.tree.map(self._placed, tree, shardings)

    def place_rows(self, tree: Any) -> Any:
        """A batch, its rows split over the devices; each process uploads its own."""
        return jax.tree.map(lambda array: self._placed(array, self.rows), tree)

    def _placed(self, array: Any, sharding: NamedSharding) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(array, sharding)
        local = np.asarray(array)
        return jax.make_array_from_callback(local.shape, sharding, lambda index: local[index])

    def read(self, tree: Any) -> Any:
        """Copies in this process's memory; all processes must call it."""
        return jax.tree.map(np.array, self._gather(tree) if self.count > 1 else tree)

    def parts(self, tree: Any) -> Any:
        """The rows of a batch as `microbatches` parts on a new first axis, each spread over all devices."""
        number = self.machine.microbatches

        def cut(array: Any) -> Any:
            return array.reshape(array.shape[0] // number, number, *array.shape[1:]).swapaxes(0, 1)

        return jax.tree.map(cut, tree)
