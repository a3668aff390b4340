# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether something grows, of samples that come and go: the slope of Theil and Sen, and how
little it may be by Kendall's interval (P. K. Sen, "Estimates of the regression coefficient based
on Kendall's tau", 1968). Neither a few samples far off nor a single step make a slope.

  slopes.py    tries it with leaks and noise of its own (TAP)"""
import random

# One in a thousand flat series is said to grow more than nothing, and far fewer more than a bound.
DEVIATIONS = 3.09
LEAST = 30  # samples; fewer say nothing about a slope
# What a program that is used for an hour may gain by each fault: in use, and of the system. The
# latter is the largest that each thread's arena ever needed, with holes, which goes on growing a
# little while nothing is kept; a page each time is more than that.
HEAP_KIB = 0.5
MEMORY_KIB = 4
DESCRIPTORS = 0.04


def all_slopes(values):
    """Between every two of them, in order."""
    n = len(values)
    return sorted((values[j] - values[i]) / (j - i) for i in range(n) for j in range(i + 1, n))


def least_slope(values):
    """What each sample surely is above the one before; the warm-up, half of them, left out. What
    leaks does so all the time: a step, which is in one part only, does not count. None where
    these are too few."""
    kept = values[len(values) // 2:]
    n = len(kept)
    if n < LEAST:
        return None
    slopes = all_slopes(kept)
    width = DEVIATIONS * (n * (n - 1) * (2 * n + 5) / 18) ** 0.5
    least = slopes[max(0, int((len(slopes) - width) / 2))]
    parts = [all_slopes(kept[:n // 2]), all_slopes(kept[n // 2:])]
    return min([least] + [part[len(part) // 2] for part in parts])


def count_found(bound, series, seeds=100):
    """In how many of a hundred series something grows by more than the bound."""
    return sum(least_slope(series(random.Random(seed))) > bound for seed in range(seeds))


def planted(leak, noise, n=400):
    """As an hour on one host has samples at least: a warm-up, a leak, and what comes and goes."""
    return lambda chance: [20000 + min(t, 60) * 50 + leak * t + chance.uniform(-noise, noise)
                           for t in range(n)]


def steps(chance):
    """An arena more, once, and some memory that is given back."""
    at = chance.randrange(200, 400)
    return [20000 + (256 if t > at else 0) + chance.choice([0, 0, 0, 132]) for t in range(400)]


def open_files(every):
    """One is lost in so many faults, beside others that come and go."""
    return lambda chance: [60 + (t // every if every else 0) + chance.randrange(12)
                           for t in range(400)]


def main():
    """Leaks are found, noise is not."""
    cases = [
        ('a-leak-of-1-kib-a-fault-is-found', count_found(HEAP_KIB, planted(1, 100)) > 95),
        ('a-leak-in-noise-of-2-mib-is-found-if-it-is-large',
         count_found(MEMORY_KIB, planted(16, 2048)) > 90),
        ('noise-of-2-mib-is-no-leak', count_found(MEMORY_KIB, planted(0, 2048)) == 0),
        ('noise-of-100-kib-is-no-leak', count_found(HEAP_KIB, planted(0, 100)) == 0),
        ('a-step-is-no-leak', count_found(MEMORY_KIB, steps) == 0),
        ('a-descriptor-in-ten-faults-is-found', count_found(DESCRIPTORS, open_files(10)) == 100),
        ('descriptors-that-come-and-go-are-no-leak',
         count_found(DESCRIPTORS, open_files(0)) == 0),
        ('few-samples-say-nothing', least_slope(list(range(2 * LEAST - 1))) is not None
         and least_slope(list(range(2 * LEAST - 2))) is None),
    ]
    print(f'1..{len(cases)}')
    for number, (name, is_so) in enumerate(cases, start=1):
        print(f'{"ok" if is_so else "not ok"} {number} /slopes/{name}')
    return 0 if all(is_so for _, is_so in cases) else 1


if __name__ == '__main__':
    raise SystemExit(main())
