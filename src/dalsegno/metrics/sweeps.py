"""What is told by going through the notes once, in order of time: loops that are compiled.

Columns would have to be sorted by track, by pitch and back for each of these; a loop carries what sounds along. Whoever
asks imports this module within a function: numba takes a quarter of a second to import, and a loop a second to compile
the first time (`docs/adr/0015-loops-that-are-compiled.md`). Sums run in the order of the notes, without `fastmath`.
"""

from __future__ import annotations

import numba
import numpy as np

from dalsegno.data.notes import TICKS_PER_BAR, TICKS_PER_QUARTER
from dalsegno.metrics.pieces import SIXTEENTH, SIXTEENTHS_A_BAR

NEVER = np.iinfo(np.int64).max


@numba.njit(cache=True)
def tracks(piece_N: np.ndarray, track_N: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`counts_P`, `note_N`, `rank_N`; see `dalsegno.metrics.pieces.Tracks`. Notes are sorted by piece."""
    counts_P = np.zeros(pieces, np.int64)
    note_N, rank_N = np.empty(len(piece_N), np.int64), np.empty(len(piece_N), np.int64)
    track_T, rank_T = np.empty(len(piece_N), np.int64), np.empty(len(piece_N), np.int64)
    first = before = 0
    while first < len(piece_N):
        last, count, known = first, 0, 0
        while last < len(piece_N) and piece_N[last] == piece_N[first]:
            # Mostly that of the note before.
            if not count or track_T[known] != track_N[last]:
                known = 0
                while known < count and track_T[known] != track_N[last]:
                    known += 1
                if known == count:
                    track_T[known] = track_N[last]
                    count += 1
            rank_N[last] = known
            last += 1
        for known in range(count):
            rank_T[known] = 0
            for other in range(count):
                rank_T[known] += track_T[other] < track_T[known]
        for row in range(first, last):
            rank_N[row] = rank_T[rank_N[row]]
            note_N[row] = before + rank_N[row]
        counts_P[piece_N[first]] = count
        before += count
        first = last
    return counts_P, note_N, rank_N


@numba.njit(cache=True)
def bars(
    piece_N: np.ndarray, start_N: np.ndarray, pieces: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`counts_P`, `note_N`, `position_N`, `onset_Bx16`; see `dalsegno.metrics.pieces.Bars`."""
    counts_P = np.zeros(pieces, np.int64)
    note_N, position_N = np.empty(len(piece_N), np.int64), np.empty(len(piece_N), np.int64)
    for row in range(len(piece_N)):
        sixteenth = (start_N[row] + SIXTEENTH // 2) // SIXTEENTH
        note_N[row], position_N[row] = sixteenth // SIXTEENTHS_A_BAR, sixteenth % SIXTEENTHS_A_BAR
        counts_P[piece_N[row]] = max(counts_P[piece_N[row]], note_N[row] + 1)
    before_P, bars = np.zeros(pieces, np.int64), 0
    for piece in range(pieces):
        before_P[piece] = bars
        bars += counts_P[piece]
    onset_Bx16 = np.zeros((bars, SIXTEENTHS_A_BAR), np.bool_)
    for row in range(len(piece_N)):
        note_N[row] += before_P[piece_N[row]]
        onset_Bx16[note_N[row], position_N[row]] = True
    return counts_P, note_N, position_N, onset_Bx16


@numba.njit(cache=True)
def windows(
    piece_N: np.ndarray, start_N: np.ndarray, class_N: np.ndarray, widest: int, pieces: int
) -> tuple[np.ndarray, np.ndarray]:
    """`bars_P`, `counts_Bx12` of notes sorted by piece and start; see `dalsegno.metrics.pitch.Windows`.

    Args:
        widest: bars that are kept of a silence.
    """
    bars_P, bar_N = np.zeros(pieces, np.int64), np.empty(len(piece_N), np.int64)
    piece, before, reached = -1, -1, -1
    for row in range(len(piece_N)):
        if piece_N[row] != piece:
            piece, before = piece_N[row], -1
        bar = start_N[row] // TICKS_PER_BAR
        step = min(bar - before, widest)
        before = bar
        bars_P[piece] += step
        reached += step
        bar_N[row] = reached
    counts_Bx12 = np.zeros((reached + 1, 12), np.int64)
    for row in range(len(piece_N)):
        counts_Bx12[bar_N[row], class_N[row]] += 1
    return bars_P, counts_Bx12


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
                table[0, count], table[1, count], table[2, count] = piece, now, time - now
                table[3, count], table[4, count] = pitches, classes
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
def covered(piece_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, ticks: int, pieces: int) -> np.ndarray:
    """`units_P`: units of so many ticks in which a note sounds; notes are sorted by piece and start."""
    units_P = np.zeros(pieces, np.int64)
    piece, reached = -1, 0
    for row in range(len(piece_N)):
        if piece_N[row] != piece:
            piece, reached = piece_N[row], 0
        if end_N[row] > start_N[row]:
            first, after = max(start_N[row] // ticks, reached), -(-end_N[row] // ticks)
            if after > first:
                units_P[piece] += after - first
                reached = after
    return units_P


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
        before_V, now_V, until_V = np.zeros(voices, np.int64), np.zeros(voices, np.int64), np.zeros(voices, np.int64)
        for voice in range(voices):
            now_V[voice] = -1
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
    mean_8 = np.zeros(8)
    for voice in range(voices):
        mean_8[voice] = sum_8[voice] / notes_8[voice]
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
def _touched(start: int, end: int, ticks: int) -> range:
    """The units of so many ticks in which a note sounds."""
    return range(start // ticks, -(-end // ticks) if end > start else 0)


@numba.njit(cache=True)
def track_bars(
    piece_N: np.ndarray, track_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, pitch_N: np.ndarray, pieces: int
) -> tuple[np.ndarray, np.ndarray]:
    """`bars_P`, in which a track sounds, summed over tracks; and `classes_P`, the pitch classes that sound in them.

    Args:
        piece_N, …: notes sorted by piece; tracks are numbered 0, 1, … within each.
        pieces: how many there are.
    """
    bars_P, classes_P = np.zeros(pieces, np.int64), np.zeros(pieces, np.int64)
    first = 0
    while first < len(piece_N):
        piece, last, tracks, bars = _extent(piece_N, track_N, end_N, first, TICKS_PER_BAR)
        sounding = np.zeros((bars, tracks), np.int16)
        for row in range(first, last):
            bit = 1 << pitch_N[row] % 12
            for bar in _touched(start_N[row], end_N[row], TICKS_PER_BAR):
                known = sounding[bar, track_N[row]]
                bars_P[piece] += known == 0
                classes_P[piece] += known & bit == 0
                sounding[bar, track_N[row]] = known | bit
        first = last
    return bars_P, classes_P


@numba.njit(cache=True)
def _extent(
    piece_N: np.ndarray, track_N: np.ndarray, end_N: np.ndarray, first: int, ticks: int
) -> tuple[int, int, int, int]:
    """Of the piece that begins with the row `first`: its number, the row after it, its tracks and units of ticks."""
    piece, last = piece_N[first], first
    tracks = end = 0
    while last < len(piece_N) and piece_N[last] == piece:
        tracks, end = max(tracks, track_N[last] + 1), max(end, end_N[last])
        last += 1
    return piece, last, tracks, -(-end // ticks)


@numba.njit(cache=True)
def tonal_distances(
    piece_N: np.ndarray,
    track_N: np.ndarray,
    start_N: np.ndarray,
    end_N: np.ndarray,
    pitch_N: np.ndarray,
    place_12x6: np.ndarray,
    pieces: int,
) -> tuple[np.ndarray, np.ndarray]:
    """`distance_P`, summed over the pairs of tracks that sound in one beat, and `pairs_P`.

    Args:
        piece_N, …: notes sorted by piece; tracks are numbered 0, 1, … within each.
        place_12x6: place of each pitch class in tonal space.
        pieces: how many there are.
    """
    distance_P, pairs_P = np.zeros(pieces), np.zeros(pieces, np.int64)
    first = 0
    while first < len(piece_N):
        piece, last, tracks, beats = _extent(piece_N, track_N, end_N, first, TICKS_PER_QUARTER)
        # Which tracks sound in which beats, numbered from 1 in order of beats, so that silence costs four bytes.
        number = np.zeros((beats, tracks), np.int32)
        for row in range(first, last):
            for at in _touched(start_N[row], end_N[row], TICKS_PER_QUARTER):
                number[at, track_N[row]] = 1
        used = 0
        for at in range(beats):
            for track in range(tracks):
                if number[at, track]:
                    used += 1
                    number[at, track] = used
        place_Ux6, ticks_U, beat_U = np.zeros((used, 6)), np.zeros(used), np.empty(used, np.int64)
        for row in range(first, last):
            for at in _touched(start_N[row], end_N[row], TICKS_PER_QUARTER):
                u = number[at, track_N[row]] - 1
                begin = at * TICKS_PER_QUARTER
                ticks = min(end_N[row], begin + TICKS_PER_QUARTER) - max(start_N[row], begin)
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


@numba.njit(cache=True)
def melodic_steps(
    piece_N: np.ndarray, track_N: np.ndarray, start_N: np.ndarray, pitch_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`piece_I`, `semitones_I`: from each onset of a track to its next, of a chord the highest note.

    Args:
        piece_N, …: notes sorted by piece, track, start and pitch.
    """
    piece_I, semitones_I = np.empty(len(piece_N), np.int64), np.empty(len(piece_N), np.int64)
    count, before = 0, -1
    for row in range(len(piece_N)):
        after = row + 1
        goes_on = after < len(piece_N) and piece_N[after] == piece_N[row] and track_N[after] == track_N[row]
        if goes_on and start_N[after] == start_N[row]:
            continue
        if before >= 0:
            piece_I[count], semitones_I[count] = piece_N[row], pitch_N[row] - pitch_N[before]
            count += 1
        before = row if goes_on else -1
    return piece_I[:count], semitones_I[:count]


@numba.njit(cache=True)
def in_score_order(piece_N: np.ndarray, track_N: np.ndarray, start_N: np.ndarray, pitch_N: np.ndarray) -> bool:
    """Whether notes sorted by piece are sorted by track, start and pitch, too."""
    for row in range(1, len(piece_N)):
        if piece_N[row] != piece_N[row - 1] or track_N[row] > track_N[row - 1]:
            continue
        if track_N[row] < track_N[row - 1] or start_N[row] < start_N[row - 1]:
            return False
        if start_N[row] == start_N[row - 1] and pitch_N[row] < pitch_N[row - 1]:
            return False
    return True


@numba.njit(cache=True)
def text(piece_N: np.ndarray, start_N: np.ndarray, end_N: np.ndarray, pitch_N: np.ndarray) -> np.ndarray:
    """`bytes_Nx3`: sixteenths since the note before, semitones from it (128 is none), sixteenths that a note lasts.

    Args:
        piece_N, …: notes sorted by piece and time.
    """
    bytes_Nx3 = np.empty((len(piece_N), 3), np.uint8)
    for row in range(len(piece_N)):
        wait = step = 0
        if row and piece_N[row] == piece_N[row - 1]:
            wait, step = start_N[row] - start_N[row - 1], pitch_N[row] - pitch_N[row - 1]
        bytes_Nx3[row, 0] = min((wait + SIXTEENTH // 2) // SIXTEENTH, 255)
        bytes_Nx3[row, 1] = step + 128
        bytes_Nx3[row, 2] = min((end_N[row] - start_N[row] + SIXTEENTH // 2) // SIXTEENTH, 255)
    return bytes_Nx3
