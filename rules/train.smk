rule train:
    """Fit one model with one seed; resumes where an interrupted run stopped."""
    input:
        request=request("train"),
        tokens=tokens_of,
        members=members_of,
    output:
        checkpoint=made("train", "checkpoint.safetensors"),
        curves=made("train", "curves.jsonl"),
        events=made("train", "curves.tfevents"),
        summary=made("train", "summary.json"),
        record=record("train"),
    log:
        log_file("train"),
    conda:
        "../envs/cpu.yaml"
    # The number of threads changes the bytes, so it is one unless a profile says otherwise (set-threads).
    threads: 1
    # As is the rest of the machine (set-resources); `mpi` is a launcher of `tasks` processes, one a host.
    resources:
        precision="float32",
        sharding="data",
        microbatches=1,
        mpi="",
        tasks=1,
    params:
        spec=spec("train"),
        code=code("train"),
        lock=PLAN.lock,
        tokens=folder_of("tokens"),
        launch=lambda wildcards, resources: f"{resources.mpi} -n {resources.tasks}" if resources.mpi else "",
    shell:
        "{params.launch} python workflow/scripts/train.py --request {input.request:q} --tokens {params.tokens:q} "
        "--threads {threads} --members {input.members:q} --precision {resources.precision:q} "
        "--sharding {resources.sharding:q} --microbatches {resources.microbatches} --processes {resources.tasks} "
        "2>&1 | tee {log:q}"
