rule verdict:
    """Hold metrics.csv against the study's gates; a missing metric fails, too."""
    input:
        request=request("gate"),
        metrics=rules.tables.output.metrics,
    output:
        verdict=f"{RESULTS}/studies/{PLAN.study.study}/gate.json",
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
        "python workflow/scripts/gate.py --request {input.request:q} --metrics {input.metrics:q} "
        "--verdict {output.verdict:q} 2>&1 | tee {log:q}"


rule gate:
    """Fail where a gate fails (`make gate`)."""
    input:
        verdict=rules.verdict.output.verdict,
    log:
        "logs/gate.log",
    conda:
        "../envs/cpu.yaml"
    shell:
        "python -m dalsegno verdict {input.verdict:q} 2>&1 | tee {log:q}"
