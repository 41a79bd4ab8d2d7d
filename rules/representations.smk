rule represent:
    """Turn note tables into packed tokens, a vocabulary and a grammar."""
    input:
        request=request("represent"),
        corpus=corpus_of,
        split=split_of,
    output:
        **{name.replace(".", "_"): made("represent", name) for name in PACKED},
        record=record("represent"),
    log:
        log_file("represent"),
    cache: True
    conda:
        "../envs/cpu.yaml"
    threads: 2
    params:
        spec=spec("represent"),
        code=code("represent"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
    shell:
        "python workflow/scripts/represent.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {input.split:q} --jobs {threads} 2>&1 | tee {log:q}"
