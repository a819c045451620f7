"""What fastai's suggestions of lr_find say of some courses of a loss: tests/reference/range_test.json.

    PYTHON tests/reference/range_test.py        # PYTHON: with fastai, as tests/reference/install_fastai gives it
"""
import json
import math
from pathlib import Path

import torch
from fastai.callback.schedule import minimum, steep, valley


def courses():
    """Losses in closed form, at 100 rates from 1e-7 to 10."""
    n = 100
    x = [-7 + 8 * i / (n - 1) for i in range(n)]
    yield "smooth", [5 - 2 / (1 + math.exp(-3 * (v + 3))) + math.exp(4 * (v + 0.5)) for v in x]
    yield "wavy", [5 - 2 / (1 + math.exp(-2 * (v + 2.5))) + 0.1 * math.sin(9 * v) + math.exp(3 * (v - 0.2)) for v in x]
    yield "falling", [3 - 0.25 * (v + 7) + 0.001 * math.sin(40 * v) for v in x]
    yield "falls at once", [4 / (1 + i) for i in range(n)]
    yield "two valleys", [2 + math.cos(2 * v) + 0.05 * v + math.exp(5 * (v - 0.5)) for v in x]


def main():
    rates = [10 ** (-7 + 8 * i / 99) for i in range(100)]
    cases = []
    for name, losses in courses():
        # The first tenth and the last five do not count, as lr_find has it.
        r, l = (torch.tensor(values, dtype=torch.float64)[10:-5] for values in (rates, losses))
        cases.append({"name": name, "losses": losses, "valley": float(valley(r, l, 100)[0]), "steep": float(steep(r, l, 100)[0]),
                      "minimum": float(minimum(r, l, 100)[0])})
    Path(__file__).with_suffix(".json").write_text(json.dumps({"rates": rates, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
