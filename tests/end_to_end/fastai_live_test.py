"""fastai itself beside ulmfit: the same weights, the same real texts. Needs ULMFIT_FASTAI_PYTHON, a Python with fastai 2.7 or newer,
and ULMFIT_TEST_DATA."""
import json
import lzma
import os
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, environment

PYTHON = os.environ.get("ULMFIT_FASTAI_PYTHON")
DATA = os.environ.get("ULMFIT_TEST_DATA")


@unittest.skipUnless(PYTHON, "ULMFIT_FASTAI_PYTHON names no Python with fastai")
@unittest.skipUnless(DATA, "ULMFIT_TEST_DATA names no data")
class Live(TestCase):
    def test_the_same_numbers_and_a_round_trip(self):
        reviews = self.dir / "reviews.csv"
        reviews.write_bytes(lzma.open(Path(DATA) / "imdb/train.csv.xz").read())
        script = Path(__file__).resolve().parents[1] / "reference/fastai_live.py"
        done = subprocess.run([PYTHON, script, BINARY, reviews, self.dir], env=environment(), capture_output=True, text=True, timeout=1200)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(found)
        self.assertEqual(found["rules"], {"texts": 5000, "differ": 0})
        self.assertLessEqual(found["language_model"]["loss"], 1e-5)
        self.assertLessEqual(found["classifier"]["probabilities"], 1e-5)
        self.assertTrue(found["language_model"]["comes_back"] and found["classifier"]["comes_back"])


if __name__ == "__main__":
    unittest.main()
