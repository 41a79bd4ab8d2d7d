"""Collect a study's metrics into one table and its runs into another."""

import argparse
from pathlib import Path

from dalsegno.metrics.rows import write_rows
from dalsegno.provenance import recording
from dalsegno.reporting.tables import collect, make_run, write_runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--rows", type=Path, nargs="+", required=True, help="metrics.csv of runs and controls")
    parser.add_argument("--runs-folder", type=Path, required=True, help="folder with one folder a run")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the study, written")
    parser.add_argument("--runs", type=Path, required=True, help="runs.csv of the study, written")
    arguments = parser.parse_args()
    inputs: list[Path] = [*arguments.rows]
    with recording(arguments.request, inputs, [arguments.metrics, arguments.runs]) as spec:
        runs = []
        for row in spec["runs"]:
            summary = arguments.runs_folder / row["run"] / "summary.json"
            inputs.append(summary)
            runs.append(make_run(**row, summary=summary))
        write_rows(arguments.metrics, collect(arguments.rows))
        write_runs(arguments.runs, runs)


if __name__ == "__main__":
    main()
