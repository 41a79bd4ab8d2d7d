PIECES = ["notes.parquet", "run.json"]

# One rule a sampler, because the number of files is the sampler's: outputs cannot depend on wildcards.
for SAMPLER, OPTIONS in PLAN.study.samplers.items():

    rule:
        name:
            f"sample_{SAMPLER}"
        input:
            request=request("sample", sampler=SAMPLER),
            checkpoint=f"{folder('train')}/checkpoint.safetensors",
            tokens=tokens_of,
        output:
            notes=f"{folder('sample', sampler=SAMPLER)}/notes.parquet",
            midi=[f"{folder('sample', sampler=SAMPLER)}/{i:03d}.mid" for i in range(OPTIONS.count)],
            audio=[f"{folder('sample', sampler=SAMPLER)}/{i:03d}.flac" for i in range(OPTIONS.count)],
            record=f"{folder('sample', sampler=SAMPLER)}/run.json",
        params:
            spec=spec("sample", sampler=SAMPLER),
            code=code("sample", sampler=SAMPLER),
            lock=PLAN.lock,
            tokens=lambda wildcards: PLAN.tokens(wildcards.run),
        log:
            log_file("sample", sampler=SAMPLER),
        threads: 1
        conda:
            "../envs/cpu.yaml"
        shell:
            "python workflow/scripts/sample.py --request {input.request:q} --checkpoint {input.checkpoint:q} "
            "--tokens {params.tokens:q} --threads {threads} 2>&1 | tee {log:q}"


rule reference:
    """Excerpts of real test pieces as MIDI and audio, to listen to beside the samples."""
    input:
        request=request("reference"),
        corpus=corpus_of,
    output:
        notes=f"{folder('reference')}/notes.parquet",
        midi=[f"{folder('reference')}/{i:03d}.mid" for i in range(PLAN.references)],
        audio=[f"{folder('reference')}/{i:03d}.flac" for i in range(PLAN.references)],
        record=f"{folder('reference')}/run.json",
    params:
        spec=spec("reference"),
        code=code("reference"),
        lock=PLAN.lock,
        corpus=folder("corpus"),
        split=folder("split") + "/split.csv",
    log:
        log_file("reference"),
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/reference.py --request {input.request:q} --corpus {params.corpus:q} "
        "--split {params.split:q} 2>&1 | tee {log:q}"
