# One rule for tables and one for sequences, because outputs cannot depend on wildcards.
for SHAPE, FILES in FEATURE_FILES.items():

    rule:
        name:
            f"features_{SHAPE}"
        input:
            request=request("features"),
            corpus=corpus_of,
            split=split_of,
            # Recordings are read again from where the corpus found them.
            fetched=lambda wildcards: PLAN.fetched(wildcards.dataset),
        output:
            **{name.replace(".", "_"): made("features", name) for name in FILES},
            record=record("features"),
        log:
            log_file("features"),
        wildcard_constraints:
            # A name is never empty, so a shape without features matches none.
            features="|".join(PLAN.shaped(SHAPE)) or "(?!)",
        conda:
            "../envs/cpu.yaml"
        threads: 2
        params:
            spec=spec("features"),
            code=code("features"),
            lock=PLAN.lock,
            corpus=folder_of("corpus"),
            # A function of `output` is no reason to rerun: the files' content stands in spec.
            source=lambda wildcards, output: PLAN.source_path(wildcards.dataset),
        shell:
            "python workflow/scripts/features.py --request {input.request:q} --corpus {params.corpus:q} "
            "--split {input.split:q} --source={params.source:q} --jobs {threads} 2>&1 | tee {log:q}"
