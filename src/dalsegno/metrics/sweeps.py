"""What is told by going through the notes once, in order of time: loops that are compiled.

Columns would have to be sorted by track, by pitch and back for each of these; a loop carries what sounds along. Whoever
asks imports this module within a function: numba takes a second to import, and a loop some seconds to compile the first
time (`docs/adr/0015-loops-that-are-compiled.md`). Sums run in the order of the notes, without `fastmath`.
"""

from __future__ import annotations

import numba
import numpy as np

NEVER = np.iinfo(np.int64).max


@numba.njit(cache=True)
def segments(piece_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, pitch_N: np.ndarray) -> np.ndarray:
    """`table_5xS`: piece, start, ticks, different pitches and pitch classes (as bits) of each segment.

    A segment lies between two moments of a piece at which a pitch starts or ends to sound; notes of one pitch that
    touch or overlap are one.

    Args:
        piece_N, start_N, end_N, pitch_N: notes sorted by piece and start.
    """
    table = np.empty((5, 2 * len(piece_N)), np.int64)
    until = np.zeros(pitch_N.max() + 1 if len(pitch_N) else 0, np.int64)
    sounding = np.empty(len(until), np.int64)
    pitches = 0
    octaves_12 = np.zeros(12, np.int64)
    classes = 0
    count = row = 0
    while row < len(piece_N):
        piece, now, soonest = piece_N[row], -1, NEVER
        while pitches or (row < len(piece_N) and piece_N[row] == piece):
            arrives = start_N[row] if row < len(piece_N) and piece_N[row] == piece else NEVER
            starts = arrives <= soonest
            if starts:
                pitch, end = pitch_N[row], end_N[row]
                row += 1
                if end <= arrives:
                    continue
                if until[pitch]:
                    until[pitch] = max(until[pitch], end)
                    soonest = _soonest(sounding, pitches, until)
                    continue
            time = min(arrives, soonest)
            if 0 <= now < time:
                table[:, count] = piece, now, time - now, pitches, classes
                count += 1
            now = time
            if starts:
                until[pitch] = end
                sounding[pitches] = pitch
                pitches += 1
                octaves_12[pitch % 12] += 1
                classes |= 1 << pitch % 12
            else:
                kept = 0
                for i in range(pitches):
                    pitch = sounding[i]
                    if until[pitch] > time:
                        sounding[kept] = pitch
                        kept += 1
                        continue
                    until[pitch] = 0
                    octaves_12[pitch % 12] -= 1
                    if not octaves_12[pitch % 12]:
                        classes ^= 1 << pitch % 12
                pitches = kept
            soonest = _soonest(sounding, pitches, until)
    return table[:, :count]


@numba.njit(cache=True)
def _soonest(sounding: np.ndarray, pitches: int, until: np.ndarray) -> int:
    """When the first of the sounding pitches ends."""
    soonest = NEVER
    for i in range(pitches):
        soonest = min(soonest, until[sounding[i]])
    return soonest


@numba.njit(cache=True)
def sounding_ticks(piece_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, pieces: int) -> np.ndarray:
    """`ticks_P` during which at least one note sounds; notes are sorted by piece and start."""
    ticks_P = np.zeros(pieces, np.int64)
    piece, reached = -1, 0
    for row in range(len(piece_N)):
        if piece_N[row] != piece:
            piece, reached = piece_N[row], 0
        begin = max(start_N[row], reached)
        if end_N[row] > begin:
            ticks_P[piece] += end_N[row] - begin
            reached = end_N[row]
    return ticks_P


@numba.njit(cache=True)
def voice_leading(
    piece_N: np.ndarray, track_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, pitch_N: np.ndarray, pieces: int
) -> tuple[np.ndarray, np.ndarray]:
    """How the voices of each piece move; see `dalsegno.metrics.counterpoint`.

    Args:
        piece_N, …: notes that last, sorted by piece and start.
        pieces: how many there are.

    Returns:
        `moves_Px3` of two voices at once: all, in parallel fifths, in parallel octaves; `neighbours_Px2`: pairs of
        neighbouring voices that sound at an onset, and those of them that cross. Zeros for what is not made of voices.
    """
    moves_Px3, neighbours_Px2 = np.zeros((pieces, 3), np.int64), np.zeros((pieces, 2), np.int64)
    first = 0
    while first < len(piece_N):
        piece = piece_N[first]
        last = first
        while last < len(piece_N) and piece_N[last] == piece:
            last += 1
        tracks_V = _voices(track_N[first:last], start_N[first:last], end_N[first:last], pitch_N[first:last])
        voices = len(tracks_V)
        before_V, now_V = np.full(voices, -1), np.full(voices, -1)
        until_V = np.zeros(voices, np.int64)
        row = first
        while voices and row < last:
            time = start_N[row]
            for voice in range(voices):
                before_V[voice] = now_V[voice]
                if until_V[voice] <= time:
                    now_V[voice] = -1
            while row < last and start_N[row] == time:
                voice = 0
                while tracks_V[voice] != track_N[row]:
                    voice += 1
                now_V[voice], until_V[voice] = pitch_N[row], end_N[row]
                row += 1
            for high in range(voices - 1):
                if now_V[high] >= 0 and now_V[high + 1] >= 0:
                    neighbours_Px2[piece, 0] += 1
                    neighbours_Px2[piece, 1] += now_V[high] < now_V[high + 1]
                if not _moves(before_V[high], now_V[high]):
                    continue
                for low in range(high + 1, voices):
                    if not _moves(before_V[low], now_V[low]):
                        continue
                    moves_Px3[piece, 0] += 1
                    apart = abs(now_V[high] - now_V[low]) % 12
                    alike = (now_V[high] > before_V[high]) == (now_V[low] > before_V[low])
                    if alike and apart == abs(before_V[high] - before_V[low]) % 12:
                        moves_Px3[piece, 1] += apart == 7
                        moves_Px3[piece, 2] += apart == 0
        first = last
    return moves_Px3, neighbours_Px2


@numba.njit(cache=True)
def _moves(before: int, now: int) -> bool:
    """Whether a voice that sounds before and now changes its pitch."""
    return before >= 0 and now >= 0 and before != now


@numba.njit(cache=True)
def _voices(track_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, pitch_N: np.ndarray) -> np.ndarray:
    """The tracks of a piece by mean pitch, highest first; none unless they are two to eight single voices."""
    none = np.zeros(0, np.int64)
    track_8, notes_8 = np.zeros(8, np.int64), np.zeros(8, np.int64)
    sum_8, until_8 = np.zeros(8, np.int64), np.zeros(8, np.int64)
    voices = 0
    for row in range(len(track_N)):
        voice = 0
        while voice < voices and track_8[voice] != track_N[row]:
            voice += 1
        if voice == len(track_8) or until_8[voice] > start_N[row]:
            return none
        if voice == voices:
            voices += 1
            track_8[voice] = track_N[row]
        until_8[voice] = end_N[row]
        notes_8[voice] += 1
        sum_8[voice] += pitch_N[row]
    if voices < 2:
        return none
    mean_8 = sum_8 / np.maximum(notes_8, 1)
    tracks_V = np.empty(voices, np.int64)
    for voice in range(voices):
        above = 0
        for other in range(voices):
            # Of equal means the first track is the higher voice.
            first = mean_8[other] == mean_8[voice] and track_8[other] < track_8[voice]
            above += mean_8[other] > mean_8[voice] or first
        tracks_V[above] = track_8[voice]
    return tracks_V


@numba.njit(cache=True)
def _touched(start: int, end: int, beat: int) -> range:
    """The beats in which a note sounds."""
    return range(start // beat, -(-end // beat) if end > start else 0)


@numba.njit(cache=True)
def tonal_distances(
    piece_N: np.ndarray,
    track_N: np.ndarray,
    start_N: np.ndarray,
    end_N: np.ndarray,
    pitch_N: np.ndarray,
    place_12x6: np.ndarray,
    beat: int,
    pieces: int,
) -> tuple[np.ndarray, np.ndarray]:
    """`distance_P`, summed over the pairs of tracks that sound in one beat, and `pairs_P`.

    Args:
        piece_N, …: notes sorted by piece; tracks are numbered 0, 1, … within each.
        place_12x6: place of each pitch class in tonal space.
        beat: ticks.
        pieces: how many there are.
    """
    distance_P, pairs_P = np.zeros(pieces), np.zeros(pieces, np.int64)
    first = 0
    while first < len(piece_N):
        piece, last = piece_N[first], first
        tracks = beats = 0
        while last < len(piece_N) and piece_N[last] == piece:
            tracks, beats = max(tracks, track_N[last] + 1), max(beats, -(-end_N[last] // beat))
            last += 1
        # Which tracks sound in which beats, numbered from 1 in order of beats, so that silence costs four bytes.
        number = np.zeros((beats, tracks), np.int32)
        for row in range(first, last):
            for at in _touched(start_N[row], end_N[row], beat):
                number[at, track_N[row]] = 1
        used = 0
        for at in range(beats):
            for track in range(tracks):
                if number[at, track]:
                    used += 1
                    number[at, track] = used
        place_Ux6, ticks_U, beat_U = np.zeros((used, 6)), np.zeros(used), np.empty(used, np.int64)
        for row in range(first, last):
            for at in _touched(start_N[row], end_N[row], beat):
                u = number[at, track_N[row]] - 1
                ticks = min(end_N[row], (at + 1) * beat) - max(start_N[row], at * beat)
                beat_U[u] = at
                ticks_U[u] += ticks
                for axis in range(6):
                    place_Ux6[u, axis] += place_12x6[pitch_N[row] % 12, axis] * ticks
        for u in range(used):
            for axis in range(6):
                place_Ux6[u, axis] /= ticks_U[u]
        # Summed by how far apart two tracks stand, so that the last digits are those of the columns there once were.
        distance_T = np.zeros(tracks)
        for u in range(used):
            other = u + 1
            while other < used and beat_U[other] == beat_U[u]:
                square = 0.0
                for axis in range(6):
                    square += (place_Ux6[other, axis] - place_Ux6[u, axis]) ** 2
                distance_T[other - u] += np.sqrt(square)
                pairs_P[piece] += 1
                other += 1
        for distance in distance_T:
            distance_P[piece] += distance
        first = last
    return distance_P, pairs_P
