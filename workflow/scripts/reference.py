"""Make excerpts of real test pieces audible, to stand beside the samples."""

import argparse
from pathlib import Path

from dalsegno.data.excerpts import read_excerpts
from dalsegno.provenance import recording
from dalsegno.sampling.export import files, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of note tables")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    arguments = parser.parse_args()
    folder = arguments.request.parent
    inputs = [arguments.corpus / "notes.parquet", arguments.corpus / "pieces.parquet", arguments.split]
    outputs: list[Path] = []
    with recording(arguments.request, inputs, outputs) as spec:
        pieces = read_excerpts(arguments.corpus, arguments.split, spec["bars"])["test"]
        # Where there are too few test pieces, they come round again.
        write(folder, [pieces[i % len(pieces)] for i in range(spec["samples"])], spec["seconds"])
        outputs += files(folder, spec["samples"])


if __name__ == "__main__":
    main()
