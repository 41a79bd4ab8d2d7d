"""Collect a study's metrics and runs into tables, compare its models, choose their decodings, price its leaks."""

import argparse
from pathlib import Path

from dalsegno.metrics.comparisons import compare, write_comparisons
from dalsegno.metrics.decoding import choose, write_decodings
from dalsegno.metrics.leaks import price, write_leaks
from dalsegno.metrics.rows import CONTRACT, write_rows
from dalsegno.metrics.scores import read_scores
from dalsegno.provenance import recording
from dalsegno.reporting.tables import collect, make_run, write_runs
from dalsegno.sampling.options import Sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--rows", type=Path, nargs="*", required=True, help="metrics.csv of runs and controls")
    parser.add_argument("--runs-folder", type=Path, required=True, help="folder with one folder a run")
    parser.add_argument("--likelihood-folder", type=Path, required=True, help="folder with one of scores a run")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the study, written")
    parser.add_argument("--runs", type=Path, required=True, help="runs.csv of the study, written")
    parser.add_argument("--comparisons", type=Path, required=True, help="comparisons.csv of the study, written")
    parser.add_argument("--leaks", type=Path, required=True, help="leak.csv of the study, written")
    parser.add_argument("--decoding", type=Path, required=True, help="decoding.csv of the study, written")
    arguments = parser.parse_args()
    inputs: list[Path] = [*arguments.rows]
    outputs = [arguments.metrics, arguments.runs, arguments.comparisons, arguments.leaks, arguments.decoding]
    with recording(arguments.request, inputs, outputs) as spec:
        runs, scores = [], {}
        for row in spec["runs"]:
            summary = arguments.runs_folder / row["run"] / "summary.json"
            pieces = arguments.likelihood_folder / row["run"] / "pieces.csv"
            inputs += [summary, pieces]
            runs.append(make_run(**row, summary=summary))
            key = (row["dataset"], row["representation"], row["model"])
            scores.setdefault(key, []).append(read_scores(pieces))
        rows = collect(arguments.rows)
        write_rows(arguments.metrics, rows, CONTRACT)
        write_runs(arguments.runs, runs)
        write_comparisons(arguments.comparisons, compare(scores, **spec["evaluation"]))
        write_leaks(arguments.leaks, price(spec["leaks"], scores, **spec["evaluation"]))
        write_decodings(arguments.decoding, choose(rows, Sweep(**spec["sweep"])) if spec["sweep"] else [])


if __name__ == "__main__":
    main()
