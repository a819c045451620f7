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
        script = Path(__file__).resolve().parents[1] / "reference/fastai_live.py"
        done = subprocess.run([PYTHON, script, BINARY, DATA, self.dir], env=environment(), capture_output=True, text=True, timeout=1200)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        print(found)
        self.assertEqual(found["rules"]["differ"], 0)
        self.assertEqual(len(found["rules"]["texts"]), 4)
        self.assertGreater(found["words"]["fastai"], 0.99)
        self.assertGreater(found["words"]["fastai1"], 0.985)
        self.assertLessEqual(found["language_model"]["loss"], 1e-5)
        self.assertLessEqual(found["classifier"]["probabilities"], 1e-5)
        self.assertTrue(found["language_model"]["comes_back"] and found["classifier"]["comes_back"])


    def test_a_training_step_with_the_same_masks_and_what_is_stored_of_fastai(self):
        found = json.loads(self.reference("fastai_training.py", "--check"))
        self.assertLessEqual(found["from_stored"], 1e-9)
        self.assertLessEqual(found["from_reference"], 1e-9)
        settings = (Path(__file__).resolve().parents[1] / "reference/fastai_settings.json").read_text()
        self.assertEqual(json.loads(self.reference("fastai_settings.py")), json.loads(settings))

    def test_pandas_h5py_and_safetensors_read_what_is_written(self):
        (self.dir / "reviews.csv").write_bytes(lzma.open(Path(DATA) / "imdb/train.csv.xz").read())
        lines = (self.dir / "reviews.csv").read_text().splitlines()[:200]
        (self.dir / "few.csv").write_text("\n".join(lines) + "\n")
        self.ulmfit("prepare-labelled", "--train=few.csv", "--output=data")
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=run", "--model.embedding=8", "--model.hidden=8",
                    "--train.steps=3", "--log.every=1", "--train.threads=1")
        said = self.ulmfit("predict", "--model=run", stdin="a fine film\n\nanother, \"quoted\"\n").stdout
        (self.dir / "predictions.jsonl").write_text(said)
        program = """
import h5py, json, pandas, safetensors.torch, sys
predictions = pandas.read_json("predictions.jsonl", lines=True)
metrics = pandas.read_json("run/metrics.jsonl", lines=True)
with h5py.File("data/labelled/train-00000.h5") as shard:
    tokens, starts, labels = shard["tokens"][:], shard["document_starts"][:], shard["labels"][:]
words = open("data/labelled/vocab.txt").read().splitlines()
weights = safetensors.torch.load_file("run/stage/model.safetensors")
print(json.dumps({"predictions": len(predictions), "columns": sorted(predictions.columns), "losses": int(metrics["loss"].notna().sum()),
                  "first": words[tokens[starts[1]]], "documents": len(labels), "embedding": list(weights["embedding.weight"].shape), "words": len(words)}))
"""
        done = subprocess.run([PYTHON, "-c", program], cwd=self.dir, env=environment(), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        print(found)
        self.assertEqual((found["predictions"], found["first"]), (3, "xxbos"))
        self.assertGreaterEqual(found["losses"], 2)
        self.assertEqual(found["embedding"], [found["words"], 8])

    def reference(self, script, *arguments):
        place = Path(__file__).resolve().parents[1] / "reference"
        done = subprocess.run([PYTHON, place / script, *arguments], env=environment(), capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


if __name__ == "__main__":
    unittest.main()
