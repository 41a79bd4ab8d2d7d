"""Divide a corpus into train, valid and test."""

import argparse
from pathlib import Path

from dalsegno.data import split
from dalsegno.data.options import CORPUS_FILES, parse_split
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus folder")
    parser.add_argument("--families", type=Path, required=True, help="folder of families.csv")
    arguments = parser.parse_args()
    output = arguments.request.with_name("split.csv")
    inputs = [arguments.families / "families.csv"]
    with recording(arguments.request, inputs, [output]) as spec:
        inputs += [arguments.corpus / name for name in CORPUS_FILES[spec["source"].get("modality", "notes")]]
        split.build(parse_split(spec["split"]), arguments.corpus, arguments.families, output)


if __name__ == "__main__":
    main()
