rule likelihood:
    """NLL of the validation and test pieces, with intervals."""
    input:
        request=request("likelihood"),
        checkpoint=f"{folder('train')}/checkpoint.safetensors",
        tokens=tokens_of,
    output:
        metrics=f"{folder('likelihood')}/metrics.csv",
        record=f"{folder('likelihood')}/run.json",
    params:
        spec=spec("likelihood"),
        code=code("likelihood"),
        lock=PLAN.lock,
        tokens=lambda wildcards: PLAN.tokens(wildcards.run),
    log:
        log_file("likelihood"),
    threads: 1
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/likelihood.py --request {input.request:q} --checkpoint {input.checkpoint:q} "
        "--tokens {params.tokens:q} --threads {threads} 2>&1 | tee {log:q}"


rule measure:
    """Metrics of the samples of one run and sampler."""
    input:
        request=request("measure"),
        notes=f"{folder('sample')}/notes.parquet",
        corpus=corpus_of,
    output:
        metrics=f"{folder('measure')}/metrics.csv",
        histograms=f"{folder('measure')}/histograms.json",
        record=f"{folder('measure')}/run.json",
    params:
        spec=spec("measure"),
        code=code("measure"),
        lock=PLAN.lock,
        corpus=lambda wildcards: folder("corpus", dataset=PLAN.runs[wildcards.run].dataset),
        split=lambda wildcards: folder("split", dataset=PLAN.runs[wildcards.run].dataset) + "/split.csv",
    log:
        log_file("measure"),
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/measure.py --request {input.request:q} --notes {input.notes:q} "
        "--corpus {params.corpus:q} --split {params.split:q} 2>&1 | tee {log:q}"


rule control:
    """The same metrics of held-out real music, training music, shuffled music and noise."""
    input:
        request=request("control"),
        corpus=corpus_of,
    output:
        metrics=f"{folder('control')}/metrics.csv",
        histograms=f"{folder('control')}/histograms.json",
        record=f"{folder('control')}/run.json",
    params:
        spec=spec("control"),
        code=code("control"),
        lock=PLAN.lock,
        corpus=folder("corpus"),
        split=folder("split") + "/split.csv",
    log:
        log_file("control"),
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/control.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {params.split:q} 2>&1 | tee {log:q}"


rule tables:
    """One tidy table of all metrics and one of all runs."""
    input:
        request=request("tables"),
        likelihood=every("likelihood", "metrics.csv"),
        measures=every("measure", "metrics.csv"),
        controls=every("control", "metrics.csv"),
        summaries=every("train", "summary.json"),
    output:
        metrics=report(
            f"{RESULTS}/studies/{PLAN.study.study}/metrics.csv",
            caption="../workflow/report/metrics.rst",
            category="Tables",
            labels={"table": "all metrics"},
        ),
        runs=report(
            f"{RESULTS}/studies/{PLAN.study.study}/runs.csv",
            caption="../workflow/report/runs.rst",
            category="Tables",
            labels={"table": "all runs"},
        ),
        record=f"{folder('tables')}/run.json",
    params:
        spec=spec("tables"),
        code=code("tables"),
        lock=PLAN.lock,
        runs=f"{RESULTS}/runs/{PLAN.study.study}",
    log:
        log_file("tables"),
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/tables.py --request {input.request:q} --metrics {output.metrics:q} "
        "--runs {output.runs:q} --rows {input.likelihood:q} {input.measures:q} {input.controls:q} "
        "--runs-folder {params.runs:q} 2>&1 | tee {log:q}"
