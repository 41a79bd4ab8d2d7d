"""The readers by kind of source. Strings, so that a change of one reader is no change of another."""

READERS: dict[str, str] = {
    "music21": "dalsegno.data.read_chorale:read",
    "folder": "dalsegno.data.read_midi:read",
}
