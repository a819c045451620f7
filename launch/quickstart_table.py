#!/usr/bin/env python3
"""Prints what the quick start found: launch/quickstart_table.py FOLDER"""
import json
import math
import statistics
import sys
from pathlib import Path

METHODS = [
    ("scratch", "the same classifier from scratch"),
    ("target-only", "target LM only"),
    ("not-tuned", "general LM, not tuned"),
    ("ulmfit", "ULMFiT: general LM, tuned, classifier"),
    ("backward", "ULMFiT, backward"),
    ("ensemble", "ULMFiT, forward + backward"),
]


def load(path):
    """The last JSON line of a file, or nothing."""
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    lines = [line for line in lines if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None


def interval(rate, count):
    """Wilson's 95 % interval of a rate seen in `count` trials."""
    z = 1.96
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return centre - half, centre + half


def row(name, rates, count):
    mean = statistics.mean(rates)
    low, high = interval(mean, count)
    seeds = "" if len(rates) == 1 else "   seeds: " + " ".join(f"{100 * rate:.1f}" for rate in rates)
    print(f"  {name:<40} {100 * mean:5.1f} %   {100 * low:4.1f} - {100 * high:4.1f} %{seeds}")


def print_errors(results):
    baselines = load(results / "baselines.json")
    count = baselines["documents"]
    print(f"\nTest error, {count} texts, 95 % interval of the sample")
    row("majority class", [baselines["majority"]["error_rate"]], count)
    row("word-count naive Bayes", [baselines["naive_bayes"]["error_rate"]], count)
    for key, name in METHODS:
        found = [load(path) for path in sorted(results.glob(f"{key}-seed*.json"))]
        if found:
            row(name, [one["error_rate"] for one in found], count)


def print_stages(folder):
    before, after = (load(folder / f"results/lm-{when}.json") for when in ("before", "after"))
    print(f"\nPerplexity on package descriptions: {before['perplexity']:.1f} before tuning the LM, "
          f"{after['perplexity']:.1f} after")
    print("\nStage                                     minutes   tokens/s")
    for path in sorted((folder / "steps").glob("*.json"), key=lambda p: p.stat().st_mtime):
        if path.stem.startswith("evaluate"):
            continue
        output = load(path)["command"].rsplit("--output ", 1)[-1].split()[0]
        metrics = Path(output) / "metrics.jsonl"
        speeds = []
        if metrics.exists():
            reports = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
            speeds = [report["tokens_per_s"] for report in reports if "tokens_per_s" in report]
        speed = f"{statistics.median(speeds):8.0f}" if speeds else ""
        print(f"  {path.stem:<38} {load(path)['seconds'] / 60:8.1f}   {speed}")


def main():
    folder = Path(sys.argv[1])
    facts = json.loads((folder / "data/facts.json").read_text(encoding="utf-8"))
    print_errors(folder / "results")
    print_stages(folder)
    print("\nText: package archive of " + "; ".join(f"{suite} {date}" for suite, date in facts["index_dates"].items()))
    print(f"      manuals {' '.join(facts['manuals'])}; {facts['unlabelled']} descriptions; "
          f"fingerprint {facts['fingerprint'][:16]}")


if __name__ == "__main__":
    main()
