"""The families by name. Strings, so that a change of one family is no change of another."""

FAMILIES: dict[str, str] = {
    "ensemble": "dalsegno.models.ensemble",
    "lstm": "dalsegno.models.lstm",
    "ngram": "dalsegno.models.ngram",
    "transformer": "dalsegno.models.transformer",
}
