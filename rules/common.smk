"""The study, its plan, and the look-ups that all rules share."""

import fcntl
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.scheduling.job_scheduler import JobScheduler

from dalsegno import cost, scheduler
from dalsegno.data.options import CORPUS_FILES
from dalsegno.features.options import FEATURE_FILES
from dalsegno.metrics.registry import METRICS
from dalsegno.plan import Plan
from dalsegno.study import StudyError, load

ROOT = Path(workflow.basedir)

os.environ.update(
    # Jobs run the interpreter that runs Snakemake, also where its environment was not activated …
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", "")]),
    # … and in a rule's own environment this checkout's library.
    PYTHONPATH=os.pathsep.join([str(ROOT / "src"), os.getenv("PYTHONPATH", "")]).rstrip(os.pathsep),
)
RESULTS = Path("results")

scheduler.calm(JobScheduler)

study_file = str(workflow.configfiles[-1]) if workflow.configfiles else "the study"

try:
    PLAN = Plan(load(config, study_file, METRICS, ROOT / "config" / "datasets"), ROOT, RESULTS)
except StudyError as error:
    raise WorkflowError(str(error))


def folder(stage, **fixed):
    """A stage's folder as a pattern of the wildcards that are not fixed."""
    return PLAN.folder(stage, **fixed)


def made(stage, name, **fixed):
    """A file of a stage's folder, as a pattern."""
    return f"{folder(stage, **fixed)}/{name}"


def request(stage, **fixed):
    """The file that says what a job is asked for: the input that decides whether it runs again."""
    return made(stage, "spec.json", **fixed)


def record(stage, **fixed):
    """The file that says what an artifact was made from: the last that a job writes."""
    return made(stage, "run.json", **fixed)


def spec(stage, **fixed):
    """A function of the wildcards that gives a job's spec: canonical JSON of all that changes its output."""
    return lambda wildcards: PLAN.request(stage, {**dict(wildcards.items()), **fixed}).spec


def code(stage, **fixed):
    """A function of the wildcards that gives the digests of all modules that a job runs, as canonical JSON."""
    return lambda wildcards: PLAN.request(stage, {**dict(wildcards.items()), **fixed}).code


def log_file(stage, **fixed):
    """A stage's log, outside the results: it holds times."""
    return "logs/{}/{}.log".format(Path(folder(stage, **fixed)).relative_to(RESULTS), stage)


def every(stage, name):
    """One file of all jobs of a stage."""
    return [(one.folder / name).as_posix() for job, one in PLAN.requests.items() if job.stage == stage]


def folder_of(name):
    """A function that gives the folder of the input called `name`."""
    # A function of `input` is no reason to rerun, and need not be: the input itself is.
    return lambda wildcards, input: str(Path(input.get(name)[0]).parent)


def dataset_of(wildcards):
    """The dataset that a job works on."""
    return PLAN.runs[wildcards.run].dataset if "run" in wildcards.keys() else wildcards.dataset


def corpus_of(wildcards):
    """The tables of the corpus behind a job."""
    dataset = dataset_of(wildcards)
    return [made("corpus", table, dataset=dataset) for table in PLAN.corpus_files(dataset)]


def shards_of(wildcards):
    """The tables of a dataset's shards, one shard after the other; none where one job parses all."""
    tables = PLAN.corpus_files(wildcards.dataset)
    shards = PLAN.shards(wildcards.dataset)
    return [made("shard", table, dataset=wildcards.dataset, shard=shard) for shard in shards for table in tables]


def split_of(wildcards):
    """The split behind a job."""
    return made("split", "split.csv", dataset=dataset_of(wildcards))


def tokens_of(wildcards):
    """The packed tokens that a run is trained on."""
    run = PLAN.runs[wildcards.run]
    return [made("represent", name, dataset=run.dataset, representation=run.representation) for name in PACKED]


def members_of(wildcards):
    """The checkpoints that an ensemble is made of; none for other models."""
    return [made("train", "checkpoint.safetensors", run=name) for name in PLAN.members(wildcards.run)]


def all_tokens_of(wildcards):
    """The packed tokens of a dataset in all its representations."""
    names = PLAN.represented(wildcards.dataset)
    return [
        made("represent", file, dataset=wildcards.dataset, representation=name) for name in names for file in PACKED
    ]


def encoder_of(wildcards):
    """The encoder of a job's dataset; none where no metric asks for embeddings."""
    name = dataset_of(wildcards)
    return [made("encode", "encoder.safetensors", dataset=name)] if name in PLAN.encoded else []


def calibration_of(name):
    """A function of the wildcards that gives a file of the calibration behind a run."""
    return lambda wildcards: made(
        "calibrate",
        name,
        dataset=PLAN.runs[wildcards.run].dataset,
        representation=PLAN.runs[wildcards.run].representation,
    )


PACKED = ["tokens.safetensors", "index.csv", "vocabulary.json", "rejects.csv", "fidelity.json"]

if workflow.is_main_process:
    if not workflow.dryrun:
        Path(".cache").mkdir(exist_ok=True)
        # Held until this process ends, however it ends.
        RUN_LOCK = open(".cache/run.lock", "w")
        try:
            fcntl.flock(RUN_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WorkflowError("another run is at work in this folder; wait for it, or end it")
    logger.info(f"{PLAN.study.title}: {len(PLAN.runs)} runs; report: {RESULTS}/studies/{PLAN.study.study}/report.html")
    for place, differences in PLAN.settle().items():
        logger.info(f"{place} is outdated: " + "; ".join(differences))


onstart:
    # Snakemake knows by now what runs and what waits for what; where nothing is to be done, this is never reached.
    folders = {one.folder.as_posix(): json.loads(one.spec) for one in PLAN.requests.values()}
    found = {
        job: str(Path(name).parent)
        for job in workflow.dag.needrun_jobs()
        for name in job.output
        if Path(name).name == "run.json"
    }
    tasks = [
        cost.Task(
            place,
            folders[place],
            job.threads,
            frozenset(found[one] for one in workflow.dag.dependencies[job] if one in found),
        )
        for job, place in found.items()
    ]
    if tasks:
        logger.info(cost.tell(tasks, cost.recorded(RESULTS), cost.read_table(ROOT / cost.TABLE), workflow.cores))
