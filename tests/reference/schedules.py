#!/usr/bin/env python3
"""Writes schedules.json: learning rate factors and momenta that optim/schedule.h must give.

one_cycle:           fastai 2.8.12, callback/schedule.py (sched_cos, combined_cos, fit_one_cycle), evaluated before each
                     batch at pct = step / steps; plain float64 where fastai has float32 tensors.
slanted_triangular:  Howard & Ruder 2018, section 3.2, with the falling piece (T - t) / (T - cut), in exact fractions.

Run: python3 tests/reference/schedules.py > tests/reference/schedules.json
"""
import json
import math
from fractions import Fraction


def sched_cos(start, end, pos):
    return start + (1 + math.cos(math.pi * (1 - pos))) * (end - start) / 2


def combined_cos(pct, start, middle, end):
    def at(pos):
        if pos >= pct:
            return sched_cos(middle, end, (pos - pct) / (1 - pct))
        return sched_cos(start, middle, pos / pct)
    return at


def one_cycle(steps, pct_start, div, div_final, moms):
    lr = combined_cos(pct_start, 1 / div, 1, 1 / div_final)
    mom = combined_cos(pct_start, *moms)
    return {"steps": steps, "pct_start": pct_start, "div": div, "div_final": div_final, "momentum_high": moms[0],
            "momentum_low": moms[1], "lr": [lr(t / steps) for t in range(steps)],
            "beta1": [mom(t / steps) for t in range(steps)]}


def slanted_triangular(steps, cut_frac, ratio):
    cut = max(1, math.floor(steps * cut_frac))
    factors = []
    for t in range(steps):
        p = Fraction(t, cut) if t < cut else Fraction(steps - t, steps - cut)
        factors.append(float((1 + p * (ratio - 1)) / ratio))
    return {"steps": steps, "cut_frac": float(cut_frac), "ratio": ratio, "lr": factors}


print(json.dumps({
    "one_cycle": [one_cycle(20, 0.25, 25, 1e5, (0.8, 0.7, 0.8)), one_cycle(7, 0.25, 25, 1e5, (0.8, 0.7, 0.8)),
                  one_cycle(12, 0.3, 5, 1e5, (0.95, 0.85, 0.95)), one_cycle(5, 0.99, 25, 1e5, (0.8, 0.7, 0.8)),
                  one_cycle(1, 0.25, 25, 1e5, (0.8, 0.7, 0.8))],
    "slanted_triangular": [slanted_triangular(100, Fraction(1, 10), 32), slanted_triangular(33, Fraction(1, 3), 8),
                           slanted_triangular(33, Fraction(1, 8), 8), slanted_triangular(7, Fraction(1, 10), 32),
                           slanted_triangular(100, Fraction(29, 100), 32)],
}, indent=1))
