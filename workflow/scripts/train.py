"""Fit one model; a run that was interrupted goes on where it stopped."""

import argparse
from pathlib import Path

from dalsegno.provenance import canonical, digest, file_sha256, recording
from dalsegno.representations.base import FILES, Packed
from dalsegno.training import devices

OUTPUTS = ("checkpoint.safetensors", "curves.jsonl", "summary.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of packed tokens")
    parser.add_argument("--members", type=Path, nargs="*", default=[], help="checkpoints that an ensemble is made of")
    parser.add_argument("--threads", type=int, default=1, help="processor threads; their number changes the bytes")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for resume state and compiled code")
    arguments = parser.parse_args()
    devices.configure(arguments.threads, arguments.cache / "xla")
    from dalsegno.training.run import train

    checkpoint, curves, summary = (arguments.request.with_name(name) for name in OUTPUTS)
    inputs = [*(arguments.tokens / name for name in FILES), *arguments.members]
    # Only the same request over the same tokens with as many threads may go on from a saved state.
    state = [arguments.request.read_text(), [file_sha256(path) for path in inputs], arguments.threads]
    scratch = arguments.cache / "resume" / digest(canonical(state))
    with recording(arguments.request, inputs, [checkpoint, curves, summary]) as spec:
        packed = Packed(arguments.tokens)
        train(spec["model"], packed, spec["seed"], checkpoint, curves, summary, scratch, arguments.members)


if __name__ == "__main__":
    main()
