# One rule a sampler, because the number of files is the sampler's: outputs cannot depend on wildcards.
for SAMPLER, OPTIONS in PLAN.study.samplers.items():

    rule:
        name:
            f"sample_{SAMPLER}"
        input:
            request=request("sample", sampler=SAMPLER),
            checkpoint=made("train", "checkpoint.safetensors"),
            tokens=tokens_of,
        output:
            notes=made("sample", "notes.parquet", sampler=SAMPLER),
            repairs=made("sample", "repairs.csv", sampler=SAMPLER),
            midi=[made("sample", f"{i:03d}.mid", sampler=SAMPLER) for i in range(OPTIONS.count)],
            audio=[made("sample", f"{i:03d}.flac", sampler=SAMPLER) for i in range(OPTIONS.count)],
            record=record("sample", sampler=SAMPLER),
        log:
            log_file("sample", sampler=SAMPLER),
        conda:
            "../envs/cpu.yaml"
        threads: 1
        params:
            spec=spec("sample", sampler=SAMPLER),
            code=code("sample", sampler=SAMPLER),
            lock=PLAN.lock,
            tokens=folder_of("tokens"),
        shell:
            "python workflow/scripts/sample.py --request {input.request:q} --checkpoint {input.checkpoint:q} "
            "--tokens {params.tokens:q} --threads {threads} 2>&1 | tee {log:q}"


rule reference:
    """Excerpts of real test pieces as MIDI and audio, to listen to beside the samples."""
    input:
        request=request("reference"),
        corpus=corpus_of,
        split=split_of,
    output:
        notes=made("reference", "notes.parquet"),
        midi=[made("reference", f"{i:03d}.mid") for i in range(PLAN.references)],
        audio=[made("reference", f"{i:03d}.flac") for i in range(PLAN.references)],
        record=record("reference"),
    log:
        log_file("reference"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("reference"),
        code=code("reference"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
    shell:
        "python workflow/scripts/reference.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {input.split:q} 2>&1 | tee {log:q}"
