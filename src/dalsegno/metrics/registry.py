"""The metrics by name. A new metric is one object in one new file and one line here."""

from __future__ import annotations

from importlib import import_module

from dalsegno.metrics.base import HistogramDistance, PieceMetric
from dalsegno.metrics.sets import SetMetric

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
    "frechet_distance": "dalsegno.metrics.sets:frechet_distance",
    "precision": "dalsegno.metrics.sets:precision",
    "recall": "dalsegno.metrics.sets:recall",
    "density": "dalsegno.metrics.sets:density",
    "coverage": "dalsegno.metrics.sets:coverage",
    "diversity": "dalsegno.metrics.sets:diversity",
    "self_similarity": "dalsegno.metrics.sets:self_similarity",
    "overlap_area": "dalsegno.metrics.sets:overlap_area",
    "feature_kl": "dalsegno.metrics.sets:feature_kl",
    "feature_wasserstein": "dalsegno.metrics.sets:feature_wasserstein",
    "intra_inter_kl": "dalsegno.metrics.mgeval:intra_inter_kl",
    "intra_inter_overlap": "dalsegno.metrics.mgeval:intra_inter_overlap",
    "intra_inter_kl_compat": "dalsegno.metrics.mgeval:intra_inter_kl_compat",
    "intra_inter_overlap_compat": "dalsegno.metrics.mgeval:intra_inter_overlap_compat",
}


def load_metric(name: str) -> PieceMetric | HistogramDistance | SetMetric:
    """The metric of that name, imported only now.

    Raises:
        KeyError: no such metric; the message lists those there are.
    """
    if name not in METRICS:
        raise KeyError(f"no metric named {name!r}; there are {', '.join(sorted(METRICS))}")
    module, _, attribute = METRICS[name].partition(":")
    metric: PieceMetric | HistogramDistance | SetMetric = getattr(import_module(module), attribute)
    return metric
