"""The study, its plan, and the look-ups that all rules share."""

import fcntl
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from dalsegno.metrics.registry import METRICS
from dalsegno.plan import Plan
from dalsegno.study import StudyError, load

# Jobs run the interpreter that runs Snakemake, also where its environment was not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

ROOT = Path(workflow.basedir)
RESULTS = Path("results")

study_file = str(workflow.configfiles[-1]) if workflow.configfiles else "the study"

try:
    PLAN = Plan(load(config, study_file, METRICS), ROOT, RESULTS)
except StudyError as error:
    raise WorkflowError(str(error))


def folder(stage, **fixed):
    """A stage's folder as a pattern of the wildcards that are not fixed."""
    return PLAN.folder(stage, **fixed)


def request(stage, **fixed):
    """The file that says what a job is asked for: the input that decides whether it runs again."""
    return folder(stage, **fixed) + "/spec.json"


def spec(stage, **fixed):
    """A function of the wildcards that gives a job's spec: canonical JSON of all that changes its output."""
    return lambda wildcards: PLAN.request(stage, {**dict(wildcards.items()), **fixed}).spec


def code(stage, **fixed):
    """A function of the wildcards that gives the digests of all modules that a job runs, as canonical JSON."""
    return lambda wildcards: PLAN.request(stage, {**dict(wildcards.items()), **fixed}).code


def log_file(stage, **fixed):
    """A stage's log, outside the results: it holds times."""
    return "logs/" + str(Path(folder(stage, **fixed)).relative_to(RESULTS)) + f"/{stage}.log"


def every(stage, name):
    """One file of all jobs of a stage."""
    return [(one.folder / name).as_posix() for job, one in PLAN.requests.items() if job.stage == stage]


def tokens_of(wildcards):
    """The packed tokens that a run is trained on."""
    run = PLAN.runs[wildcards.run]
    base = folder("represent", dataset=run.dataset, representation=run.representation)
    return [f"{base}/{name}" for name in PACKED]


def corpus_of(wildcards):
    """The note tables and the split behind a run or a dataset."""
    name = PLAN.runs[wildcards.run].dataset if "run" in wildcards.keys() else wildcards.dataset
    tables = [f"{folder('corpus', dataset=name)}/{table}" for table in CORPUS]
    return [*tables, f"{folder('split', dataset=name)}/split.csv"]


CORPUS = ["notes.parquet", "pieces.parquet", "meters.parquet", "tempos.parquet", "keys.parquet", "rejects.csv"]
PACKED = ["tokens.safetensors", "index.csv", "vocabulary.json", "rejects.csv"]

if workflow.is_main_process:
    if not workflow.dryrun:
        Path(".cache").mkdir(exist_ok=True)
        # Held until this process ends, however it ends.
        RUN_LOCK = open(".cache/run.lock", "w")
        try:
            fcntl.flock(RUN_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WorkflowError("another run is at work in this folder; wait for it, or end it")
    for place, differences in PLAN.settle().items():
        logger.info(f"{place} is outdated: " + "; ".join(differences))
