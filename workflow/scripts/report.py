"""Write a study's report: one HTML file."""

import argparse
from pathlib import Path

from dalsegno.provenance import recording
from dalsegno.reporting.html import write_report
from dalsegno.reporting.inputs import ReportInputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--html", type=Path, required=True, help="the report, written")
    arguments = parser.parse_args()
    inputs: list[Path] = []
    with recording(arguments.request, inputs, [arguments.html]) as spec:
        page = ReportInputs.of(spec, arguments.html.parent)
        inputs += page.files()
        write_report(arguments.html, page)


if __name__ == "__main__":
    main()
