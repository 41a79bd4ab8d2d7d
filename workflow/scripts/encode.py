"""Train the encoder of one dataset on its training pieces."""

import argparse
import json
from pathlib import Path

from dalsegno.provenance import recording
from dalsegno.training import devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="the job's spec.json")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of note tables")
    parser.add_argument("--split", type=Path, required=True, help="split.csv")
    parser.add_argument("--threads", type=int, default=1, help="processor threads; their number changes the bytes")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder for compiled code")
    arguments = parser.parse_args()
    devices.configure(arguments.threads, arguments.cache / "xla")
    from dalsegno.data.excerpts import read_families, read_whole
    from dalsegno.embedding.fitting import fit, loss
    from dalsegno.embedding.options import EncoderOptions

    encoder_path, summary_path = (arguments.request.with_name(name) for name in ("encoder.safetensors", "encoder.json"))
    inputs = [arguments.corpus / "notes.parquet", arguments.corpus / "pieces.parquet", arguments.split]
    with recording(arguments.request, inputs, [encoder_path, summary_path]) as spec:
        options = EncoderOptions(**spec["encoder"])
        pieces, families = (
            read_whole(arguments.corpus, arguments.split),
            read_families(arguments.corpus, arguments.split),
        )
        encoder, network = fit(options, pieces["train"], families["train"])
        encoder.save(encoder_path)
        valid, blind = loss(network, pieces["valid"], families["valid"], options.batch_size)
        told = {"valid_nats_a_bar": valid, "valid_nats_a_bar_unseen": blind}
        summary = encoder.about | {name: None if value != value else value for name, value in told.items()}
        summary_path.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
