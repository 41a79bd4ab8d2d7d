rule corpus:
    """Parse a source into note tables; what cannot be read is listed with its reason."""
    input:
        request=request("corpus"),
    output:
        **{table.replace(".", "_"): f"{folder('corpus')}/{table}" for table in CORPUS},
        record=f"{folder('corpus')}/run.json",
    params:
        spec=spec("corpus"),
        code=code("corpus"),
        lock=PLAN.lock,
        # A function of `output` is no reason to rerun: the files' content stands in spec, their place does not count.
        source=lambda wildcards, output: PLAN.source_path(wildcards.dataset),
    log:
        log_file("corpus"),
    cache: True
    threads: 2
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/corpus.py --request {input.request:q} --source={params.source:q} --jobs {threads} "
        "2>&1 | tee {log:q}"


rule split:
    """Divide a corpus into train, valid and test, families together."""
    input:
        request=request("split"),
        corpus=expand(folder("corpus") + "/{table}", table=CORPUS, allow_missing=True),
    output:
        split=f"{folder('split')}/split.csv",
        record=f"{folder('split')}/run.json",
    params:
        spec=spec("split"),
        code=code("split"),
        lock=PLAN.lock,
        corpus=folder("corpus"),
    log:
        log_file("split"),
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/split.py --request {input.request:q} --corpus {params.corpus:q} 2>&1 | tee {log:q}"
