"""Fetch a dataset's archive into the folder that the request lies in."""

import argparse
import json
from pathlib import Path

from dalsegno.data.fetching import cache_folder, fetch
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--source", type=json.loads, required=True, help="the source as JSON: addresses, sha256, size")
    arguments = parser.parse_args()
    source = arguments.source
    target = arguments.request.with_name("archive")
    with recording(arguments.request, [], [target]):
        fetch(source["addresses"], target, sha256=source["sha256"], size=source["size"], cache=cache_folder())


if __name__ == "__main__":
    main()
