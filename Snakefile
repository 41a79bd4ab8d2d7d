"""Dal Segno: one command reruns a study, and only what changed is played again.

    make run                                    the default study
    make run STUDY=config/studies/jsb.yaml      another one
    snakemake --cores 2 --configfile X.yaml     the same without make

What a study means is decided in `src/dalsegno/study.py` and `plan.py`; the rules look it up.
"""

from snakemake.utils import min_version

min_version("9.27")


if not config:

    configfile: "config/studies/first_light.yaml"


container: "docker://python:3.11-slim"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/representations.smk"
include: "rules/features.smk"
include: "rules/train.smk"
include: "rules/sample.smk"
include: "rules/copying.smk"
include: "rules/evaluate.smk"
include: "rules/gate.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        rules.report.output,
        rules.verdict.output,
        rules.tables.output,


rule data:
    """Corpora, splits, tokens and features of the study, without training anything."""
    input:
        every("represent", "tokens.safetensors"),
        every("features", "scaler.json"),


rule trained:
    """All checkpoints of the study."""
    input:
        every("train", "checkpoint.safetensors"),
