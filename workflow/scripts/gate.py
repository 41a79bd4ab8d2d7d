"""Hold metrics.csv against a study's gates."""

import argparse
from pathlib import Path

from dalsegno.gate import check, write_verdicts
from dalsegno.metrics.rows import read_rows
from dalsegno.provenance import recording


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv")
    parser.add_argument("--verdict", type=Path, required=True, help="gate.json, written")
    arguments = parser.parse_args()
    with recording(arguments.request, [arguments.metrics], [arguments.verdict]) as spec:
        write_verdicts(arguments.verdict, check(read_rows(arguments.metrics), spec["gates"]))


if __name__ == "__main__":
    main()
