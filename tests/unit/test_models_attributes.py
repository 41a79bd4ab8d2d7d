"""What a model can be told: levels, labels, training with and without, samples that heed it, errors before any job."""

from dataclasses import replace

import numpy as np
import pytest

from dalsegno.models import base
from dalsegno.models.attributes import UNTOLD, Label, Reader, wished
from dalsegno.models.base import Request
from dalsegno.study import Model
from dalsegno.training.batches import Windows
from dalsegno.training.options import Augmentation
from dalsegno.training.run import train
from tests.unit.tiny import packed

ATTRIBUTES = {
    "density": {"measure": "density", "per": "bar", "levels": 2},
    "height": {"measure": "height", "per": "piece", "levels": 2},
    "mood": {"label": "mood", "values": ["calm", "wild"]},
}


def labelled(folder, train=8):
    data = packed(folder, "voices", train)
    data.rows = [replace(row, labels={"mood": ("calm", "wild", "odd")[i % 3]}) for i, row in enumerate(data.rows)]
    return data


@pytest.fixture
def data(tmp_path):
    return labelled(tmp_path / "packed")


def parsed():
    return base.family("lstm").Config(attributes=ATTRIBUTES).attributes


def test_levels_are_equally_common_and_labels_are_read(data):
    reader = Reader(parsed(), data)
    train = [reader.of(i) for i in data.indices("train")]
    bars = np.concatenate([column[::4, 0] for column in train])
    assert set(bars) == {1, 2} and 0.3 < np.mean(bars == 2) < 0.7
    assert [set(column[:, 1]) for column in train].count({2}) == 4
    assert [column[0, 2] for column in train] == [1, 2, UNTOLD, 1, 2, UNTOLD, 1, 2]
    changes = [(piece[1:] != piece[:-1]).sum() for piece in (data.piece(i)[:4] for i in data.indices("train"))]
    levels = [column[0, 0] for column in train]
    assert min(c for c, level in zip(changes, levels, strict=True) if level == 2) >= max(
        c for c, level in zip(changes, levels, strict=True) if level == 1
    )


def test_a_label_that_no_piece_has_is_an_error(data):
    with pytest.raises(ValueError, match="no training piece has the label 'key'"):
        Reader({"key": Label(label="key", values=["C"])}, data)


def test_windows_tell_most_of_the_time(data):
    windows = Windows(data, 64, 8, Augmentation(), 0, parsed())
    plain = Windows(data, 64, 8, Augmentation(), 0)
    told = windows.batch(3).inputs.attributes_BxTxA
    assert plain.batch(3).inputs.attributes_BxTxA is None
    assert told.shape == (64, 8, 3)
    share = np.mean(told[:, 0, 1] != UNTOLD)
    assert 0.55 < share < 0.95


def test_what_is_wished_stands_in_its_bars():
    attributes = parsed()
    found = wished({"density": [1, 2], "mood": "wild"}, attributes, 10, 4)
    assert found[:, 0].tolist() == [1] * 4 + [2] * 6
    assert found[:, 1].tolist() == [UNTOLD] * 10
    assert found[:, 2].tolist() == [2] * 10
    for told, message in (
        ({"tempo": 1}, "tempo: the model is told density, height, mood"),
        ({"density": 3}, "density: 3 is no level from 1 to 2"),
        ({"mood": "sad"}, "mood: 'sad' is none of calm, wild"),
        ({"height": [1, 2]}, "height: takes one value"),
    ):
        with pytest.raises(ValueError, match=message):
            wished(told, attributes, 10, 4)


def test_samples_heed_what_is_told(tmp_path):
    """A network that is told of every bar's density writes more where more is wished."""
    # Eight pieces are learned by heart before they are understood.
    data = labelled(tmp_path / "packed", train=64)
    model = Model.model_validate(
        {
            "family": "lstm",
            "config": {"features": 16, "layers": 1, "hidden": 16, "dropout": 0, "attributes": ATTRIBUTES},
            "training": {"steps": 60, "batch_size": 16, "window": 16, "learning_rate": 0.03, "eval_every": 60},
        }
    )
    files = [tmp_path / name for name in ("checkpoint.safetensors", "curves.jsonl", "summary.json", "scratch")]
    train(model.model_dump(mode="json"), data, 0, *files)
    trained = base.load(files[0], data.vocabulary)
    changes = []
    for level in (1, 2):
        request = Request([np.zeros((0, 2), np.int16)] * 200, 16, data.grammar, attributes={"density": level})
        changes.append(np.mean([(piece[1:] != piece[:-1]).mean() for piece in trained.generate(request)]))
    assert changes[1] > 1.5 * changes[0]
