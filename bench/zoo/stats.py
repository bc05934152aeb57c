"""What a cell's rounds say."""
import math
import statistics


def geomean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values))


def interval(values, confidence=0.95):
    """Bounds of the median by order statistics: distribution-free, at least `confidence` (about 6 values or more)."""
    ordered = sorted(values)
    n = len(ordered)
    low = 0
    while low + 1 < n - 1 - low and 1 - 2 * binomial_tail(n, low + 1) >= confidence:
        low += 1
    return ordered[low], ordered[n - 1 - low]


def binomial_tail(n, k):
    """P(at most k of n fair coins)."""
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


def ratio(numerators, denominators):
    """Median of the rounds' ratios, and its interval."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    low, high = interval(ratios)
    return {"ratio": statistics.median(ratios), "low": low, "high": high}
