"""Training: the same bytes twice, resumed or not; augmentation; stopping."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno.models.steps import inputs_of
from dalsegno.study import Model
from dalsegno.training import loop
from dalsegno.training.batches import Windows, levelled, shifts, transposed
from dalsegno.training.loop import Diverged
from dalsegno.training.options import Augmentation
from dalsegno.training.run import train, valid_nll
from tests.unit.tiny import CONFIGS, HOME, NEURAL, VOICES, packed

FILES = ("checkpoint.safetensors", "curves.jsonl", "summary.json")
MADE = (*FILES, "curves.tfevents")


def section(family: str, **training) -> Model:
    options = {"steps": 6, "batch_size": 3, "window": 8, "warmup_steps": 2, "eval_every": 2} | training
    return Model.model_validate(
        {
            "family": family,
            "config": CONFIGS[family],
            "training": None if family == "ngram" else options,
            "augmentation": {"transpose": 1},
        }
    )


def run(model: Model, data, folder: Path, seed: int = 0) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    train(model.model_dump(mode="json"), data, seed, *(folder / name for name in FILES), folder / "scratch")
    return {name: (folder / name).read_bytes() for name in MADE}


@pytest.mark.parametrize("family", CONFIGS)
def test_the_same_seed_gives_the_same_bytes(family, tmp_path):
    data = packed(tmp_path / "packed", HOME[family])
    first = run(section(family), data, tmp_path / "a")
    assert run(section(family), data, tmp_path / "b") == first
    summary = json.loads(first["summary.json"])
    curve = [json.loads(line) for line in first["curves.jsonl"].decode().splitlines()]
    assert summary["best_valid_nll"] == min(row["nll"] for row in curve if row["split"] == "valid")
    if family != "ngram":
        assert run(section(family), data, tmp_path / "c", seed=1) != first


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    data = packed(tmp_path / "packed", "voices")
    first = run(section("lstm"), data, tmp_path / "a")
    monkeypatch.setattr(Windows, "batch", None)
    assert run(section("lstm"), data, tmp_path / "a") == first


class Stop(Exception):
    pass


@pytest.mark.parametrize(("family", "at"), [("lstm", 1), ("lstm", 4), *((family, 3) for family in NEURAL)])
def test_resumed_equals_uninterrupted(family, at, tmp_path, monkeypatch):
    data = packed(tmp_path / "packed", HOME[family])
    whole = run(section(family), data, tmp_path / "whole")
    # Saving after every step must not change a byte either.
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1.0)
    draw = Windows.batch

    def stop(self, step):
        if step == at:
            raise Stop
        return draw(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Windows, "batch", stop)
        with pytest.raises(Stop):
            run(section(family), data, tmp_path / "cut")
    assert run(section(family), data, tmp_path / "cut") == whole


def test_the_curves_of_a_run_that_is_under_way_can_be_read(tmp_path, monkeypatch):
    data = packed(tmp_path / "packed", "voices")
    draw = Windows.batch

    def stop(self, step):
        if step == 5:
            raise Stop
        return draw(self, step)

    monkeypatch.setattr(Windows, "batch", stop)
    with pytest.raises(Stop):
        run(section("lstm"), data, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 2, 4, 4]
    assert (tmp_path / "curves.tfevents").exists() and not (tmp_path / "checkpoint.safetensors").exists()


PROGRAM = """
import json
import sys
from pathlib import Path
from dalsegno.training import devices
devices.configure(1)
from dalsegno.representations.base import Packed
from dalsegno.training import loop, run
loop.SECONDS_BETWEEN_SAVES = 0.0
folder = Path(sys.argv[2])
files = [folder / name for name in ("checkpoint.safetensors", "curves.jsonl", "summary.json")]
run.train(json.loads(sys.argv[3]), Packed(Path(sys.argv[1])), 0, *files, folder / "scratch")
"""


def test_kill_and_rerun_gives_the_bytes_of_an_uninterrupted_run(tmp_path):
    data = packed(tmp_path / "packed", "voices")
    model = section("lstm", steps=300, eval_every=50, patience=100)

    def command(folder: Path) -> list[str]:
        folder.mkdir(exist_ok=True)
        return [sys.executable, "-c", PROGRAM, str(data.folder), str(folder), model.model_dump_json()]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    process = subprocess.Popen(command(tmp_path / "cut"), stderr=subprocess.DEVNULL)
    state = tmp_path / "cut" / "scratch" / "state.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()
    rerun = subprocess.run(command(tmp_path / "cut"), check=True, capture_output=True, text=True)
    assert "resuming at step" in rerun.stderr
    for name in MADE:
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_divergence_names_the_step_and_keeps_the_last_good_state(tmp_path, monkeypatch):
    data = packed(tmp_path / "packed", "voices")
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1.0)
    draw = Windows.batch

    def poisoned(self, step):
        batch = draw(self, step)
        return batch._replace(mask_BxT=batch.mask_BxT * np.nan) if step == 3 else batch

    monkeypatch.setattr(Windows, "batch", poisoned)
    with pytest.raises(Diverged, match="at step 4"):
        run(section("lstm"), data, tmp_path / "a")
    assert not (tmp_path / "a" / "checkpoint.safetensors").exists()
    monkeypatch.setattr(Windows, "batch", draw)
    run(section("lstm"), data, tmp_path / "a")


def test_early_stopping_keeps_the_best_weights(tmp_path, monkeypatch):
    data = packed(tmp_path / "packed", "voices")
    scores = iter([3.0, 1.0, 2.0, 2.5, 9.0])
    monkeypatch.setattr(loop, "valid_nll", lambda *_: next(scores))
    summary = json.loads(run(section("lstm", steps=20, patience=2), data, tmp_path / "a")["summary.json"])
    assert (summary["best_step"], summary["steps"], summary["stopped_by"]) == (4, 8, "patience")


def test_validation_score_is_that_of_the_checkpoint(tmp_path):
    from dalsegno.models import base

    data = packed(tmp_path / "packed", "events")
    summary = json.loads(run(section("transformer"), data, tmp_path / "a")["summary.json"])
    model = base.load(tmp_path / "a" / "checkpoint.safetensors", data.vocabulary)
    assert valid_nll(model.log_probs, data) == summary["best_valid_nll"]


def test_a_second_process_waits(tmp_path):
    from dalsegno.training.locks import exclusive

    with exclusive(tmp_path), open(tmp_path / "lock", "w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.path.exists(tmp_path / "lock")


def test_windows_hold_training_music_in_range(tmp_path):
    data = packed(tmp_path, "voices")
    windows = Windows(data, batch_size=4, window=8, augmentation=Augmentation(transpose=1), seed=3)
    allowed = set()
    for i in data.indices("train"):
        for semitones in range(data.rows[i].transpose_low, data.rows[i].transpose_high + 1):
            piece = transposed(data.piece(i), semitones, data.vocabulary)
            allowed |= {piece[s : s + 8].tobytes() for s in range(len(piece))}
    starts = 0
    for step in range(30):
        batch = windows.batch(step)
        for tokens, mask, phase in zip(batch.tokens_BxTxK, batch.mask_BxT, batch.inputs.phase_BxT, strict=True):
            length = int(mask.sum())
            assert tokens[:length].astype(np.int16).tobytes() in allowed
            starts += phase[0] == 0
    assert starts > 10
    assert np.array_equal(windows.batch(7).tokens_BxTxK, windows.batch(7).tokens_BxTxK)


def test_inputs_of_a_window_are_those_of_the_whole_piece(tmp_path):
    data = packed(tmp_path, "voices")
    windows = Windows(data, batch_size=4, window=24, augmentation=Augmentation(), seed=3)
    stretches = {}
    for i in data.indices("train"):
        piece = data.piece(i)
        inputs = inputs_of(piece, data.vocabulary)
        for start in range(max(1, len(piece) - 23)):
            part = slice(start, start + 24)
            stretches.setdefault(piece[part].astype(np.int32).tobytes(), []).append(
                [own[part] for own in inputs if own is not None]
            )
    for step in range(20):
        batch = windows.batch(step)
        for row, mask in enumerate(batch.mask_BxT):
            length = int(mask.sum())
            possible = stretches[batch.tokens_BxTxK[row, :length].tobytes()]
            own = [part[row, :length] for part in batch.inputs if part is not None]
            assert any(all(map(np.array_equal, own, other)) for other in possible)


def test_velocities_and_tempos_move_by_levels_and_voices_rest(tmp_path):
    moved = levelled(np.array([0, 3, 4, 5, 6], np.int16), 2, (3, 6))
    assert moved.tolist() == [0, 5, 5, 5, 6] and moved.dtype == np.int16
    assert levelled(np.array([3, 4], np.int16), 2, (0, 0)).tolist() == [3, 4]
    data = packed(tmp_path, "voices")
    plain, silent = (Windows(data, 8, 24, Augmentation(voice_dropout=chance), 3) for chance in (0.0, 0.6))
    batch = silent.batch(0)
    resting = (batch.tokens_BxTxK == 0).all(axis=1)
    assert 0 < resting.mean() < 1 and not resting.all(axis=1).any()
    heard = np.flatnonzero(resting.any(axis=1))[0]
    voice = np.flatnonzero(resting[heard])[0]
    previous = batch.inputs.previous_BxTxK[heard, 1:, voice]
    assert (previous == 0).all() and (np.diff(batch.inputs.runs_BxTxK[heard, 1:, voice]) >= 0).all()
    assert batch.inputs.runs_BxTxK[heard, -1, voice] == 16
    assert not (plain.batch(0).tokens_BxTxK == 0).all(axis=1).any()


@given(st.integers(-12, 0), st.integers(0, 12), st.integers(0, 12))
def test_shifts_stay_in_both_ranges(low, high, most):
    first, last = shifts(low, high, most)
    assert max(low, -most) == first <= 0 <= last == min(high, most)


@given(st.lists(st.integers(0, 5), min_size=1), st.integers(-6, 6))
def test_transposition_moves_pitches_alone_and_never_leaves_the_vocabulary(tokens, semitones):
    tokens = np.array(tokens, np.int16)[:, None]
    pitches = tokens[tokens > 0] + semitones
    if np.any((pitches < 1) | (pitches > 5)):
        with pytest.raises(ValueError, match="leaves the vocabulary"):
            transposed(tokens, semitones, VOICES)
    else:
        moved = transposed(tokens, semitones, VOICES)
        assert np.array_equal(moved[tokens > 0], pitches)
        assert np.array_equal(moved == 0, tokens == 0)
