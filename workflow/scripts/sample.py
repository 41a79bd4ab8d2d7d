"""Generate the pieces of one run and sampler: note table, MIDI and audio."""

import argparse
from pathlib import Path

from dalsegno.provenance import recording
from dalsegno.representations.base import FILES, Packed
from dalsegno.training import devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.safetensors")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of packed tokens")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for compiled code")
    arguments = parser.parse_args()
    devices.configure(arguments.threads, arguments.cache / "xla")
    from dalsegno.models.base import load
    from dalsegno.sampling import decode, export
    from dalsegno.sampling.options import Sampler

    folder = arguments.request.parent
    inputs = [arguments.checkpoint, *(arguments.tokens / name for name in FILES)]
    sampler = Sampler(**export.read_spec(arguments.request)["sampler"])
    with recording(arguments.request, inputs, export.files(folder, sampler.count)) as spec:
        packed = Packed(arguments.tokens)
        model = load(arguments.checkpoint, packed.vocabulary)
        pieces = decode.generate(model, sampler, packed, spec["seed"])
        export.write(folder, decode.notes(pieces, packed.vocabulary), spec["seconds"])


if __name__ == "__main__":
    main()
