"""Hold a study's results against its gates and its baseline."""

import argparse
import json
from pathlib import Path

from dalsegno.gate import outputs, snapshot
from dalsegno.gate.baseline import path_of
from dalsegno.gate.verdicts import verdicts
from dalsegno.metrics.rows import read_rows
from dalsegno.provenance import recording

FILES = ("snapshot.json", "gate.json", "gate.md", "gate.xml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv; the verdicts are written beside it")
    arguments = parser.parse_args()
    folder = arguments.metrics.parent
    inputs = [arguments.metrics]
    with recording(arguments.request, inputs, [folder / name for name in FILES]) as spec:
        study, places = spec["study"], spec["places"]
        now = snapshot.collect(study, places)
        snapshot.write(folder / "snapshot.json", now)
        path, baseline, problem = path_of(study), None, ""
        if path.exists():
            inputs.append(path)
            try:
                baseline = snapshot.read(path, study)
            except snapshot.BaselineError as error:
                problem = str(error)
        else:
            problem = f"{path} does not exist: make baseline STUDY=config/studies/{study}.yaml, and commit it"
        closures: dict[str, dict[str, str]] = {}
        for row in places:
            code = json.loads((Path(row["folder"]) / "spec.json").read_text())["code"]
            for name in snapshot.names(row):
                closures.setdefault(name, {}).update(code)
        found = verdicts(now, baseline, problem, spec["gates"], read_rows(arguments.metrics), closures)
        outputs.write(folder, study, found, outputs.to_hear(baseline, now) if baseline else [])


if __name__ == "__main__":
    main()
