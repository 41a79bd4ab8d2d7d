rule report:
    """The study's own report: one HTML file that opens from disk."""
    input:
        request=request("report"),
        metrics=rules.tables.output.metrics,
        runs=rules.tables.output.runs,
        comparisons=rules.tables.output.comparisons,
        leaks=rules.tables.output.leaks,
        decoding=rules.tables.output.decoding,
        verdict=rules.verdict.output.verdict,
        curves=every("train", "curves.jsonl"),
        requests=[f"{one.folder}/spec.json" for job, one in PLAN.requests.items() if job.stage != "report"],
        samples=every("sample", "notes.parquet"),
        histograms=every("measure", "histograms.json") + every("control", "histograms.json"),
        copying=every("copying", "pieces.csv") + every("calibrate", "null.csv"),
        references=every("reference", "notes.parquet"),
        indices=every("represent", "index.csv"),
        features=every("features", "scaler.json"),
        corpora=every("corpus", "pieces.parquet"),
        rejects=every("corpus", "rejects.csv") + every("represent", "rejects.csv"),
        splits=every("split", "split.csv"),
        families=every("families", "families.csv") + every("families", "pairs.csv"),
    output:
        html=report(
            f"{RESULTS}/studies/{PLAN.study.study}/report.html",
            caption="../workflow/report/report.rst",
            category="Report",
            labels={"page": "the study"},
        ),
        record=record("report"),
    log:
        log_file("report"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("report"),
        code=code("report"),
        lock=PLAN.lock,
    shell:
        "python workflow/scripts/report.py --request {input.request:q} --html {output.html:q} 2>&1 | tee {log:q}"
