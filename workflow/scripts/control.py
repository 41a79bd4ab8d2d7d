"""Measure the controls of one dataset: real, shuffled and random music."""

import argparse
from pathlib import Path

from dalsegno.metrics.control import control
from dalsegno.metrics.measure import write_histograms
from dalsegno.metrics.rows import write_rows
from dalsegno.provenance import recording
from dalsegno.representations.base import FILES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of note tables")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    parser.add_argument("--encoder", type=Path, nargs="*", default=[], help="encoder.safetensors, if any is asked for")
    parser.add_argument("--representations", type=Path, required=True, help="folder with one of packed tokens a name")
    arguments = parser.parse_args()
    rows_path, histograms_path = (arguments.request.with_name(name) for name in ("metrics.csv", "histograms.json"))
    inputs = [arguments.corpus / "notes.parquet", arguments.corpus / "pieces.parquet", arguments.split]
    inputs += arguments.encoder
    with recording(arguments.request, inputs, [rows_path, histograms_path]) as spec:
        inputs += [arguments.representations / name / file for name in spec["representations"] for file in FILES]
        rows, histograms = control(
            arguments.corpus,
            arguments.split,
            spec["metrics"],
            spec["study"],
            spec["dataset"],
            spec["bars"],
            spec["count"],
            **spec["evaluation"],
            packed={name: arguments.representations / name for name in spec["representations"]},
            encoder=next(iter(arguments.encoder), None),
        )
        write_rows(rows_path, rows)
        write_histograms(histograms_path, histograms)


if __name__ == "__main__":
    main()
