#!/usr/bin/env python3
"""Prints what the quick start found: launch/quickstart_table.py FOLDER"""
import json
import statistics
import sys
from pathlib import Path

METHODS = [
    ("scratch", "the same classifier from scratch"),
    ("target-only", "LM of package descriptions only"),
    ("untuned", "LM of manuals, not tuned"),
    ("ulmfit", "ULMFiT: LM of manuals, tuned"),
    ("backward", "ULMFiT, backward"),
    ("ensemble", "ULMFiT, forward + backward"),
]


def load(path):
    """The JSON line that a step gave, or nothing."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}


def row(name, one, seeds):
    error = statistics.mean(seeds)
    each = "" if len(seeds) == 1 else "   seeds: " + " ".join(f"{100 * seed:.1f}" for seed in seeds)
    print(f"  {name:<34} {100 * error:5.1f} %   {100 * one['error_low']:4.1f} - {100 * one['error_high']:4.1f} %{each}")


def print_errors(results):
    found = {key: [load(path) for path in sorted(results.glob(f"evaluate-{key}-seed*.json"))] for key, _ in METHODS}
    first = found["ulmfit"][0]
    seeds = "; the interval is that of the first seed" if len(found["ulmfit"]) > 1 else ""
    print(f"\nError on {first['texts']} test texts, {len(first['labels'])} classes; 95 % interval of the sample{seeds}")
    for baseline in first["baselines"]:
        row(baseline["name"], baseline, [baseline["error"]])
    for key, name in METHODS:
        if found[key]:
            row(name, found[key][0], [one["error"] for one in found[key]])


def print_stages(folder):
    before, after = (load(folder / f"results/finetune-{name}.json")["valid_perplexity"] for name in ("untuned", "forward"))
    print(f"\nPerplexity of the LM of manuals on package descriptions: {before:.1f} before tuning, {after:.1f} after")
    print(f"\n{'Step':<34} {'minutes':>7} {'tokens/s':>9}")
    for path in sorted((folder / "steps").glob("*.txt"), key=lambda p: p.stat().st_mtime):
        seconds = int(path.read_text(encoding="utf-8").splitlines()[1])
        speed = load(folder / f"results/{path.stem}.json").get("tokens_per_s") if "evaluate" not in path.stem else None
        print(f"{path.stem:<34} {seconds / 60:7.1f}" + (f" {speed:9.0f}" if speed else ""))


def main():
    folder = Path(sys.argv[1])
    facts = json.loads((folder / "data/facts.json").read_text(encoding="utf-8"))
    if not (folder / "budget").exists():
        sys.exit(f"quickstart_table: {folder} has no file budget: an older version of launch/quickstart made it")
    budget, precision, measured = (folder / "budget").read_text(encoding="utf-8").split()
    print_errors(folder / "results")
    print_stages(folder)
    print(f"\nBudget: {budget}, {precision}" + ("" if measured == "asked" else f" ({int(measured):,} tokens/s were measured)"))
    print("Text: package archive of " + "; ".join(f"{suite} {date}" for suite, date in facts["index_dates"].items()))
    print(f"      manuals {' '.join(facts['manuals'])}; {facts['unlabelled']['all' if budget == 'large' else 'unlabelled']} unlabelled descriptions; "
          f"fingerprint {facts['fingerprint'][:16]}")


if __name__ == "__main__":
    main()
