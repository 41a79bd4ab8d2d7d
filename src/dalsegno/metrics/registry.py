"""The metrics by name. A new metric is one object in one new file and one line here."""

from __future__ import annotations

from importlib import import_module

from dalsegno.metrics.base import HistogramDistance, PieceMetric

METRICS: dict[str, str] = {
    "empty_pieces": "dalsegno.metrics.texture:empty_pieces",
    "pitch_class_entropy": "dalsegno.metrics.pitch:pitch_class_entropy",
    "scale_consistency": "dalsegno.metrics.pitch:scale_consistency",
    "pitch_range": "dalsegno.metrics.pitch:pitch_range",
    "groove_consistency": "dalsegno.metrics.rhythm:groove_consistency",
    "note_density": "dalsegno.metrics.rhythm:note_density",
    "polyphony": "dalsegno.metrics.texture:polyphony",
    "pitch_class_distance": "dalsegno.metrics.distances:pitch_class_distance",
    "interval_distance": "dalsegno.metrics.distances:interval_distance",
    "duration_distance": "dalsegno.metrics.distances:duration_distance",
}


def load_metric(name: str) -> PieceMetric | HistogramDistance:
    """The metric of that name, imported only now.

    Raises:
        KeyError: no such metric; the message lists those there are.
    """
    if name not in METRICS:
        raise KeyError(f"no metric named {name!r}; there are {', '.join(sorted(METRICS))}")
    module, _, attribute = METRICS[name].partition(":")
    metric: PieceMetric | HistogramDistance = getattr(import_module(module), attribute)
    return metric
