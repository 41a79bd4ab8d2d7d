"""Who of the workers of `make test` takes which tests."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

STUDY = tuple(f"tests/workflow/test_{name}.py" for name in ("bytes", "ci", "gate", "reruns"))
"""They share the results of one study, so one worker takes them all."""
LONG = (
    STUDY[0],
    "tests/unit/test_training_loop.py",
    "tests/unit/test_models_families.py",
    "tests/workflow/test_sources.py",
    "tests/workflow/test_extending.py",
    "tests/workflow/test_features.py",
)
"""Begun first, so that no worker ends alone with one of them; the others follow by their number of tests."""


class Files(LoadFileScheduling):
    """A file is for one worker, since its tests share fixtures and compiled programs."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return STUDY[0] if file in STUDY else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        waiting = [file for file in LONG if file in self.workqueue]
        if waiting:
            self.workqueue.move_to_end(waiting[0], last=False)
        super()._assign_work_unit(node)
