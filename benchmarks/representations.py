"""REMI and packed batches against MidiTok and a torch DataLoader, and memory over ten times the data.

    python benchmarks/representations.py pop909.zip [--count 200] [--rounds 3]

The archive holds MIDI files. PyTorch is no dependency: for the second part, `pip install torch` (CPU) into an
environment of its own that sees this project too; without it that part is left out. Times are the best of the rounds,
which alternate.

- *Encoding*: tokens a second of `tokenizer.encode` on scores in memory, of `Representation.encode` on note columns in
  memory, and of the whole stage `represent`: reading the corpus, tokens, reading them back, what survives, writing.
  The tokens are compared.
- *A full pass*: every token once, as padded batches: MidiTok's `DatasetMIDI`, `DataCollator` and torch's `DataLoader`,
  from files and from tokens in memory (its `pre_tokenize`, which is not timed), against
  `dalsegno.representations.batching.read`, its folder opened anew.
- *Memory*: the largest anonymous memory of a process that packs (alone, or with two workers, the larger of which is
  told too), of one that passes over the batches, and of one that draws a hundred training batches, for the archive's
  pieces once and ten times.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import numpy as np

from dalsegno.data import read_midi
from dalsegno.data.tables import Corpus, Entry, write_corpus
from dalsegno.representations import batching, packing, registry
from dalsegno.representations.base import Packed, Piece
from dalsegno.representations.options import parse

PLAIN = {"kind": "remi"}
RICH = {"kind": "remi", "programs": True, "drums": True, "velocities": 32, "tempos": 32}
BATCH = 16


def extract(archive: Path, count: int, folder: Path) -> list[Path]:
    """MIDI files of an archive, evenly spaced among its files."""
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.lower().endswith((".mid", ".midi")))
        chosen = np.unique(np.linspace(0, len(names) - 1, count).astype(int)).tolist()
        return [Path(opened.extract(names[i], folder)) for i in chosen]


def corpus_of(files: list[Path], folder: Path, times: int = 1) -> Path:
    """A corpus of the files, each so many times."""
    folder.mkdir(parents=True)
    music = [(file.stem, read_midi.read(file)) for file in files]
    entries = [
        Entry(f"{n:02}-{i:05}-{stem}", stem, "", "", own) for n in range(times) for i, (stem, own) in enumerate(music)
    ]
    write_corpus(folder, entries, [])
    lines = [f"{entry.piece},train,{entry.piece},true" for entry in sorted(entries, key=lambda entry: entry.piece)]
    (folder / "split.csv").write_text("\n".join(["piece,split,family,clean", *lines, ""]))
    return folder


def alternated(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, Any]]:
    """Best seconds and last result of each way."""
    best: dict[str, tuple[float, Any]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.perf_counter()
            result = way()
            seconds = time.perf_counter() - begun
            best[name] = (min(seconds, best.get(name, (seconds, None))[0]), result)
    return best


def encoding(document: dict[str, Any], corpus: Path, rounds: int) -> None:
    options, tables = parse(document), Corpus(corpus)
    made: Any = registry.load(options)
    pieces = [Piece(tables.piece(i), tables.meters(i), tables.tempos(i)) for i in range(len(tables))]
    scores = [made._score(piece) for piece in pieces]
    with tempfile.TemporaryDirectory() as out:
        best = alternated(
            {
                "MidiTok, scores in memory": lambda: [made.tokenizer.encode(score) for score in scores],
                "ours, note columns in memory": lambda: [made.encode(piece) for piece in pieces],
                "ours, the stage, one process": lambda: packing.pack(options, corpus, corpus / "split.csv", Path(out)),
                "ours, the stage, two processes": lambda: packing.pack(
                    options, corpus, corpus / "split.csv", Path(out), jobs=2
                ),
            },
            rounds,
        )
    theirs, ours = (best[name][1] for name in list(best)[:2])
    theirs = [one if not isinstance(one, list) else one[0] for one in theirs]
    equal = sum(
        one.tokens == [made.names[symbol] for symbol in own[:-1, 0]] for one, own in zip(theirs, ours, strict=True)
    )
    tokens = sum(len(one.ids) for one in theirs)
    print(f"REMI, {document}: {len(pieces)} pieces, {tokens} tokens, equal to MidiTok's in {equal} pieces")
    plain = best["MidiTok, scores in memory"][0]
    for name, (seconds, _) in best.items():
        print(f"  {name:32s} {seconds:7.2f} s {tokens / seconds:10,.0f} tokens/s {plain / seconds:6.2f} x MidiTok")


def passes(files: list[Path], packed_folder: Path, rounds: int) -> None:
    try:
        import torch
        from miditok.pytorch_data import DataCollator, DatasetMIDI
        from torch.utils.data import DataLoader
    except ImportError:
        print("no torch here: a full pass is not compared")
        return
    torch.set_num_threads(1)
    made: Any = registry.load(parse(RICH))
    tokenizer = made.tokenizer
    eos = tokenizer.vocab["EOS_None"]
    common: dict[str, Any] = {"max_seq_len": 1 << 20, "eos_token_id": eos, "parallel_workers_size": 1}
    collator = DataCollator(tokenizer.pad_token_id, copy_inputs_as_labels=False)
    with contextlib.redirect_stderr(io.StringIO()):
        datasets = {
            "MidiTok + DataLoader, from files": DatasetMIDI(files, tokenizer, **common),
            "MidiTok + DataLoader, in memory": DatasetMIDI(files, tokenizer, pre_tokenize=True, **common),
        }

    def theirs(dataset: Any) -> int:
        loader = DataLoader(dataset, batch_size=BATCH, collate_fn=collator)
        return sum(int(batch["attention_mask"].sum()) for batch in loader)

    def ours() -> int:
        packed = Packed(packed_folder)
        return sum(int(lengths.sum()) for _, lengths, _ in batching.read(packed, "train"))

    ways: dict[str, Callable[[], Any]] = {
        name: (lambda dataset=dataset: theirs(dataset)) for name, dataset in datasets.items()
    }
    best = alternated(ways | {"ours, packed, mapped": ours}, rounds)
    packed = Packed(packed_folder)
    lengths = [row.steps for row in packed.rows]
    share = batching.padding(lengths, batching.batches(lengths))
    print(f"A full pass in padded batches; ours are padded by {100 * share:.0f} %:")
    seconds = best["ours, packed, mapped"][0]
    for name, (own, tokens) in best.items():
        print(f"  {name:34s} {own:8.3f} s {tokens / own:12,.0f} tokens/s; ours is {own / seconds:7.1f} x as fast")


@contextlib.contextmanager
def watched(name: str) -> Any:
    """Prints the largest anonymous memory while it lasts, of this process and of its largest child, and the seconds."""
    largest, ended = {"own": 0, "child": 0}, threading.Event()

    def watch() -> None:
        last = False
        while not last:
            last = ended.wait(0.01)
            largest["own"] = max(largest["own"], anonymous(os.getpid()))
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            largest["child"] = max([largest["child"], *(anonymous(int(child)) for child in children)])

    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.perf_counter()
    yield
    seconds = time.perf_counter() - begun
    ended.set()
    thread.join()
    child = f", largest worker {largest['child'] / 1024:.0f} MiB" if largest["child"] else ""
    print(f"  {name:34s} {seconds:7.2f} s {largest['own'] / 1024:6.0f} MiB{child}")


def anonymous(process: int) -> int:
    """KiB of memory that is no mapped file."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def memory(what: str, folder: Path) -> None:
    """One measurement in a process of its own."""
    if what.startswith("pack"):
        jobs = int(what.removeprefix("pack"))
        with watched(f"packing, processes: {jobs}"):
            packing.pack(parse(RICH), folder, folder / "split.csv", folder / "packed", jobs)
    elif what == "pass":
        with watched("a pass over the batches"):
            for _ in batching.read(Packed(folder / "packed"), "train"):
                pass
    else:
        from dalsegno.training.batches import Windows
        from dalsegno.training.options import Augmentation

        with watched("a hundred training batches"):
            windows = Windows(Packed(folder / "packed"), 16, 512, Augmentation(transpose=6), 0)
            for step in range(100):
                windows.batch(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=200, help="files of the archive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=["encoding", "pass", "memory"])
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        return memory(arguments.measure, arguments.archive)
    with tempfile.TemporaryDirectory() as name:
        files = extract(arguments.archive, arguments.count, Path(name) / "files")
        corpus = corpus_of(files, Path(name) / "once")
        print(f"{len(files)} files of {arguments.archive.name}, best of {arguments.rounds} rounds")
        if "encoding" in arguments.parts:
            for document in (PLAIN, RICH):
                encoding(document, corpus, arguments.rounds)
        if "pass" in arguments.parts:
            packing.pack(parse(RICH), corpus, corpus / "split.csv", Path(name) / "packed")
            passes(files, Path(name) / "packed", arguments.rounds)
        if "memory" in arguments.parts:
            for times, folder in ((1, corpus), (10, corpus_of(files, Path(name) / "tenfold", 10))):
                print(f"Memory, the pieces {times} times:")
                for what in ("pack1", "pack2", "pass", "train"):
                    subprocess.run([sys.executable, __file__, str(folder), "--measure", what], check=True)


if __name__ == "__main__":
    main()
