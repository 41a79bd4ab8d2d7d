"""Numbers of sets of points: what they say of known sets, what they refuse, and what mgeval gets wrong."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from dalsegno.metrics import densities, jackknife, mgeval
from dalsegno.metrics.features import FEATURES, Space, features
from dalsegno.metrics.registry import METRICS, load_metric
from dalsegno.metrics.sets import SetMetric, frechet_distance
from tests.unit.music import chorale

D = len(FEATURES)
SETS = [name for name in METRICS if isinstance(load_metric(name), SetMetric)]
RANDOM = np.random.default_rng(0)
REAL, OTHER = RANDOM.normal(size=(2, 60, D))


def value(name: str, own: np.ndarray, reference: np.ndarray = REAL) -> float:
    metric = load_metric(name)
    assert isinstance(metric, SetMetric)
    return metric.against(reference)(own)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(densities.overlap(densities.of_values(a), densities.of_values(b))[0])


def divergence(a: np.ndarray, b: np.ndarray) -> float:
    return float(densities.divergence(densities.of_values(a), densities.of_values(b))[0])


def test_a_shift_by_ten_deviations_is_nothing_to_mgeval() -> None:
    values = RANDOM.normal(size=50)
    moved = values + 10
    assert mgeval.divergence_compat(values, moved) == pytest.approx(0.0, abs=1e-9), "the peer's"
    assert divergence(values, moved) > 15, "bits: they never meet"
    assert densities.wasserstein(values, moved) == pytest.approx(10.0)
    assert mgeval.divergence_compat(values, 100 * values) == pytest.approx(0.0, abs=1e-9), "nor is scale"
    assert divergence(values, 100 * values) > 1


def test_a_set_and_itself_overlap_by_less_than_one_to_mgeval() -> None:
    theirs = [mgeval.overlap_compat(x, x) for x in np.random.default_rng(0).normal(size=(20, 20))]
    assert np.mean(theirs) == pytest.approx(0.87, abs=0.02), "the peer's, at n = 20"
    assert overlap(REAL[:20, 0], REAL[:20, 0]) == pytest.approx(1.0, abs=1e-12)
    assert divergence(REAL[:20, 0], REAL[:20, 0]) == 0.0


def test_compat_is_the_peers_formula() -> None:
    """mgeval.utils, with SciPy's own density."""
    a, b = RANDOM.gamma(2, 1, 30), RANDOM.normal(2, 1, 40)
    kernels = [stats.gaussian_kde(x) for x in (a, b)]
    grids = [np.linspace(x.min(), x.max(), 1000) for x in (a, b)]
    assert mgeval.divergence_compat(a, b) == stats.entropy(kernels[0](grids[0]), kernels[1](grids[1]))
    for x in (a.min(), 1.3, b.max()):
        assert mgeval._kernel(a)(x) == pytest.approx(kernels[0](x)[0], rel=1e-12)
    x = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()), 100_001)
    fine = np.trapezoid(np.minimum(kernels[0](x), kernels[1](x)), x)
    assert mgeval.overlap_compat(a, b) == pytest.approx(fine, abs=1e-8)


def test_densities_by_hand() -> None:
    """Two normal distributions one deviation apart overlap by 0.617 and diverge by 0.721 bits."""
    a, b = (np.sort(stats.norm.ppf((np.arange(4000) + 0.5) / 4000)) + shift for shift in (0.0, 1.0))
    assert overlap(a, b) == pytest.approx(2 * stats.norm.cdf(-0.5), abs=0.02)
    # The kernels widen both, so that they diverge by a little less.
    assert 0.5 / np.log(2) - 0.025 < divergence(a, b) < 0.5 / np.log(2)
    assert densities.wasserstein(np.array([0.0, 1.0]), np.array([0.0, 3.0])) == pytest.approx(1.0)
    assert densities.wasserstein(a, RANDOM.permutation(b)) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-9)
    constant = np.full(10, 4.0)
    assert overlap(constant, constant) == pytest.approx(1.0)
    assert overlap(constant, constant + 1) == pytest.approx(0.0, abs=1e-6)


def test_densities_are_those_of_the_kernels() -> None:
    """Bin by bin the mean of the kernels' own areas, also of samples far apart, of equal values, and of few among many."""
    random = np.random.default_rng(1)
    samples = [random.gamma(2, 1, 30), random.normal(60, 1, 500), np.full(10, 4.0), np.append(np.zeros(50), 1.0)]
    for a in samples:
        for b in samples:
            least = densities.NARROWEST * max(np.ptp(np.append(a, b)), 1e-6)
            widths = [max(np.std(x, ddof=1) * len(x) ** -0.2, least) for x in (a, b)]
            low = min(x.min() - densities.REACH * width for x, width in zip((a, b), widths, strict=True))
            high = max(x.max() + densities.REACH * width for x, width in zip((a, b), widths, strict=True))
            edges = np.linspace(0, high - low, densities.BINS + 1)
            for x, width, shares in zip(
                (a, b), widths, densities.shares(densities.of_values(a), densities.of_values(b)), strict=True
            ):
                kernels = np.diff(stats.norm.cdf(edges, x[:, None] - low, width), axis=1).mean(axis=0)
                assert shares[0] == pytest.approx(kernels / kernels.sum(), abs=1e-12)


@pytest.mark.parametrize("pieces", [5, 10, 230])
def test_what_is_left_without_some_pieces_sums_up(pieces: int) -> None:
    own, other = np.random.default_rng(2).normal(size=(2, pieces))
    waves = np.array([0.3, 2.0, 40.0])
    left = [own, *(np.delete(own, rows) for rows in jackknife.left_out(pieces))]
    kinds = [
        (densities.of_values(own, True), left),
        (densities.of_distances(own, other[:7], True), [np.abs(one[:, None] - other[:7]).reshape(-1) for one in left]),
        (mgeval._pairs(own, True), [pdist(one[:, None]) for one in left]),
    ]
    for found, expected in kinds:
        assert found.counts_K == pytest.approx([len(one) for one in expected])
        widths = [np.std(one, ddof=1) * len(one) ** -0.2 for one in expected]
        assert found.widths_K == pytest.approx(widths)
        sums = [np.exp(1j * waves * (one[:, None] + 0.5)).sum(axis=0) for one in expected]
        assert found.waves(waves, -0.5) == pytest.approx(np.array(sums).T)


@pytest.mark.parametrize("name", ["overlap_area", "feature_kl"])
def test_densities_without_some_pieces_are_those_of_what_is_left(name: str) -> None:
    """To rounding where the grid is the reference's, which is wider than the set."""
    metric = load_metric(name)
    assert isinstance(metric, SetMetric) and metric.without is not None
    own = np.random.default_rng(2).uniform(-1, 1, (20, 2))
    reference = np.concatenate([REAL[:, :2], [[-5, -5], [5, 5]]])
    compare = metric.against(reference)
    one_by_one = [compare(np.delete(own, rows, axis=0)) for rows in jackknife.left_out(20)]
    assert metric.without(reference)(own) == pytest.approx(one_by_one, abs=1e-10)


def test_frechet_by_hand_and_never_alone() -> None:
    """Equal covariances: the squared distance of the means."""
    assert value("frechet_distance", REAL + 2.0) == pytest.approx(4 * D)
    assert value("frechet_distance", REAL) == pytest.approx(0, abs=1e-9)
    wider = REAL.mean(axis=0) + 3 * (REAL - REAL.mean(axis=0))
    assert value("frechet_distance", wider) == pytest.approx(4 * np.trace(np.cov(REAL, rowvar=False)))
    few = frechet_distance.estimate(OTHER[:23], REAL)
    assert np.isnan([few.value, few.low, few.high]).all() and few.note == "undefined: 23 pieces, needs 24"
    assert "held-out pieces" in frechet_distance.estimate(OTHER, REAL[:10]).note
    told = frechet_distance.estimate(OTHER, REAL, seed=3)
    assert told.low < told.value < told.high and told.n == 60
    null = float(told.note.split(": ")[1].split()[0])
    assert told.note.endswith("(n = 30, seed 3)") and null > told.value, "halves are smaller, so farther apart"


def test_a_frechet_distance_of_few_pieces_is_noise_and_is_refused() -> None:
    """Twice a hundred points of one distribution in 768 dimensions: truly 0, a thousand by the plain formula.

    The formula here: with fewer points than dimensions, the root's trace is a nuclear norm of inner products.
    """
    own, other = np.random.default_rng(0).normal(size=(2, 100, 768))
    a, b = own - own.mean(axis=0), other - other.mean(axis=0)
    gap = own.mean(axis=0) - other.mean(axis=0)
    theirs = gap @ gap + ((a**2).sum() + (b**2).sum() - 2 * np.linalg.svd(a @ b.T, compute_uv=False).sum()) / 99
    assert theirs > 1000 and frechet_distance.against(other)(own) == pytest.approx(theirs, rel=1e-6)
    told = frechet_distance.estimate(own, other)
    assert np.isnan(told.value) and (told.n, told.note) == (100, "undefined: 100 pieces, needs 1536")


def test_fidelity_and_diversity_part() -> None:
    """Copies of one real piece are faithful and not diverse; a wide cloud is the opposite."""
    copies = REAL[:1] + RANDOM.normal(0, 0.01, (40, D))
    wide = RANDOM.normal(0, 8, (40, D))
    for fidelity, diversity in (("precision", "recall"), ("density", "coverage")):
        assert value(fidelity, copies) > 0.9 > 0.4 > value(diversity, copies)
        assert value(fidelity, wide) < 0.2
        assert value(fidelity, OTHER) > 0.6 and value(diversity, OTHER) > 0.6
    assert value("recall", wide) > 0.9
    assert value("density", OTHER) == pytest.approx(1.0, abs=0.35)
    assert value("diversity", copies) < 0.1 < value("diversity", OTHER) < value("diversity", wide)
    assert value("set_similarity", OTHER) == pytest.approx(0, abs=0.05)
    assert value("set_similarity", copies) > 0.99


@pytest.mark.parametrize("name", [name for name in SETS if not name.endswith("_compat")])
def test_real_beats_moved(name: str) -> None:
    real, moved = value(name, OTHER), value(name, OTHER + 3.0)
    if name == "diversity":
        assert moved == pytest.approx(real)
    elif name in ("precision", "recall", "density", "coverage", "overlap_area", "intra_inter_overlap"):
        assert real > moved + 0.2
    else:
        assert moved > real + 0.2


@pytest.mark.parametrize("name", [name for name in SETS if not name.endswith("_compat")])
def test_few_pieces_are_refused_with_a_reason_and_intervals_stay_in_range(name: str) -> None:
    metric = load_metric(name)
    assert isinstance(metric, SetMetric)
    floor, _ = metric.floors(D)
    for n in (0, floor - 1):
        assert metric.estimate(OTHER[:n], REAL).note == f"undefined: {n} pieces, needs {floor}"
        assert metric.drawn(OTHER[:n], REAL, 10, 0).note.startswith("undefined")
    least = metric.estimate(OTHER[:floor], REAL)
    assert np.isfinite(least.value) and np.isnan(least.low)
    whole = metric.estimate(OTHER[: max(8, floor + 2)], REAL)
    assert metric.lowest <= whole.low <= whole.value <= whole.high <= metric.highest
    band = replace(metric, draws=5).drawn(OTHER, REAL, 30, seed=0)
    assert band.low <= band.value <= band.high and band.n == 30


def test_a_piece_as_a_point() -> None:
    train = [chorale(i) for i in range(12)]
    space = Space(train)
    points = space.points(train)
    assert points.shape == (12, D) and points.mean(axis=0) == pytest.approx(np.zeros(D), abs=1e-9)
    assert len(space.points([train[0][:0], train[0]])) == 1, "a piece without notes is nowhere"
    assert np.isnan(features(train[0][:1])).all()
    assert Space([]).points([]).shape == (0, D)
