"""Score the validation and test pieces under one trained model."""

import argparse
import json
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
    from dalsegno.metrics.likelihood import score, summarise
    from dalsegno.metrics.probes import probe
    from dalsegno.metrics.rows import Identity, write_rows
    from dalsegno.metrics.scores import write_scores
    from dalsegno.models.base import load

    outputs = [arguments.request.with_name(name) for name in ("metrics.csv", "pieces.csv", "probes.json")]
    rows_path, pieces_path, probes_path = outputs
    inputs = [arguments.checkpoint, *(arguments.tokens / name for name in FILES)]
    with recording(arguments.request, inputs, outputs) as spec:
        packed = Packed(arguments.tokens)
        model = load(arguments.checkpoint, packed.vocabulary)
        scores = score(model, packed)
        write_rows(rows_path, summarise(scores, Identity(**spec["labels"]), **spec["evaluation"]))
        write_scores(pieces_path, scores)
        probes_path.write_text(json.dumps(probe(model, packed), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
