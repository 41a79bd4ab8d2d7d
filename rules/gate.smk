rule verdict:
    """Hold the results against the study's gates and its baseline; what cannot be judged fails."""
    input:
        request=request("gate"),
        metrics=rules.tables.output.metrics,
        records=[f"{one.folder}/run.json" for job, one in PLAN.requests.items() if job.stage not in ("gate", "report")],
    output:
        verdict=f"{RESULTS}/studies/{PLAN.study.study}/gate.json",
        summary=f"{RESULTS}/studies/{PLAN.study.study}/gate.md",
        junit=f"{RESULTS}/studies/{PLAN.study.study}/gate.xml",
        snapshot=f"{RESULTS}/studies/{PLAN.study.study}/snapshot.json",
        record=record("gate"),
    log:
        log_file("gate"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("gate"),
        code=code("gate"),
        lock=PLAN.lock,
    shell:
        "python workflow/scripts/gate.py --request {input.request:q} --metrics {input.metrics:q} 2>&1 | tee {log:q}"


rule gate:
    """Add the metrics to the history of this commit, and fail where a gate fails (`make gate`)."""
    input:
        verdict=rules.verdict.output.verdict,
        metrics=rules.tables.output.metrics,
    log:
        "logs/gate.log",
    conda:
        "../envs/cpu.yaml"
    params:
        history=f"{RESULTS}/history.parquet",
    shell:
        "(python -m dalsegno record {input.metrics:q} {params.history:q}; "
        "python -m dalsegno verdict {input.verdict:q}) 2>&1 | tee {log:q}"


rule baseline:
    """Take the results as the study's baseline (`make baseline`)."""
    input:
        snapshot=rules.verdict.output.snapshot,
    log:
        "logs/baseline.log",
    conda:
        "../envs/cpu.yaml"
    params:
        study=PLAN.study.study,
    shell:
        "python -m dalsegno baseline {params.study:q} {input.snapshot:q} 2>&1 | tee {log:q}"
