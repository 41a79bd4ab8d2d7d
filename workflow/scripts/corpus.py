"""Parse a dataset's source into the tables of the folder that the request lies in, or join what shards have parsed."""

import argparse
from pathlib import Path

from dalsegno.data import corpus
from dalsegno.data.options import CORPUS_FILES, parse_source
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--source", default="", help="folder or archive; empty where a package holds the files")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--shards", type=Path, nargs="*", default=[], help="folders of the parts, in order")
    arguments = parser.parse_args()
    folder = arguments.request.parent
    inputs: list[Path] = []
    outputs: list[Path] = []
    with recording(arguments.request, inputs, outputs) as spec:
        source = parse_source(spec["source"] | ({"path": arguments.source} if arguments.source else {}))
        outputs += [folder / name for name in CORPUS_FILES[source.modality]]
        if arguments.shards:
            inputs += [shard / name for shard in arguments.shards for name in CORPUS_FILES[source.modality]]
            corpus.join_shards(source, arguments.shards, spec["max_rejects"], folder)
        else:
            corpus.build(source, spec["max_rejects"], folder, arguments.jobs)


if __name__ == "__main__":
    main()
