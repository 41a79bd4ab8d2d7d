"""The report: whole, self-contained, with units, sound and the same bytes twice."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dalsegno.copying import judge
from dalsegno.copying.calibrate import Unseen, read_null, write_unseen
from dalsegno.copying.index import TrainingIndex
from dalsegno.copying.parts import Part
from dalsegno.copying.streams import gridded
from dalsegno.data import catalog
from dalsegno.data.notes import make_notes
from dalsegno.gate import outputs
from dalsegno.gate.bounds import check
from dalsegno.gate.verdicts import Verdict, of_bound
from dalsegno.metrics.bootstrap import Estimate
from dalsegno.metrics.comparisons import compare, write_comparisons
from dalsegno.metrics.control import control
from dalsegno.metrics.decoding import Decoding, write_decodings
from dalsegno.metrics.leaks import price, write_leaks
from dalsegno.metrics.measure import measure, write_histograms
from dalsegno.metrics.registry import METRICS
from dalsegno.metrics.rows import CONTRACT, Identity, read_rows, write_rows
from dalsegno.metrics.scores import PieceScore
from dalsegno.reporting import fidelity_cards
from dalsegno.reporting.html import render, write_report
from dalsegno.reporting.inputs import ReportInputs
from dalsegno.reporting.tables import collect, make_run, read_runs, write_runs
from dalsegno.representations import fidelity
from dalsegno.sampling.export import write
from dalsegno.sound.rendering import loudness
from tests.unit.music import chorale, write_corpus

CATALOG = Path(__file__).parents[2] / catalog.FOLDER

EMPTY = make_notes(start=[], duration=[], pitch=[])
# Densities are slow, embeddings want an encoder: they have tests of their own.
SLOW = ("precision", "recall", "set_similarity", "overlap_area", "feature_kl", "intra_inter", "embedding")
QUICK = [name for name in METRICS if not name.startswith(SLOW)]
NLL = {"gru": 0.5, "ngram": 0.9}


def pieces_of(nll: float) -> list[PieceScore]:
    """Twelve test pieces, each its own family, that agree on which model is better."""
    return [
        PieceScore(f"p{i}", f"p{i}", "test", True, 100, 50, 10.0, 100 * nll + i, math.nan, math.nan) for i in range(12)
    ]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """Two models with two seeds each on an invented corpus; one sample is empty, one metric undefined."""
    root = tmp_path_factory.mktemp("study")
    corpus, split = write_corpus(root)
    tables = []
    rows, histograms = control(corpus, split, QUICK, "tiny", "d", bars=4, count=2, resamples=100)
    rows += [replace(row, representation="voices") for row in rows if row.model == "held_out"]
    (root / "controls").mkdir()
    write_rows(root / "controls" / "metrics.csv", rows)
    write_histograms(root / "controls" / "histograms.json", histograms)
    tables.append(root / "controls" / "metrics.csv")
    runs, curves, measures, samples, specs = [], {}, {}, {}, {}
    for model, nll in NLL.items():
        for seed in (0, 1):
            name = f"d-voices-{model}-s{seed}"
            folder = root / name
            folder.mkdir()
            specs[f"runs/tiny/{name}"] = folder / "spec.json"
            content = {"spec": {"seed": seed}, "code": {"dalsegno.study": "0123456789abcdef"}, "lock": "fedcba"}
            (folder / "spec.json").write_text(json.dumps(content))
            summary = {"parameters": 1000, "best_step": 10, "best_valid_nll": nll, "steps": 20, "stopped_by": "steps"}
            (folder / "summary.json").write_text(json.dumps(summary))
            runs.append(make_run(name, "d", "voices", model, seed, model, "0123456789abcdef", folder / "summary.json"))
            steps = [0] if model == "ngram" else [0, 10, 20]
            lines = [{"step": step, "split": "valid", "nll": nll, "learning_rate": None} for step in steps]
            curves[name] = folder / "curves.jsonl"
            curves[name].write_text("".join(json.dumps(line) + "\n" for line in lines))
            identity = Identity("tiny", "d", name, "voices", model, str(seed))
            value = nll + seed / 100
            scores = [
                identity.row(metric, unit, Estimate(value, value - 0.1, value + 0.1, 10), part)
                for metric, unit in (
                    ("nll", "nats/token"),
                    ("nll_per_note", "nats/note"),
                    ("bits_per_second", "bits/s"),
                )
                for part in ("valid", "test", "test_clean")
            ]
            scores.append(identity.row("nll_held", "nats/token", Estimate(math.nan, math.nan, math.nan, 0), "test"))
            write_rows(folder / "likelihood.csv", scores)
            pieces = [chorale(100 * seed + i, bars=4) for i in range(2)]
            if model == "ngram" and seed == 0:
                pieces[1] = EMPTY
            write(folder, pieces, seconds=3)
            samples[name, "free"] = folder
            sampled = replace(identity, sampler="free")
            rows, histograms = measure(folder / "notes.parquet", 2, corpus, split, QUICK, sampled, 4, 100)
            write_rows(folder / "metrics.csv", rows)
            measures[name, "free"] = folder / "histograms.json"
            write_histograms(measures[name, "free"], histograms)
            tables += [folder / "likelihood.csv", folder / "metrics.csv"]
    scores = {("d", "voices", model): [pieces_of(nll)] for model, nll in NLL.items()}
    write_comparisons(root / "comparisons.csv", compare(scores, resamples=200))
    write_decodings(root / "decoding.csv", [])
    collected = collect(tables)
    write_rows(root / "metrics.csv", collected, CONTRACT)
    write_runs(root / "runs.csv", runs)
    bounds = check(collected, [{"metric": "nll", "max": 2.0}, {"metric": "copying", "max": 0.1}])
    moved = Verdict(
        "comparison",
        "worse",
        "d-voices-gru",
        "nll",
        "+10 %, a loss beyond noise",
        "test",
        "nats/token",
        ("code dalsegno.models.gru: changed",),
        {"old": [0.5, 0.51], "new": [0.55, 0.56], "difference": 0.05, "families": [0.04, 0.06]},
    )
    outputs.write(root, "tiny", [*(of_bound(one) for one in bounds), moved])
    (root / "families").mkdir()
    related = "piece,family\np000,p000\np001,p000\np002,p002\np003,p000\n"
    (root / "families" / "families.csv").write_text(related)
    pairs = "piece,other,kind,score,detail\np000,p001,near,0.9,\np000,p003,group,,Book <1>\n"
    (root / "families" / "pairs.csv").write_text(pairs)
    leaky, clean = ({("d", "voices", "ngram"): [pieces_of(nll)]} for nll in (0.5, 0.7))
    both = leaky | {("apart", *key[1:]): seeds for key, seeds in clean.items()}
    named = [{"name": "tunes", "leaky": "d", "clean": "apart"}]
    write_leaks(root / "leak.csv", price(named, both, resamples=200))
    packed = root / "voices"
    packed.mkdir()
    (packed / "index.csv").write_text("piece,split,clean,steps,notes\np000,train,true,64,80\n")
    (packed / "rejects.csv").write_text("path,sha256,stage,reason\n")
    counts = dict.fromkeys(fidelity.COUNTS, 0) | {"pieces": 1, "exact": 1, "notes": 81, "kept": 80, "onsets": 72}
    card = fidelity.card(counts, [64], 47, "grid lines")
    (packed / "fidelity.json").write_text(json.dumps(card))
    references = root / "references"
    references.mkdir()
    write(references, [chorale(3, bars=4)], seconds=3)
    return ReportInputs(
        study={
            "study": "tiny",
            "title": "Tiny <study> & more",
            "description": "Two models.",
            "datasets": {"d": {"split": {"kind": "random"}}},
        },
        metrics=root / "metrics.csv",
        runs=root / "runs.csv",
        comparisons=root / "comparisons.csv",
        leaks=root / "leak.csv",
        decoding=root / "decoding.csv",
        curves=curves,
        measures=measures,
        samples=samples,
        references={"d": references},
        controls={"d": root / "controls" / "histograms.json"},
        corpora={"d": corpus},
        splits={"d": split},
        families={"d": root / "families"},
        representations={("d", "voices"): packed},
        specs=specs,
        gate=root / "gate.json",
    )


@pytest.fixture(scope="module")
def page(inputs: ReportInputs) -> str:
    return render(inputs)


class Tables(HTMLParser):
    """Collects the header cells (text, unit) and body rows of every table, and all ids and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[tuple[list[tuple[str, str]], list[list[str]]]] = []
        self.ids: list[str] = []
        self.hrefs: list[str] = []
        self.unscoped = 0
        self._head = self._unit = self._cell = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids += [value for value in [found.get("id")] if value]
        self.hrefs += [value for key in ("href", "xlink:href") for value in [found.get(key)] if value]
        self.unscoped += tag == "th" and "scope" not in found
        if tag == "table":
            self.tables.append(([], []))
        elif tag in ("thead", "tbody"):
            self._head = tag == "thead"
        elif tag == "tr" and not self._head:
            self.tables[-1][1].append([])
        elif tag in ("th", "td"):
            self._cell = True
            if self._head:
                self.tables[-1][0].append(("", ""))
            else:
                self.tables[-1][1][-1].append("")
        elif tag == "span" and found.get("class") == "unit":
            self._unit = True
        elif tag == "small":
            self._cell = False

    def handle_endtag(self, tag: str) -> None:
        self._unit = self._unit and tag != "span"
        self._cell = self._cell and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._cell and self._head:
            text, unit = self.tables[-1][0][-1]
            self.tables[-1][0][-1] = (text, unit + data.strip()) if self._unit else (text + data.strip(), unit)
        elif self._cell:
            self.tables[-1][1][-1][-1] += data.strip()


@pytest.fixture(scope="module")
def parsed(page: str) -> Tables:
    tables = Tables()
    tables.feed(page)
    return tables


def test_the_same_bytes_twice(inputs: ReportInputs, tmp_path: Path) -> None:
    write_report(tmp_path / "a.html", inputs)
    write_report(tmp_path / "b.html", inputs)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    addresses = re.findall(r"https?://[^\s\"'<>)]*", page)
    assert set(addresses) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    sources = re.findall(r"""\b(?:src|href|action|data|poster)=["']([^"']{1,20})""", page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in page and "@import" not in page and "url(" not in re.sub(r"url\(#", "", page)


def test_no_path_of_this_machine(page: str, inputs: ReportInputs) -> None:
    assert str(inputs.metrics.parent) not in page


def test_every_column_of_numbers_has_a_unit(parsed: Tables) -> None:
    assert len(parsed.tables) >= 7
    for heads, rows in parsed.tables:
        assert rows and all(len(row) == len(heads) for row in rows)
        for column, (head, unit) in enumerate(heads):
            numeric = any(re.fullmatch(r"[\d.,\s\u202f−★-]+", row[column]) for row in rows)
            # A digest may be all digits; it counts nothing.
            assert unit or not numeric or "digest" in head.lower(), head
    assert parsed.unscoped == 0


def test_every_sound_is_there_to_hear(page: str) -> None:
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]+)"', page)
    assert len(sounds) == 1 + 2 + 1, "a reference, two of gru, one of ngram, whose second sample is empty"
    for sound in sounds:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert rate == 22050 and 1 < len(samples) / rate <= 3.01
        assert np.abs(samples).max() <= 0.8914
        assert loudness(samples, rate) == pytest.approx(-18, abs=0.1)
    assert page.count("An empty piece: there is nothing to hear.") == 1
    midis = re.findall(r'href="data:audio/midi;base64,([^"]+)" download="([^"]+)"', page)
    assert len(midis) == 5 and all(base64.b64decode(midi).startswith(b"MThd") for midi, _ in midis)


def test_ids_are_unique_and_references_lead_somewhere(parsed: Tables) -> None:
    assert len(parsed.ids) == len(set(parsed.ids))
    for href in parsed.hrefs:
        if href.startswith("#"):
            assert href[1:] in parsed.ids, href


def test_figures_speak(page: str) -> None:
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert len(labels) == page.count("<svg") and all(len(label) > 20 for label in labels)
    assert not re.search(r"#0\d0a0a|#0[1-4]0\d0\d", page), "a reserved colour was left in a figure"


def test_what_the_study_says_is_escaped_and_shown(page: str) -> None:
    assert "<h1>Tiny &lt;study&gt; &amp; more</h1>" in page
    assert "no run has this metric" in page and "✗ fail" in page and "✓ pass" in page
    assert "held-out as voices" in page
    assert "CC0" in page and "no notes" in page


def test_a_study_without_samples_still_has_a_report(inputs: ReportInputs, tmp_path: Path) -> None:
    rows = [row for row in read_rows(inputs.metrics) if not row.sampler and row.seed]
    write_rows(tmp_path / "metrics.csv", rows)
    write_leaks(tmp_path / "leak.csv", [])
    bare = ReportInputs(
        study=inputs.study,
        metrics=tmp_path / "metrics.csv",
        runs=inputs.runs,
        comparisons=inputs.comparisons,
        leaks=tmp_path / "leak.csv",
        decoding=inputs.decoding,
    )
    page = render(bare)
    assert (
        "The study sets no gates." in page
        and 'id="leaks"' not in page
        and "<audio" not in page
        and 'id="samples"' not in page
    )


def test_families_are_listed_with_what_joined_them(page: str, parsed: Tables) -> None:
    found = {tuple(head for head, _ in heads): rows for heads, rows in parsed.tables}
    assert found["Members", "Joined by", "Size"] == [["p000, p001, p003", "group Book <1> (1), near (1)", "3"]]
    assert found["Because of", "Joined"] == [["near", "1"], ["group", "1"]]
    assert "for comparison only" in page


def test_a_fidelity_card_says_what_survives_and_never_rounds_up_to_all(page: str) -> None:
    table = page[page.index("What survives") :]
    row = [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", table, re.S)[:12]]
    assert row[:3] == ["100", "98.8", "90.0"]
    assert "–" in row


def test_several_datasets_have_an_overview_of_what_survives(tmp_path: Path) -> None:
    folders = {}
    for dataset, name, kept in (("a", "remi", 90), ("a", "roll", 100), ("b", "remi", 999)):
        folder = folders[dataset, name] = tmp_path / f"{dataset}-{name}"
        folder.mkdir()
        counts = dict.fromkeys(fidelity.COUNTS, 0) | {
            "notes": 100 if dataset == "a" else 1000,
            "kept": kept,
            "onset_error": 48 * kept,
        }
        (folder / "fidelity.json").write_text(json.dumps(fidelity.card(counts, [], 1, "events")))
    table = fidelity_cards.overview(folders)
    assert [column.label for column in table.columns] == ["remi", "roll"]
    cells = {line.names[0]: [(cell.text, cell.small) for cell in line.cells] for line in table.lines}
    assert cells == {"a": [("90.0", "0.1"), ("100", "0.1")], "b": [("99.9", "0.1"), ("–", "")]}
    assert not fidelity_cards.overview({("a", "remi"): folders["a", "remi"]}).lines


def test_a_dataset_of_the_catalog_shows_its_card(inputs: ReportInputs, page: str) -> None:
    assert "From the catalog" not in page
    entry = catalog.load("symbtr", CATALOG).model_copy(update={"labels": "makam & <form>"})
    shown = html.unescape(re.sub(r"<[^>]*>", "", render(replace(inputs, cards={"d": entry.model_dump(mode="json")}))))
    for told in (
        f"From the catalog: {entry.title}",
        "Allows redistribution, derivatives; not commercial use.",
        entry.citation,
        "177 MIDI files hold no notes; they are rejects",
        "read, not checked on the data itself",
        "makam & <form>",
    ):
        assert told in shown, told


def test_a_leak_has_its_price(page: str) -> None:
    assert "relatives in train make the test NLL 0.200 nats/token lower (better)" in page


def test_a_sweep_shows_every_decoding_and_ranks_with_the_chosen_one(inputs: ReportInputs, tmp_path: Path) -> None:
    """The samples of each model serve as those of two decodings; the second is chosen."""
    rows = [row for row in read_rows(inputs.metrics) if row.sampler != "free"]
    sampled = [row for row in read_rows(inputs.metrics) if row.sampler == "free"]
    names = ("sweep_t0_8", "sweep_t1")
    rows += [replace(row, sampler=name) for name in names for row in sampled]
    rows += [replace(row, split="valid", value=98765.4) for row in rows if row.sampler and row.split == "test"]
    rows += [
        replace(row, metric=metric, value=0.5, split="test")
        for row in rows
        if row.sampler and row.metric == "pitch_range"
        for metric in ("precision", "recall")
    ]
    write_rows(tmp_path / "metrics.csv", rows)
    decodings = [
        Decoding("d", "voices", model, name, 0.8 if name == names[0] else 1.0, 0, 1.0, 1.25, 2, name == names[1])
        for model in NLL
        for name in names
    ]
    write_decodings(tmp_path / "decoding.csv", decodings)
    page = render(
        replace(
            inputs,
            metrics=tmp_path / "metrics.csv",
            decoding=tmp_path / "decoding.csv",
            measures={(run, name): path for (run, _), path in inputs.measures.items() for name in names},
            samples={(run, name): path for (run, _), path in inputs.samples.items() for name in names},
        )
    )
    table = page[page.index("<h3>Decoding</h3>") :]
    beside = table[table.index("all metrics") :]
    assert names[0] in table and "1.250" in table
    assert f"voices · {names[1]}" in beside and f"voices · {names[0]}" not in beside
    assert f"gru · {names[0]} 0.500" in page and f"gru · {names[1]} ★ 0.500" in page
    assert names[0] not in page[page.index('id="samples"') :].partition("</section>")[0]
    assert "98765.4" not in page


def test_copying_stands_beside_unseen_music(inputs: ReportInputs, tmp_path: Path) -> None:
    index = TrainingIndex.of([gridded(chorale(seed, bars=4)) for seed in range(10)])
    pieces = [
        Unseen(Part(0, 4), f"p{i}", "test", index.search(gridded(chorale(100 + i, bars=4))).figures) for i in range(6)
    ]
    write_unseen(tmp_path / "null.csv", pieces)
    names = [f"<training {i}>" for i in range(10)]
    null = read_null(tmp_path / "null.csv", Part(0, 4))
    judged = [judge.judge(i, gridded(x), index, null, names, 0) for i, x in enumerate([chorale(3, bars=4), EMPTY])]
    judge.write_judged(tmp_path / "pieces.csv", judged)
    page = render(
        replace(
            inputs,
            study={**inputs.study, "samplers": {"free": {"prompt_bars": 0, "bars": 4, "voice": None}}},
            unseen={("d", "voices"): tmp_path / "null.csv"},
            copying=dict.fromkeys(inputs.samples, tmp_path / "pieces.csv"),
        )
    )
    section = page[page.index('<section id="copying"') :]
    assert judge.NEARER in section and "&lt;training 3&gt;" in section and "2 of 4" in section
    assert "gru: 2 of 4 samples beyond" in section
    tables = Tables()
    tables.feed(page)
    assert all(len(row) == len(heads) for heads, rows in tables.tables for row in rows)


def test_seeds_are_averaged_with_their_range(inputs: ReportInputs) -> None:
    rows = {(row.model, row.metric, row.split): row for row in read_rows(inputs.metrics) if row.seed == "all"}
    row = rows["gru", "nll", "test"]
    assert (row.value, row.ci_low, row.ci_high, row.n, row.run) == (0.505, 0.5, 0.51, 2, "")
    assert math.isnan(rows["gru", "nll_held", "test"].value)
    assert not any(model in ("held_out", "noise") for model, *_ in rows)


def test_runs_survive_their_file(inputs: ReportInputs) -> None:
    runs = read_runs(inputs.runs)
    assert [run.run for run in runs] == sorted(run.run for run in runs)
    assert (runs[0].parameters, runs[0].valid_nll, len(runs[0].spec)) == (1000, 0.5, 16)


def test_fidelity_stands_against_diversity_and_what_a_metric_cannot_tell_is_said(page: str) -> None:
    assert "fidelity against diversity" in page
    assert "Coverage against density, d, voices:" in page
    assert "Recall against precision" not in page, "two samples are too few for recall"
    assert "undefined: 2 pieces, needs 24" in page
    untold = re.search(r"<tr class=\"control\">\s*<th scope=\"row\">does not tell apart.*?</tr>", page, re.DOTALL)
    assert untold and "✓" in untold[0] and "✗<small>shuffled" in untold[0]


def test_the_star_is_given_by_the_paired_test(page: str) -> None:
    assert "<h3>Paired tests</h3>" in page and "gru – ngram" in page
    board = re.search(r"<h3>d · voices</h3>.*?</table>", page, re.DOTALL)
    assert board and board[0].index("★") < board[0].index("ngram")


def test_the_gate_shows_what_moved_and_why(inputs: ReportInputs) -> None:
    page = render(inputs)
    gate = page[page.index('id="gate"') : page.index('id="provenance"')]
    assert re.search(r"failed \(\d+ of \d+\)", page[: page.index("<main>")])
    assert "worse" in gate and "code dalsegno.models.gru: changed" in gate
    assert "difference of 2 families of pieces" in gate and "baseline, by seed" in gate


def test_a_study_without_a_baseline_has_not_failed(inputs: ReportInputs, tmp_path: Path) -> None:
    verdicts = [Verdict("baseline", "missing", "invented", "baseline", "make baseline, and commit it")]
    (tmp_path / "gate.json").write_text(json.dumps(outputs.document("invented", verdicts)))
    page = render(replace(inputs, gate=tmp_path / "gate.json"))
    header = page[: page.index("<main>")]
    assert "no baseline yet" in header and "failed" not in header
