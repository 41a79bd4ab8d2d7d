"""The metrics by name. A new metric is one object in one new file and one line here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from dalsegno.metrics.base import HistogramDistance, PieceMetric
from dalsegno.metrics.sets import SetMetric

METRICS: dict[str, str] = {
    "empty_pieces": "dalsegno.metrics.texture:empty_pieces",
    "pitch_class_entropy": "dalsegno.metrics.pitch:pitch_class_entropy",
    "pitch_class_entropy_1bar": "dalsegno.metrics.pitch:pitch_class_entropy_1bar",
    "pitch_class_entropy_4bar": "dalsegno.metrics.pitch:pitch_class_entropy_4bar",
    "pitch_entropy": "dalsegno.metrics.pitch:pitch_entropy",
    "pitch_classes_used": "dalsegno.metrics.pitch:pitch_classes_used",
    "pitches_used": "dalsegno.metrics.pitch:pitches_used",
    "scale_consistency": "dalsegno.metrics.pitch:scale_consistency",
    "key_clarity": "dalsegno.metrics.pitch:key_clarity",
    "pitch_range": "dalsegno.metrics.pitch:pitch_range",
    "mean_pitch": "dalsegno.metrics.pitch:mean_pitch",
    "interval_size": "dalsegno.metrics.melody:interval_size",
    "repeat_share": "dalsegno.metrics.melody:repeat_share",
    "step_share": "dalsegno.metrics.melody:step_share",
    "leap_share": "dalsegno.metrics.melody:leap_share",
    "groove_consistency": "dalsegno.metrics.rhythm:groove_consistency",
    "note_density": "dalsegno.metrics.rhythm:note_density",
    "note_duration": "dalsegno.metrics.rhythm:note_duration",
    "duration_entropy": "dalsegno.metrics.rhythm:duration_entropy",
    "inter_onset_interval": "dalsegno.metrics.rhythm:inter_onset_interval",
    "inter_onset_entropy": "dalsegno.metrics.rhythm:inter_onset_entropy",
    "syncopation": "dalsegno.metrics.rhythm:syncopation",
    "rhythm_complexity": "dalsegno.metrics.rhythm:rhythm_complexity",
    "off_beat_share": "dalsegno.metrics.rhythm:off_beat_share",
    "polyphony": "dalsegno.metrics.texture:polyphony",
    "polyphony_rate": "dalsegno.metrics.texture:polyphony_rate",
    "empty_beat_rate": "dalsegno.metrics.texture:empty_beat_rate",
    "empty_bar_rate": "dalsegno.metrics.texture:empty_bar_rate",
    "triad_share": "dalsegno.metrics.harmony:triad_share",
    "seventh_share": "dalsegno.metrics.harmony:seventh_share",
    "chord_entropy": "dalsegno.metrics.harmony:chord_entropy",
    "chords_used": "dalsegno.metrics.harmony:chords_used",
    "chord_irregularity": "dalsegno.metrics.harmony:chord_irregularity",
    "chord_tonal_distance": "dalsegno.metrics.harmony:chord_tonal_distance",
    "tonal_distance": "dalsegno.metrics.harmony:tonal_distance",
    "empty_track_bar_rate": "dalsegno.metrics.musegan:empty_track_bar_rate",
    "pitch_classes_per_bar": "dalsegno.metrics.musegan:pitch_classes_per_bar",
    "qualified_note_rate": "dalsegno.metrics.musegan:qualified_note_rate",
    "drum_pattern_rate": "dalsegno.metrics.musegan:drum_pattern_rate",
    "parallel_fifths": "dalsegno.metrics.counterpoint:parallel_fifths",
    "parallel_octaves": "dalsegno.metrics.counterpoint:parallel_octaves",
    "voice_crossings": "dalsegno.metrics.counterpoint:voice_crossings",
    "chroma_similarity": "dalsegno.metrics.similarity:chroma_similarity",
    "grooving_similarity": "dalsegno.metrics.similarity:grooving_similarity",
    "instrumentation_similarity": "dalsegno.metrics.similarity:instrumentation_similarity",
    "self_similarity": "dalsegno.metrics.structure:self_similarity",
    "structureness_short": "dalsegno.metrics.structure:structureness_short",
    "structureness_mid": "dalsegno.metrics.structure:structureness_mid",
    "structureness_long": "dalsegno.metrics.structure:structureness_long",
    "repeated_bars": "dalsegno.metrics.structure:repeated_bars",
    "compression_ratio": "dalsegno.metrics.structure:compression_ratio",
    "pitch_class_distance": "dalsegno.metrics.distances:pitch_class_distance",
    "interval_distance": "dalsegno.metrics.distances:interval_distance",
    "duration_distance": "dalsegno.metrics.distances:duration_distance",
    "pitch_range_compat": "dalsegno.metrics.compat:pitch_range_compat",
    "pitches_used_compat": "dalsegno.metrics.compat:pitches_used_compat",
    "pitch_classes_used_compat": "dalsegno.metrics.compat:pitch_classes_used_compat",
    "pitch_entropy_compat": "dalsegno.metrics.compat:pitch_entropy_compat",
    "pitch_class_entropy_compat": "dalsegno.metrics.compat:pitch_class_entropy_compat",
    "scale_consistency_compat": "dalsegno.metrics.compat:scale_consistency_compat",
    "polyphony_compat": "dalsegno.metrics.compat:polyphony_compat",
    "polyphony_rate_compat": "dalsegno.metrics.compat:polyphony_rate_compat",
    "empty_beat_rate_compat": "dalsegno.metrics.compat:empty_beat_rate_compat",
    "empty_bar_rate_compat": "dalsegno.metrics.compat:empty_bar_rate_compat",
    "groove_consistency_compat": "dalsegno.metrics.compat:groove_consistency_compat",
    "drum_pattern_consistency_compat": "dalsegno.metrics.compat:drum_pattern_consistency_compat",
    "pitch_class_entropy_1bar_compat": "dalsegno.metrics.compat:pitch_class_entropy_1bar_compat",
    "pitch_class_entropy_4bar_compat": "dalsegno.metrics.compat:pitch_class_entropy_4bar_compat",
    "grooving_similarity_compat": "dalsegno.metrics.compat:grooving_similarity_compat",
    "chord_irregularity_compat": "dalsegno.metrics.compat:chord_irregularity_compat",
    "interval_size_compat": "dalsegno.metrics.compat:interval_size_compat",
    "inter_onset_interval_compat": "dalsegno.metrics.compat:inter_onset_interval_compat",
    "frechet_distance": "dalsegno.metrics.sets:frechet_distance",
    "embedding_frechet_distance": "dalsegno.metrics.sets:embedding_frechet_distance",
    "precision": "dalsegno.metrics.sets:precision",
    "recall": "dalsegno.metrics.sets:recall",
    "density": "dalsegno.metrics.sets:density",
    "coverage": "dalsegno.metrics.sets:coverage",
    "diversity": "dalsegno.metrics.sets:diversity",
    "set_similarity": "dalsegno.metrics.sets:set_similarity",
    "overlap_area": "dalsegno.metrics.sets:overlap_area",
    "feature_kl": "dalsegno.metrics.sets:feature_kl",
    "feature_wasserstein": "dalsegno.metrics.sets:feature_wasserstein",
    "intra_inter_kl": "dalsegno.metrics.mgeval:intra_inter_kl",
    "intra_inter_overlap": "dalsegno.metrics.mgeval:intra_inter_overlap",
    "intra_inter_kl_compat": "dalsegno.metrics.mgeval:intra_inter_kl_compat",
    "intra_inter_overlap_compat": "dalsegno.metrics.mgeval:intra_inter_overlap_compat",
}


def needs_encoder(names: Iterable[str]) -> bool:
    """Whether any of the metrics asks for embeddings."""
    loaded = (load_metric(name) for name in names)
    return any(isinstance(metric, SetMetric) and metric.space == "embeddings" for metric in loaded)


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
