"""The families by name. Strings, so that a change of one family is no change of another."""

FAMILIES: dict[str, str] = {
    "ensemble": "dalsegno.models.ensemble",
    "frame_rnn": "dalsegno.models.frame_rnn",
    "gru": "dalsegno.models.gru",
    "lstm": "dalsegno.models.lstm",
    "masked": "dalsegno.models.masked",
    "ngram": "dalsegno.models.ngram",
    "transformer": "dalsegno.models.transformer",
}
