"""Parse one part of a dataset's source into the tables of the folder that the request lies in."""

import argparse
from pathlib import Path

from dalsegno.data import corpus
from dalsegno.data.options import CORPUS_FILES, parse_source
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--source", default="", help="folder or archive; empty where a package holds the files")
    arguments = parser.parse_args()
    folder = arguments.request.parent
    outputs: list[Path] = []
    with recording(arguments.request, [], outputs) as spec:
        source = parse_source(spec["source"] | ({"path": arguments.source} if arguments.source else {}))
        outputs += [folder / name for name in CORPUS_FILES[source.modality]]
        number, count = spec["shard"]
        corpus.build_shard(source, number - 1, count, folder)


if __name__ == "__main__":
    main()
