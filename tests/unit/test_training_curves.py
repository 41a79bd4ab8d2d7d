"""Learning curves as TensorBoard reads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from dalsegno.training import curves

ROWS = [
    {"step": 2, "split": "train", "nll": 1.5, "learning_rate": 0.01},
    {"step": 2, "split": "valid", "nll": 1.25, "learning_rate": 0.01},
    {"step": 4, "split": "train", "nll": 1.0, "learning_rate": 0.005},
    {"step": 4, "split": "valid", "nll": 0.75, "learning_rate": 0.005},
]


def records(path: Path) -> list[bytes]:
    """TFRecord: length, its checksum, data, its checksum; checksums are masked."""
    content, at, result = path.read_bytes(), 0, []
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        data = content[at + 12 : at + 12 + length]
        for part, place in ((content[at : at + 8], at + 8), (data, at + 12 + length)):
            crc = crc32c(part)
            masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack_from("<I", content, place) == (masked,)
        result.append(data)
        at += 16 + length
    return result


def test_events_tell_what_the_lines_tell(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    curves.write(path, ROWS)
    assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS
    version, *events = [Event.FromString(data) for data in records(curves.events_beside(path))]
    assert version.file_version == "brain.Event:2"
    told = [(e.step, e.wall_time, {v.tag: v.simple_value for v in e.summary.value}) for e in events]
    assert told == [
        (2, 2.0, {"nll/train": 1.5}),
        (2, 2.0, {"nll/valid": 1.25, "learning_rate": pytest.approx(0.01)}),
        (4, 4.0, {"nll/train": 1.0}),
        (4, 4.0, {"nll/valid": 0.75, "learning_rate": pytest.approx(0.005)}),
    ]


def test_what_is_fitted_in_closed_form_has_one_point_and_no_rate(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    curves.write(path, [{"step": 0, "split": "valid", "nll": 0.5, "learning_rate": None}])
    _, event = [Event.FromString(data) for data in records(curves.events_beside(path))]
    assert [(v.tag, v.simple_value) for v in event.summary.value] == [("nll/valid", 0.5)]


def test_a_longer_curve_begins_with_the_bytes_of_the_shorter(tmp_path: Path) -> None:
    """So that a reader which follows the file goes on where it was."""
    path = tmp_path / "curves.jsonl"
    curves.write(path, ROWS[:2])
    before = curves.events_beside(path).read_bytes()
    curves.write(path, ROWS)
    after = curves.events_beside(path).read_bytes()
    assert after[: len(before)] == before and len(after) > len(before)
