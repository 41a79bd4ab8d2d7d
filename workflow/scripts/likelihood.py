"""Score the validation and test pieces under one trained model."""

import argparse
from pathlib import Path

from dalsegno.provenance import recording
from dalsegno.representations.base import FILES, Packed
from dalsegno.training import devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.safetensors")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of packed tokens")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for compiled code")
    arguments = parser.parse_args()
    devices.configure(arguments.threads, arguments.cache / "xla")
    from dalsegno.metrics.likelihood import score
    from dalsegno.metrics.rows import Identity, write_rows
    from dalsegno.models.base import load

    output = arguments.request.with_name("metrics.csv")
    inputs = [arguments.checkpoint, *(arguments.tokens / name for name in FILES)]
    with recording(arguments.request, inputs, [output]) as spec:
        packed = Packed(arguments.tokens)
        model = load(arguments.checkpoint, packed.vocabulary)
        write_rows(output, score(model, packed, Identity(**spec["labels"]), **spec["evaluation"]))


if __name__ == "__main__":
    main()
