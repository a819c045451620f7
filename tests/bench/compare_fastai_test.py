"""compare_fastai without fastai: a stand-in interpreter shows the alternation, the arithmetic and the refusals."""
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase

SCRIPT = Path(__file__).with_name("compare_fastai")
STAND_IN = """#!/bin/sh
case "$1" in
  -c) echo '{"fastai": "0", "torch": "0", "python": "0"}' ;;
  *) echo "$@" >> "$(dirname "$0")/calls"
     echo '{"tokens_per_s": 10, "docs_per_s": 10, "loss": 5, "mean_tokens": 5, "peak_memory_mb": 1}' ;;
esac
"""


def load():
    loader = importlib.machinery.SourceFileLoader("compare_fastai", str(SCRIPT))
    sys.path.insert(0, str(SCRIPT.parent))  # as when the script itself is started
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare_fastai", loader))
    loader.exec_module(module)
    return module


class CompareFastai(TestCase):
    def compare(self, *arguments):
        return subprocess.run(["python3", "-B", SCRIPT, f"--binary={BINARY}", f"--results={self.dir}", *arguments],
                              capture_output=True, text=True, env={**os.environ, "ULMFIT_TEST_DATA": str(self.dir)})

    def test_ratio_is_the_median_of_block_ratios(self):
        pairs = [({"x": 30}, {"x": 20}), ({"x": 10}, {"x": 5}), ({"x": 30}, {"x": 20})]
        result = load().ratio(pairs, "x")
        self.assertEqual((result["ratio"], result["lowest"], result["highest"]), (1.5, 1.5, 2))

    def test_losses_must_agree_within_noise(self):
        def pairs(ours, theirs):
            return [({"loss": o}, {"loss": t}) for o, t in zip(ours, theirs)]
        self.assertTrue(load().agreement(pairs([5.0, 5.1], [5.1, 5.0]))["agree"])
        self.assertFalse(load().agreement(pairs([5.0, 5.0], [5.5, 5.5]))["agree"])
        self.assertTrue(load().agreement(pairs([5.0, 6.0], [5.5, 6.5]))["agree"])

    def test_smoke_run_against_a_stand_in(self):
        python = self.dir / "python"
        python.write_text(STAND_IN)
        python.chmod(0o755)
        done = self.compare(f"--python={python}", "--smoke", "--only=memory-60k", "--threads=1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("peak memory, MB", done.stdout)
        call = (self.dir / "calls").read_text()
        for part in ("lm", "--streams=8", "--hidden=24", "--threads=1", "--seed=1"):
            self.assertIn(part, call)
        self.assertEqual(list(self.dir.glob("*.json")), [], "a smoke run writes no result")

    def test_refusals(self):
        def refused(text, *arguments):
            done = self.compare(*arguments)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr)
        refused("there is no case lm-large", "--only=lm-large")
        refused("cannot import fastai", "--python=false")
        refused("cannot start", "--python=/nowhere/python")
        python = self.dir / "python"
        python.write_text(STAND_IN)
        python.chmod(0o755)
        refused("wikitext-2/train.txt.xz is needed", f"--python={python}", "--only=lm-small", "--smoke")
        refused("no binary", f"--python={python}", "--binary=/nowhere/ulmfit")

    def test_stored_results_are_readable(self):
        for file in (SCRIPT.parent / "results").glob("*.json"):
            result = json.loads(file.read_text())
            self.assertIn("cpu", result["machine"])
            for case in result.get("cases", {}).values():  # only this script's have cases
                self.assertLess({"date", "versions", "threads"}, set(case))
