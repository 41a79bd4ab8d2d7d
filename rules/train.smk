rule train:
    """Fit one model with one seed; resumes where an interrupted run stopped."""
    input:
        request=request("train"),
        tokens=tokens_of,
    output:
        checkpoint=f"{folder('train')}/checkpoint.safetensors",
        curves=f"{folder('train')}/curves.jsonl",
        summary=f"{folder('train')}/summary.json",
        record=f"{folder('train')}/run.json",
    params:
        spec=spec("train"),
        code=code("train"),
        lock=PLAN.lock,
        tokens=lambda wildcards: PLAN.tokens(wildcards.run),
    log:
        log_file("train"),
    # The number of threads changes the bytes, so it is one unless a profile says otherwise (set-threads).
    threads: 1
    conda:
        "../envs/cpu.yaml"
    shell:
        "python workflow/scripts/train.py --request {input.request:q} --tokens {params.tokens:q} "
        "--threads {threads} 2>&1 | tee {log:q}"
