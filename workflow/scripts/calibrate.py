"""Index a representation's training pieces, and say how near unseen real music comes to them."""

import argparse
from pathlib import Path

from dalsegno.copying.calibrate import training_notes, unseen, write_unseen
from dalsegno.copying.index import TrainingIndex, save_indexes
from dalsegno.copying.parts import Part, without
from dalsegno.copying.streams import gridded
from dalsegno.data import split
from dalsegno.provenance import recording
from dalsegno.representations.base import FILES, Packed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--tokens", type=Path, required=True, help="folder of packed tokens")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    arguments = parser.parse_args()
    index_path, null_path = (arguments.request.with_name(name) for name in ("index.safetensors", "null.csv"))
    inputs = [arguments.split, *(arguments.tokens / name for name in FILES)]
    with recording(arguments.request, inputs, [index_path, null_path]) as spec:
        packed = Packed(arguments.tokens)
        train = training_notes(packed)
        family = {row.piece: row.family for row in split.read(arguments.split)}
        families = [family[packed.rows[i].piece] for i in packed.indices("train")]
        parts = [Part(*part) for part in spec["parts"]]
        indexes = {
            given: TrainingIndex.of((gridded(without(piece, given)) for piece in train), families)
            for given in dict.fromkeys(part.given for part in parts)
        }
        save_indexes(index_path, indexes)
        write_unseen(null_path, unseen(indexes, packed, train, family, parts))


if __name__ == "__main__":
    main()
