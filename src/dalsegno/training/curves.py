"""Learning curves as files: JSON lines, and events for TensorBoard.

Both are written anew at each evaluation, so that `tensorboard --logdir results/runs/<study>` follows a run that is
under way. Both have the same bytes when a run is made again: an event's time is its step, since artifacts tell no time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def events_beside(curves: Path) -> Path:
    """The events of a `curves.jsonl`; TensorBoard asks for `tfevents` in the name."""
    return curves.with_suffix(".tfevents")


def write(curves: Path, rows: Sequence[Row]) -> None:
    """Write `curves.jsonl` and the events beside it.

    Args:
        rows: step, split, nll (nats a token) and learning_rate (None where nothing descends), in order of steps.
    """
    curves.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    # TensorBoard's format is asked for where something is written.
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    writer = RecordWriter(str(events_beside(curves)))
    writer.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString(deterministic=True))
    for row in rows:
        values = {f"nll/{row['split']}": row["nll"]}
        # The rate is the same for both splits of a step.
        if row["learning_rate"] is not None and row["split"] == "valid":
            values["learning_rate"] = row["learning_rate"]
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        event = Event(wall_time=float(row["step"]), step=row["step"], summary=summary)
        writer.write(event.SerializeToString(deterministic=True))
    writer.close()
