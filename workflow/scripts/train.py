"""Fit one model; a run that was interrupted goes on where it stopped."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dalsegno.provenance import canonical, digest, file_sha256, recording
from dalsegno.representations.base import FILES, Packed
from dalsegno.training import devices

OUTPUTS = ("checkpoint.safetensors", "curves.jsonl", "curves.tfevents", "summary.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of packed tokens")
    parser.add_argument("--members", type=Path, nargs="*", default=[], help="checkpoints that an ensemble is made of")
    parser.add_argument("--threads", type=int, default=1, help="processor threads; their number changes the bytes")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for resume state and compiled code")
    parser.add_argument("--precision", default="float32", help="float32, or bfloat16 with float32 weights")
    parser.add_argument("--sharding", default="data", help="data, or full: the state is split over the devices, too")
    parser.add_argument("--microbatches", type=int, default=1, help="parts of a batch, one after the other")
    parser.add_argument("--processes", type=int, default=1, help="programs that train together, one a host")
    arguments = parser.parse_args()
    machine = devices.Machine(arguments.precision, arguments.sharding, arguments.microbatches)
    devices.configure(arguments.threads, arguments.cache / "xla", arguments.processes)
    from dalsegno.training.run import train

    checkpoint, curves, events, summary = (arguments.request.with_name(name) for name in OUTPUTS)
    inputs = [*(arguments.tokens / name for name in FILES), *arguments.members]
    # Only the same request over the same tokens on a machine laid out alike may go on from a saved state.
    layout = [arguments.threads, arguments.processes, asdict(machine)]
    state = [arguments.request.read_text(), [file_sha256(path) for path in inputs], layout]
    scratch = arguments.cache / "resume" / digest(canonical(state))

    def fit(spec: dict[str, Any]) -> None:
        packed = Packed(arguments.tokens, splits=("train", "valid"))
        train(spec["model"], packed, spec["seed"], checkpoint, curves, summary, scratch, arguments.members, machine)

    if not devices.leads():
        fit(json.loads(arguments.request.read_text())["spec"])
        return
    with recording(arguments.request, inputs, [checkpoint, curves, events, summary]) as spec:
        fit(spec)


if __name__ == "__main__":
    main()
