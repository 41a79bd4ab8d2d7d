"""Hold the samples of one run and sampler against the training set, each with a verdict and a sidecar."""

import argparse
from pathlib import Path

import pyarrow.parquet as pq

from dalsegno.copying.calibrate import read_null
from dalsegno.copying.index import TrainingIndex
from dalsegno.copying.judge import judge, rows, write_judged, write_sidecar
from dalsegno.copying.parts import Part
from dalsegno.data.notes import read_notes
from dalsegno.metrics.rows import Identity, write_rows
from dalsegno.provenance import recording
from dalsegno.representations.base import read_index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--notes", type=Path, required=True, help="note table of the samples")
    parser.add_argument("--index", type=Path, required=True, help="index.safetensors over the training pieces")
    parser.add_argument("--null", type=Path, required=True, help="null.csv of unseen real music")
    parser.add_argument("--packed", type=Path, required=True, help="index.csv of the packed tokens")
    parser.add_argument("--pieces", type=Path, required=True, help="pieces.parquet of the corpus")
    arguments = parser.parse_args()
    folder = arguments.request.parent
    outputs = [folder / "metrics.csv", folder / "pieces.csv"]
    inputs = [arguments.notes, arguments.index, arguments.null, arguments.packed, arguments.pieces]
    with recording(arguments.request, inputs, outputs) as spec:
        sampler, labels = spec["sampler"], spec["labels"]
        part = Part.of_sampler(sampler)
        index = TrainingIndex.load(arguments.index, part.given)
        null = read_null(arguments.null, part)
        train = [row.piece for row in read_index(arguments.packed) if row.split == "train"]
        table = pq.read_table(arguments.pieces, columns=["piece", "licence"])
        licences = {row["piece"]: row["licence"] for row in table.to_pylist()}
        facts = {
            **labels,
            "sampler": {"name": labels["sampler"], **sampler},
            "family": spec["model"]["family"],
            "licences": sorted({licences[piece] for piece in train}),
            "training_pieces": len(train),
        }
        judged = []
        for number, notes in enumerate(read_notes(arguments.notes).pieces(range(sampler["count"]))):
            one = judge(number, part.cut(notes), index, null, train, part.first)
            judged.append(one)
            outputs.append(folder / f"{number:03d}.json")
            nearest = {"licence_of_training_piece": licences.get(one.training_piece, "")}
            write_sidecar(outputs[-1], one, facts | nearest)
        write_rows(outputs[0], rows(judged, Identity(**labels), **spec["evaluation"]))
        write_judged(outputs[1], judged)


if __name__ == "__main__":
    main()
