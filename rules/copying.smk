rule calibrate:
    """An index over the training pieces, and how near unseen real music comes to them."""
    input:
        request=request("calibrate"),
        tokens=lambda wildcards: [made("represent", name, **dict(wildcards.items())) for name in PACKED],
        split=split_of,
    output:
        index=made("calibrate", "index.safetensors"),
        null=made("calibrate", "null.csv"),
        record=record("calibrate"),
    log:
        log_file("calibrate"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("calibrate"),
        code=code("calibrate"),
        lock=PLAN.lock,
        tokens=folder_of("tokens"),
    shell:
        "python workflow/scripts/calibrate.py --request {input.request:q} --tokens {params.tokens:q} "
        "--split {input.split:q} 2>&1 | tee {log:q}"


# One rule a sampler, because the number of sidecars is the sampler's.
for SAMPLER, OPTIONS in PLAN.study.samplers.items():

    rule:
        name:
            f"copying_{SAMPLER}"
        input:
            request=request("copying", sampler=SAMPLER),
            notes=made("sample", "notes.parquet", sampler=SAMPLER),
            index=calibration_of("index.safetensors"),
            null=calibration_of("null.csv"),
            packed=lambda wildcards: tokens_of(wildcards)[PACKED.index("index.csv")],
            pieces=lambda wildcards: made("corpus", "pieces.parquet", dataset=dataset_of(wildcards)),
        output:
            metrics=made("copying", "metrics.csv", sampler=SAMPLER),
            pieces=made("copying", "pieces.csv", sampler=SAMPLER),
            sidecars=[made("copying", f"{i:03d}.json", sampler=SAMPLER) for i in range(OPTIONS.count)],
            record=record("copying", sampler=SAMPLER),
        log:
            log_file("copying", sampler=SAMPLER),
        conda:
            "../envs/cpu.yaml"
        params:
            spec=spec("copying", sampler=SAMPLER),
            code=code("copying", sampler=SAMPLER),
            lock=PLAN.lock,
        shell:
            "python workflow/scripts/copying.py --request {input.request:q} --notes {input.notes:q} "
            "--index {input.index:q} --null {input.null:q} --packed {input.packed:q} --pieces {input.pieces:q} "
            "2>&1 | tee {log:q}"
