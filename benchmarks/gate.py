"""The gate's own errors: false alarms where nothing changed, and power where something did.

    python benchmarks/gate.py --aa-simulated 2000
    python benchmarks/gate.py --power 2000
    python benchmarks/gate.py --aa-real TOKENS       # a folder of packed voices; 42 seeds, 20 reruns of two

Simulated runs have the noise of networks of `first_light`, six seeds each on the chorales (standard deviation between
seeds relative to the NLL: Transformer 0.45 %, LSTM 0.7 %, LSTM on REMI 1.5 %), and of families. Results: docs/gate.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from dalsegno.gate import snapshot
from dalsegno.gate.statistics import Cell, judge
from dalsegno.gate.verdicts import verdicts
from dalsegno.metrics.likelihood import score
from dalsegno.models.base import load
from dalsegno.provenance import digest
from dalsegno.representations.base import Packed
from dalsegno.training.run import train

NLL = (0.489, 0.500, 1.469)
SPREAD = (0.0045, 0.0070, 0.0150)
FAMILIES = 45
OWN = 0.01  # what a seed does to one family beside what it does to all, relative


def state(random: np.random.Generator, tokens_F: np.ndarray, seeds: int, loss: np.ndarray) -> list[np.ndarray]:
    """Nats by seed and family of each network."""
    result = []
    for nll, spread, extra in zip(NLL, SPREAD, loss, strict=True):
        each_SxF = (
            1 + spread * random.standard_normal((seeds, 1)) + OWN * random.standard_normal((seeds, len(tokens_F)))
        )
        result.append(nll * (1 + extra) * each_SxF * tokens_F)
    return result


def outcomes(random: np.random.Generator, seeds: int, loss: np.ndarray) -> list[str]:
    """The statuses of NLL, of NLL a note and of a second split, for every network."""
    cells = []
    tokens_F = random.lognormal(6.5, 0.5, FAMILIES).round()
    notes_F = (tokens_F / random.uniform(3, 5, FAMILIES)).round()
    old, new = state(random, tokens_F, seeds, np.zeros(3)), state(random, tokens_F, seeds, loss)
    for below_F in (tokens_F, notes_F):
        for a, b in zip(old, new, strict=True):
            values = [one.sum(axis=1) / below_F.sum() for one in (a, b)]
            cells.append(Cell(*values, 0.01 * values[0].mean(), "lower", False, a, b, below_F, "likelihood"))
    if loss.all():
        # An n-gram has no seeds: what harms every model is not hidden by their noise.
        a = 0.57 * np.ones((1, 1)) * tokens_F
        b = a * (1 + loss[0])
        values = [one.sum(axis=1) / tokens_F.sum() for one in (a, b)]
        cells.append(Cell(*values, 0.01 * values[0].mean(), "lower", True, a, b, tokens_F, "likelihood"))
    return [one.status for one in judge(cells)]


def share(hits: int, n: int) -> str:
    low, high = stats.binomtest(hits, n).proportion_ci(method="exact")
    return f"{hits} of {n} = {hits / n:.1%} (95 %: {low:.1%} to {high:.1%})"


def simulate(repetitions: int, seeds: int, loss: np.ndarray) -> str:
    random = np.random.default_rng([seeds, int(loss.sum() * 1000)])
    red = sum("worse" in outcomes(random, seeds, loss) for _ in range(repetitions))
    return share(red, repetitions)


def real(tokens: Path, seeds: int) -> None:
    """Train a small LSTM under many seeds, and gate every two seeds against the two before them."""
    packed = Packed(tokens)
    names = {"dataset": "tunes", "representation": "voices", "model": "lstm"}
    model = {
        "family": "lstm",
        "config": {"features": 16, "layers": 1, "hidden": 16},
        "training": {"steps": 60, "batch_size": 4, "window": 32, "eval_every": 20, "warmup_steps": 5},
        "augmentation": {"transpose": 2},
    }
    runs, scores = {}, []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, curves, summary = (Path(folder) / name for name in ("checkpoint", "curves", "summary"))
            train(model, packed, seed, checkpoint, curves, summary, Path(folder) / "scratch")
            scores = score(load(checkpoint, packed.vocabulary), packed)
            weights = digest(checkpoint.read_bytes())
            valid_nll = json.loads(summary.read_text())["best_valid_nll"]
        splits = {
            split: snapshot.scored(scores, split, snapshot.pieces(scores, split).families)
            for split in ("valid", "test")
        }
        runs[f"tunes-voices-lstm-s{seed}"] = snapshot.Run(
            seed=seed,
            weights=weights,
            scored=weights,
            scores=weights,
            valid_nll=valid_nll,
            probes={},
            splits=splits,
            samples={},
        )
    pieces = {split: snapshot.pieces(scores, split) for split in ("valid", "test")}
    document = snapshot.Snapshot(
        schema_version=1,
        study="again",
        environment=snapshot.Environment(python=[], platforms=[], devices=[], libraries={}, locks=[]),
        modules={},
        facts={},
        groups={
            "tunes-voices-lstm": snapshot.Group(
                fixed=False, spec={"names": names}, samplers={}, splits=pieces, runs=runs
            )
        },
        units={},
    )
    red, inconclusive, n = 0, 0, 0
    for first in range(0, seeds - 3, 2):
        old, new = (_only(document, list(range(start, start + 2))) for start in (first, first + 2))
        found = verdicts(new, old, "", [], [], {})
        red += any(not one.passed for one in found)
        inconclusive += any(one.status == "inconclusive" for one in found)
        n += 1
    values = [sum(run.splits["test"].nats) / sum(pieces["test"].tokens) for run in runs.values()]
    print(f"{seeds} seeds, NLL {np.mean(values):.4f}, spread {np.std(values, ddof=1) / np.mean(values):.2%}")
    print(f"reruns: red {share(red, n)}; inconclusive {share(inconclusive, n)}")


def _only(document: snapshot.Snapshot, seeds: list[int]) -> snapshot.Snapshot:
    groups = {
        name: group.model_copy(update={"runs": {key: run for key, run in group.runs.items() if run.seed in seeds}})
        for name, group in document.groups.items()
    }
    return document.model_copy(update={"groups": groups})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aa-simulated", type=int, metavar="N")
    parser.add_argument("--power", type=int, metavar="N")
    parser.add_argument("--aa-real", type=Path, metavar="TOKENS")
    arguments = parser.parse_args()
    if arguments.aa_simulated:
        for seeds in (2, 3, 5):
            print(f"A/A, {seeds} seeds: red {simulate(arguments.aa_simulated, seeds, np.zeros(3))}")
    if arguments.power:
        for seeds in (2, 3, 5):
            for name, loss in (("all", [0.03] * 3), *((f"network {i + 1}", 0.03 * np.eye(3)[i]) for i in range(3))):
                told = simulate(arguments.power, seeds, np.array(loss))
                print(f"3 % loss in {name}, {seeds} seeds: red {told}")
    if arguments.aa_real:
        real(arguments.aa_real, 42)


if __name__ == "__main__":
    main()
