rule encode:
    """A small encoder of the training pieces, for distances between embeddings."""
    input:
        request=request("encode"),
        corpus=corpus_of,
        split=split_of,
    output:
        encoder=made("encode", "encoder.safetensors"),
        summary=made("encode", "encoder.json"),
        record=record("encode"),
    log:
        log_file("encode"),
    conda:
        "../envs/cpu.yaml"
    # The number of threads changes the bytes, so it is one unless a profile says otherwise (set-threads).
    threads: 1
    params:
        spec=spec("encode"),
        code=code("encode"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
    shell:
        "python workflow/scripts/encode.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {input.split:q} --threads {threads} 2>&1 | tee {log:q}"


rule likelihood:
    """NLL of the validation and test pieces, with intervals, and what each piece added to it."""
    input:
        request=request("likelihood"),
        checkpoint=made("train", "checkpoint.safetensors"),
        tokens=tokens_of,
    output:
        metrics=made("likelihood", "metrics.csv"),
        pieces=made("likelihood", "pieces.csv"),
        probes=made("likelihood", "probes.json"),
        record=record("likelihood"),
    log:
        log_file("likelihood"),
    conda:
        "../envs/cpu.yaml"
    threads: 1
    params:
        spec=spec("likelihood"),
        code=code("likelihood"),
        lock=PLAN.lock,
        tokens=folder_of("tokens"),
    shell:
        "python workflow/scripts/likelihood.py --request {input.request:q} --checkpoint {input.checkpoint:q} "
        "--tokens {params.tokens:q} --threads {threads} 2>&1 | tee {log:q}"


rule measure:
    """Metrics of the samples of one run and sampler."""
    input:
        request=request("measure"),
        notes=made("sample", "notes.parquet"),
        corpus=corpus_of,
        split=split_of,
        encoder=encoder_of,
    output:
        metrics=made("measure", "metrics.csv"),
        histograms=made("measure", "histograms.json"),
        record=record("measure"),
    log:
        log_file("measure"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("measure"),
        code=code("measure"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
    shell:
        "python workflow/scripts/measure.py --request {input.request:q} --notes {input.notes:q} "
        "--corpus {params.corpus:q} --split {input.split:q} --encoder {input.encoder:q} 2>&1 | tee {log:q}"


rule control:
    """The same metrics of held-out real music, training music, shuffled music and noise."""
    input:
        request=request("control"),
        corpus=corpus_of,
        split=split_of,
        tokens=all_tokens_of,
        encoder=encoder_of,
    output:
        metrics=made("control", "metrics.csv"),
        histograms=made("control", "histograms.json"),
        record=record("control"),
    log:
        log_file("control"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("control"),
        code=code("control"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
        representations=lambda wildcards, input: str(Path(input.tokens[0]).parents[1]),
    shell:
        "python workflow/scripts/control.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {input.split:q} --representations {params.representations:q} --encoder {input.encoder:q} "
        "2>&1 | tee {log:q}"


rule tables:
    """One tidy table of all metrics, one of all runs, and one of paired tests between models."""
    input:
        request=request("tables"),
        likelihood=every("likelihood", "metrics.csv"),
        pieces=every("likelihood", "pieces.csv"),
        measures=every("measure", "metrics.csv"),
        copying=every("copying", "metrics.csv"),
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
        comparisons=report(
            f"{RESULTS}/studies/{PLAN.study.study}/comparisons.csv",
            caption="../workflow/report/comparisons.rst",
            category="Tables",
            labels={"table": "paired comparisons"},
        ),
        leaks=f"{RESULTS}/studies/{PLAN.study.study}/leak.csv",
        decoding=report(
            f"{RESULTS}/studies/{PLAN.study.study}/decoding.csv",
            caption="../workflow/report/decoding.rst",
            category="Tables",
            labels={"table": "decoding of each model"},
        ),
        record=record("tables"),
    log:
        log_file("tables"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("tables"),
        code=code("tables"),
        lock=PLAN.lock,
        # Not by an input: a study of data alone has none.
        runs=lambda wildcards: str(Path(folder("train")).parent),
        likelihood=lambda wildcards: str(Path(folder("likelihood")).parent),
    shell:
        "python workflow/scripts/tables.py --request {input.request:q} --metrics {output.metrics:q} "
        "--runs {output.runs:q} --comparisons {output.comparisons:q} --leaks {output.leaks:q} "
        "--decoding {output.decoding:q} "
        "--rows {input.likelihood:q} {input.measures:q} {input.copying:q} {input.controls:q} "
        "--runs-folder {params.runs:q} --likelihood-folder {params.likelihood:q} 2>&1 | tee {log:q}"
