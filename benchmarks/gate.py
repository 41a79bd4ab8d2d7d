"""The gate's own errors: false alarms where nothing changed, and power where something did.

    python benchmarks/gate.py --aa-simulated 2000
    python benchmarks/gate.py --power 2000
    python benchmarks/gate.py --aa-real FOLDER       # 20 reruns of a small study through the whole workflow

Simulated runs have the noise of networks of `first_light`, six seeds each on the chorales (standard deviation between
seeds relative to the NLL: Transformer 0.45 %, LSTM 0.7 %, LSTM on REMI 1.5 %), and of families. Results: docs/gate.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from planted_bugs import copy_project, git, run, study
from scipy import stats

from dalsegno.gate import snapshot
from dalsegno.gate.statistics import Cell, judge

NLL = (0.489, 0.500, 1.469)
SPREAD = (0.0045, 0.0070, 0.0150)
FAMILIES = 45
AGAIN = {
    "runs": [{"samplers": []}, {"models": ["lstm"], "samplers": ["free"]}],
    "gates": [{"metric": "note_density", "sampler": "free", "margin": "10%", "better": "same"}],
}
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


def real(folder: Path, reruns: int) -> None:
    """Run the small study of `planted_bugs` through the whole workflow under fresh seeds, again and again.

    Every rerun is gated against the baseline that the one before it made, so that no unlucky baseline is used twice.
    """
    root = folder.resolve() / "again"
    shutil.rmtree(root, ignore_errors=True)
    project = copy_project(root)
    git(root, "init", "-q")
    red = inconclusive = 0
    values: dict[str, list[float]] = {}
    for number in range(reruns + 1):
        project.write_study({**study(), **AGAIN, "seeds": [2 * number, 2 * number + 1]})
        git(root, "add", "-A")
        git(root, "commit", "-qm", f"seeds {2 * number} and {2 * number + 1}")
        code, output = run(root, "gate")
        content = json.loads((root / "results/studies/tiny/gate.json").read_text())
        if number:
            told = [one for one in content["verdicts"] if not one["passed"]]
            red += bool(told)
            inconclusive += any(one["status"] == "inconclusive" for one in content["verdicts"])
            lines = "; ".join(f"{one['subject']} {one['metric']} {one['split']}: {one['reason']}" for one in told)
            print(f"rerun {number}: {'red: ' + lines if told else 'green'}", flush=True)
            assert (code != 0) == bool(told), output
        code, output = run(root, "baseline")
        assert code == 0, output
        made = snapshot.read(root / "config/baselines/tiny.json", "tiny")
        for group in made.groups.values():
            tokens = sum(group.splits["test"].tokens)
            own = values.setdefault(group.spec["names"]["model"], [])
            own += [sum(one.splits["test"].nats) / tokens for one in group.runs.values()]
    for model, own in values.items():
        print(
            f"{model}: {len(own)} seeds, test NLL {np.mean(own):.4f}, spread {np.std(own, ddof=1) / np.mean(own):.2%}"
        )
    print(f"reruns: red {share(red, reruns)}; with something inconclusive {share(inconclusive, reruns)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aa-simulated", type=int, metavar="N")
    parser.add_argument("--power", type=int, metavar="N")
    parser.add_argument("--aa-real", type=Path, metavar="FOLDER", help="is made anew")
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
        real(arguments.aa_real, 20)


if __name__ == "__main__":
    main()
