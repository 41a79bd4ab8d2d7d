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
    from dalsegno.data.notes import make_notes
    from dalsegno.models.base import load
    from dalsegno.representations.registry import decode
    from dalsegno.sampling.decode import generate
    from dalsegno.sampling.export import QPM, files, write, write_repairs
    from dalsegno.sampling.options import Sampler

    folder = arguments.request.parent
    inputs = [arguments.checkpoint, *(arguments.tokens / name for name in FILES)]
    outputs: list[Path] = []
    with recording(arguments.request, inputs, outputs) as spec:
        sampler = Sampler(**spec["sampler"])
        packed = Packed(arguments.tokens)
        model = load(arguments.checkpoint, packed.vocabulary)
        decoded = [decode(piece, packed.vocabulary) for piece in generate(model, sampler, packed, spec["seed"])]
        pieces = [make_notes(**piece.notes) for piece in decoded]
        write(folder, pieces, spec["seconds"], [piece.tempos[0][1] if piece.tempos else QPM for piece in decoded])
        write_repairs(folder / "repairs.csv", [piece.repairs for piece in decoded])
        outputs += [*files(folder, sampler.count), folder / "repairs.csv"]


if __name__ == "__main__":
    main()
