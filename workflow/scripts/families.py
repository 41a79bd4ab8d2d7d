"""Find the pieces that belong together, and say why."""

import argparse
from pathlib import Path

from dalsegno.data import families
from dalsegno.data.options import CORPUS_FILES, parse_families
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus folder")
    arguments = parser.parse_args()
    outputs = [arguments.request.with_name(name) for name in families.FILES]
    inputs: list[Path] = []
    with recording(arguments.request, inputs, outputs) as spec:
        inputs += [arguments.corpus / name for name in CORPUS_FILES[spec["source"].get("modality", "notes")]]
        families.build(parse_families(spec["families"]), arguments.corpus, arguments.request.parent)


if __name__ == "__main__":
    main()
