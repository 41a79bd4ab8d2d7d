rule represent:
    """Turn note tables into packed tokens, a vocabulary and a grammar."""
    input:
        request=request("represent"),
        corpus=corpus_of,
    output:
        **{name.replace(".", "_"): f"{folder('represent')}/{name}" for name in PACKED},
        record=f"{folder('represent')}/run.json",
    params:
        spec=spec("represent"),
        code=code("represent"),
        lock=PLAN.lock,
        corpus=folder("corpus"),
        split=folder("split") + "/split.csv",
    log:
        log_file("represent"),
    cache: True
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/represent.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {params.split:q} 2>&1 | tee {log:q}"
