"""Plant bugs in a copy of the project, rerun a small study, and ask the gate which of them it notices, and by what.

    python benchmarks/planted_bugs.py FOLDER [bug ...]

Each bug is one edit of real code. A bug that makes a job fail counts as noticed by an error where the traceback leads
through the edited file, and stops everything where it does not. FOLDER is made anew; about half a minute a bug on
two cores.
Results: docs/gate.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.workflow.conftest import STUDY, copy_project  # the tiny study and its music

SOURCE = Path("src/dalsegno")


@dataclass(frozen=True)
class Bug:
    """One edit: in `file`, `right` becomes `wrong`."""

    name: str
    file: str
    right: str
    wrong: str

    def plant(self, root: Path) -> None:
        path = root / SOURCE / self.file
        text = path.read_text()
        assert text.count(self.right) == 1, f"{self.file} holds {self.right!r} {text.count(self.right)} times"
        path.write_text(text.replace(self.right, self.wrong))


BUGS = [
    Bug(
        "off by one in the grid",
        "representations/voices.py",
        'first, last = -(-notes["start"] // self.step_ticks), -(-end // self.step_ticks)',
        'first, last = notes["start"] // self.step_ticks + 1, end // self.step_ticks + 1',
    ),
    Bug(
        "test split transposed",
        "representations/packing.py",
        "finished = representation.finish(tokens(i))",
        'finished = representation.finish(tokens(i) + np.int16(row.split == "test"))',
    ),
    Bug(
        "dropout left on at evaluation",
        "models/steps.py",
        "return -self._losses(inputs, tokens_BxTxK, None, 0.0)",
        "return -self._losses(inputs, tokens_BxTxK, jax.random.key(0), 0.0)",
    ),
    Bug(
        "attention sees one step of the future",
        "models/attention.py",
        "(distance >= 0) & (distance < self.span)",
        "(distance >= -1) & (distance < self.span)",
    ),
    Bug("temperature squared", "models/filters.py", "logits_BxV / temperature,", "logits_BxV / temperature**2,"),
    Bug(
        "target shifted by a step",
        "models/steps.py",
        "chosen = jnp.take_along_axis(logits, tokens___[..., None], axis=-1)[..., 0]",
        "chosen = jnp.take_along_axis(logits, jnp.roll(tokens___, 1, axis=1)[..., None], axis=-1)[..., 0]",
    ),
    Bug("velocity lost", "data/read_midi.py", 'block[5] = columns["velocity"]', "block[5] = 64"),
    Bug(
        "splits shuffled",
        "data/split.py",
        'return [by_name.get(int(f), "train") for f in family]',
        'return [by_name.get(int(f), "train") for f in family][::-1]',
    ),
    Bug(
        "stale checkpoint",
        "training/loop.py",
        "best = layout.read(named(state.chosen))",
        "best = dict(best)",
    ),
    Bug(
        "vocabulary truncated",
        "representations/voices.py",
        "pitches = range(options.lowest, options.highest + 1)",
        "pitches = range(options.lowest, options.highest - 3)",
    ),
    Bug(
        "trained on the test pieces, too",
        "training/batches.py",
        'packed, packed.indices("train")',
        'packed, packed.indices("train") + packed.indices("test")',
    ),
    Bug(
        "bits called nats",
        "metrics/likelihood.py",
        "nats=float(-np.sum(logp, dtype=float))",
        "nats=float(-np.sum(logp, dtype=float) / np.log(2))",
    ),
    Bug(
        "learning rate never falls",
        "training/optimizers.py",
        "min(training.warmup_steps, training.steps - 1)",
        "training.steps - 1",
    ),
    Bug(
        "windows always begin at the piece's start",
        "training/batches.py",
        "random.integers(-half, len(piece) - half + 1)",
        "min(0, random.integers(-half, len(piece) - half + 1))",
    ),
    Bug(
        "decoded a step too short",
        "representations/voices.py",
        "int(b - a) * step",
        "int(b - a) * step - 1",
    ),
]


def study() -> dict[str, object]:
    """The tiny study with a Transformer, long enough for its networks to learn something."""
    training = {"steps": 80, "batch_size": 4, "window": 32, "eval_every": 20, "warmup_steps": 5, "learning_rate": 0.01}
    small = {"features": 16, "layers": 1, "hidden": 16}
    return {
        **STUDY,
        "models": {
            "ngram": {"family": "ngram"},
            "lstm": {"family": "lstm", "config": small, "training": training},
            "transformer": {
                "family": "transformer",
                "config": {**small, "attention_heads": 2, "feedforward": 32, "span": 32},
                "training": training,
            },
        },
        "representations": {"voices": {"kind": "voices"}},
        "samplers": {"free": {"count": 4, "bars": 4, "temperature": 0.6}},
        "runs": [{"samplers": []}, {"models": ["lstm"], "seeds": [0], "samplers": ["free"]}],
        "metrics": ["note_density"],
        "gates": [],
    }


def run(root: Path, *targets: str) -> tuple[int, str]:
    program = Path(sys.executable).with_name("snakemake")
    done = subprocess.run(
        [program, "--configfile", "tiny.yaml", "--cores", "2", *targets],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=gate", "-c", "user.email=gate@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def main() -> None:
    clean, chosen = Path(sys.argv[1]).resolve() / "clean", sys.argv[2:]
    shutil.rmtree(clean.parent, ignore_errors=True)
    copy_project(clean).write_study(study())  # type: ignore[arg-type]
    git(clean, "init", "-q")
    git(clean, "add", "-A")
    git(clean, "commit", "-qm", "clean")
    code, output = run(clean, "baseline")
    assert code == 0, output
    code, output = run(clean, "gate")
    assert code == 0, output
    print(yaml.safe_dump(study()["models"]))
    print("| planted | red | seconds | what caught it |\n|---|---|---|---|")
    for bug in BUGS:
        if chosen and bug.name not in chosen:
            continue
        root = clean.with_name("planted")
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(clean, root)
        bug.plant(root)
        verdict = root / "results/studies/tiny/gate.json"
        before = verdict.stat().st_mtime
        start = time.monotonic()
        code, output = run(root, "gate")
        seconds = time.monotonic() - start
        if verdict.exists() and verdict.stat().st_mtime > before:
            red = [one for one in json.loads(verdict.read_text())["verdicts"] if not one["passed"]]
            told = "; ".join(f"{one['status']}: {one['subject']} {one['metric']} {one['split']}".strip() for one in red)
        else:
            told = "error: " + next((line for line in output.splitlines() if "Error:" in line), "a job failed")
            # A broken environment turns everything red and catches nothing.
            assert bug.file in output, f"{bug.name}: failed elsewhere than in {bug.file}:\n{output[-2000:]}"
        print(f"| {bug.name} | {'yes' if code else 'NO'} | {seconds:.0f} | {told or 'nothing'} |", flush=True)


if __name__ == "__main__":
    main()
