"""Compute one set of features of a dataset, and fit its scaler on the training pieces."""

import argparse
from pathlib import Path

from dalsegno.data.options import CORPUS_FILES, parse_source
from dalsegno.features import build
from dalsegno.features.options import parse
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus folder")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    parser.add_argument("--source", default="", help="folder or archive of recordings; empty for notes of a package")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    arguments = parser.parse_args()
    folder = arguments.request.parent
    inputs: list[Path] = [arguments.split]
    outputs: list[Path] = []
    with recording(arguments.request, inputs, outputs) as spec:
        options = parse(spec["features"])
        source = parse_source(spec["source"] | ({"path": arguments.source} if arguments.source else {}))
        inputs += [arguments.corpus / name for name in CORPUS_FILES[source.modality]]
        outputs += [folder / name for name in build.files(options)]
        build.build(options, source, arguments.corpus, arguments.split, folder, arguments.jobs)


if __name__ == "__main__":
    main()
