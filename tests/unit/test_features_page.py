"""The report's section on features: sizes, rejects, and the columns that a label explains."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dalsegno.data.notes import make_notes
from dalsegno.data.options import parse_source
from dalsegno.data.tables import Entry, Music, write_corpus
from dalsegno.features.build import build
from dalsegno.features.options import Chroma, FeatureOptions, Symbolic
from dalsegno.reporting.features_page import FeaturePage, feature_page
from tests.unit.music import listed


def page(folder: Path, options: FeatureOptions, labelled: bool) -> FeaturePage:
    """Four low and four high melodies, drums, and a piece without notes, as a page."""
    generator = np.random.default_rng(0)
    entries = []
    for i in range(10):
        pitch = generator.integers(0, 12, 8) + (40 if i % 2 else 70)
        notes = make_notes(
            start=np.arange(8) * 240, duration=[240] * 8, pitch=pitch, program=[128 if i == 8 else 0] * 8
        )
        labels = (("register", "low" if i % 2 else "high"), ("group", str(i))) if labelled else ()
        music = Music("", listed(notes if i < 9 else notes[:0]), labels=labels)
        entries.append(Entry(f"p{i}", f"p{i}.mid", "0", "CC0", music))
    (folder / "corpus").mkdir(parents=True)
    write_corpus(folder / "corpus", entries, [])
    rows = "".join(f"p{i},{'test' if i == 0 else 'train'},p{i},true\n" for i in range(10))
    (folder / "split.csv").write_text("piece,split,family,clean\n" + rows)
    (folder / "features").mkdir()
    source = parse_source({"kind": "folder", "path": "x"})
    build(options, source, folder / "corpus", folder / "split.csv", folder / "features", 1)
    return feature_page("tunes", "set", folder / "features", folder / "corpus")


def test_columns_that_a_label_explains_come_first(tmp_path: Path) -> None:
    made = page(tmp_path, Symbolic(kind="symbolic"), labelled=True)
    assert made.title == "tunes · set" and "by register" in made.told
    assert [name for name, _ in made.legend] == ["high", "low"]
    names = [title for title, _ in made.panels]
    assert len(names) == 6 and "mean_pitch" in names
    assert all(svg.startswith("<svg") and "high" in svg for _, svg in made.panels)
    assert [line.cells[1].text for line in made.sizes.lines] == ["8", "0", "1"]
    assert [(line.names[0], line.cells[0].text) for line in made.rejects.lines] == [
        ("a piece without notes has no features", "1")
    ]


def test_sequences_without_labels_are_one_line(tmp_path: Path) -> None:
    made = page(tmp_path, Chroma(kind="chroma", seconds=1.0, sample_rate=8000), labelled=False)
    assert made.legend == (("train", 0),) and [title for title, _ in made.panels] == ["all columns"]
    assert "12 columns" in made.panels[0][1]
