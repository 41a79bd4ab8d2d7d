rule fetch:
    """Fetch an archive from its addresses, or take it from the shared cache."""
    input:
        request=request("fetch"),
    output:
        archive=made("fetch", "archive"),
        record=record("fetch"),
    log:
        log_file("fetch"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("fetch"),
        code=code("fetch"),
        lock=PLAN.lock,
        # Another mirror is no reason to fetch the same bytes again: what counts of a source stands in spec.
        source=lambda wildcards, output: PLAN.source_document(wildcards.dataset),
    shell:
        "python workflow/scripts/fetch.py --request {input.request:q} --source {params.source:q} 2>&1 | tee {log:q}"


# One rule a modality, because outputs cannot depend on wildcards.
for MODALITY, TABLES in CORPUS_FILES.items():

    rule:
        name:
            "shard" if MODALITY == "notes" else f"shard_{MODALITY}"
        input:
            request=request("shard"),
            fetched=lambda wildcards: PLAN.fetched(wildcards.dataset),
        output:
            **{table.replace(".", "_"): made("shard", table) for table in TABLES},
            record=record("shard"),
        log:
            log_file("shard"),
        wildcard_constraints:
            dataset="|".join(PLAN.of_modality(MODALITY)) or "(?!)",
        conda:
            "../envs/cpu.yaml"
        params:
            spec=spec("shard"),
            code=code("shard"),
            lock=PLAN.lock,
            source=lambda wildcards, output: PLAN.source_path(wildcards.dataset),
        shell:
            "python workflow/scripts/shard.py --request {input.request:q} --source={params.source:q} 2>&1 | tee {log:q}"

    rule:
        name:
            "corpus" if MODALITY == "notes" else f"corpus_{MODALITY}"
        input:
            request=request("corpus"),
            fetched=lambda wildcards: PLAN.fetched(wildcards.dataset),
            shards=shards_of,
        output:
            **{table.replace(".", "_"): made("corpus", table) for table in TABLES},
            record=record("corpus"),
        log:
            log_file("corpus"),
        wildcard_constraints:
            # A dataset's name is never empty, so a modality without datasets matches none.
            dataset="|".join(PLAN.of_modality(MODALITY)) or "(?!)",
        cache: True
        conda:
            "../envs/cpu.yaml"
        # Where shards are parsed elsewhere, joining them takes one.
        threads: lambda wildcards: 1 if PLAN.shards(wildcards.dataset) else 2
        params:
            spec=spec("corpus"),
            code=code("corpus"),
            lock=PLAN.lock,
            # A function of `output` is no reason to rerun: the files' content stands in spec, their place does not count.
            source=lambda wildcards, output: PLAN.source_path(wildcards.dataset),
            shards=lambda wildcards, output: [
                folder("shard", dataset=wildcards.dataset, shard=shard) for shard in PLAN.shards(wildcards.dataset)
            ],
        shell:
            "python workflow/scripts/corpus.py --request {input.request:q} --source={params.source:q} --jobs {threads} "
            "--shards {params.shards:q} 2>&1 | tee {log:q}"


rule families:
    """Find the pieces that belong together, and say why."""
    input:
        request=request("families"),
        corpus=corpus_of,
    output:
        families=made("families", "families.csv"),
        pairs=made("families", "pairs.csv"),
        record=record("families"),
    log:
        log_file("families"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("families"),
        code=code("families"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
    shell:
        "python workflow/scripts/families.py --request {input.request:q} --corpus {params.corpus:q} 2>&1 | tee {log:q}"


rule split:
    """Divide a corpus into train, valid and test, families together."""
    input:
        request=request("split"),
        corpus=corpus_of,
        families=[made("families", "families.csv")],
    output:
        split=made("split", "split.csv"),
        record=record("split"),
    log:
        log_file("split"),
    conda:
        "../envs/cpu.yaml"
    params:
        spec=spec("split"),
        code=code("split"),
        lock=PLAN.lock,
        corpus=folder_of("corpus"),
        families=folder_of("families"),
    shell:
        "python workflow/scripts/split.py --request {input.request:q} --corpus {params.corpus:q} "
        "--families {params.families:q} 2>&1 | tee {log:q}"
