"""Model families by name.

Values are module paths, imported only when a study asks for them: an edit of one family is no change of another.
"""

FAMILIES: dict[str, str] = {
    "lstm": "dalsegno.models.lstm",
    "ngram": "dalsegno.models.ngram",
    "transformer": "dalsegno.models.transformer",
}
