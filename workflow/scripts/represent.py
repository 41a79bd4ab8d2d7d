"""Turn note tables into packed tokens, a vocabulary and a grammar."""

import argparse
from pathlib import Path

from dalsegno.data import corpus
from dalsegno.provenance import recording
from dalsegno.representations import base
from dalsegno.representations.options import parse
from dalsegno.representations.packing import pack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of note tables")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    arguments = parser.parse_args()
    folder = arguments.request.parent
    inputs = [arguments.split, *(arguments.corpus / name for name in corpus.FILES)]
    with recording(arguments.request, inputs, [folder / name for name in base.FILES]) as spec:
        pack(parse(spec["representation"]), arguments.corpus, arguments.split, folder, arguments.jobs)


if __name__ == "__main__":
    main()
