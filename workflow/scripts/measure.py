"""Measure the samples of one run and sampler."""

import argparse
from pathlib import Path

from dalsegno.metrics.measure import measure, write_histograms
from dalsegno.metrics.rows import Identity, write_rows
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--notes", type=Path, required=True, help="note table of the samples")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of note tables")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    parser.add_argument("--encoder", type=Path, nargs="*", default=[], help="encoder.safetensors, if any is asked for")
    arguments = parser.parse_args()
    rows_path, histograms_path = (arguments.request.with_name(name) for name in ("metrics.csv", "histograms.json"))
    inputs = [arguments.notes, arguments.corpus / "notes.parquet", arguments.corpus / "pieces.parquet", arguments.split]
    inputs += arguments.encoder
    with recording(arguments.request, inputs, [rows_path, histograms_path]) as spec:
        rows, histograms = measure(
            arguments.notes,
            spec["sampler"]["count"],
            arguments.corpus,
            arguments.split,
            spec["metrics"],
            Identity(**spec["labels"]),
            spec["sampler"]["bars"],
            **spec["evaluation"],
            criterion=spec.get("criterion", ()),
            encoder=next(iter(arguments.encoder), None),
        )
        write_rows(rows_path, rows)
        write_histograms(histograms_path, histograms)


if __name__ == "__main__":
    main()
