"""Chinese from text to predictions: words cut by ICU, and pieces of a SentencePiece model that spm_train makes of the text."""
import csv
import json
import lzma
import os
import random
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import TestCase

DATA = os.environ.get("ULMFIT_TEST_DATA")
MODEL = ("--model.embedding=32", "--model.hidden=48", "--model.layers=2")


@unittest.skipUnless(DATA, "ULMFIT_TEST_DATA is not set: no Chinese texts")
class Chinese(TestCase):
    def setUp(self):
        super().setUp()
        with lzma.open(Path(DATA) / "zh/wiki_paragraphs_cmrc2018.txt.xz", "rt", encoding="utf8") as source:
            (self.dir / "wiki").write_text("".join(source.readlines()[:200]), encoding="utf8")
        with lzma.open(Path(DATA) / "zh/hotel_reviews_chnsenticorp.csv.xz", "rt", encoding="utf8", newline="") as source:
            rows = [row for row in csv.DictReader(source) if row["review"]]
        random.Random(1).shuffle(rows)
        self.rows = {"train": rows[:900], "test": rows[900:1300]}
        for name, part in self.rows.items():
            with open(self.dir / f"{name}.csv", "w", encoding="utf8", newline="") as out:
                writer = csv.DictWriter(out, ["label", "review"])
                writer.writeheader()
                writer.writerows(part)

    def learns(self, *tokenizer):
        """From a general text to a classifier that errs less than one that always answers the larger class."""
        self.ulmfit("prepare-corpus", "--input=wiki", "--output=corpus", *tokenizer)
        self.ulmfit("pretrain", "--corpus=corpus", "--output=lm", *MODEL, "--train.streams=16", "--train.bptt=30", "--epochs=1", "--threads=1")
        said = self.ulmfit("fit", "--train=train.csv", "--test=test.csv", "--text-column=review", "--from=lm", "--output=run", "--threads=1").stderr
        evaluation = json.loads((self.dir / "run/evaluation/evaluation.json").read_text())
        smaller = sum(row["label"] == "0" for row in self.rows["test"]) / len(self.rows["test"])
        self.assertLess(evaluation["error"], smaller, said)
        text = self.rows["test"][0]["review"].splitlines()[0]
        answer = json.loads(self.ulmfit("predict", "--model=run/classifier", "--format=lines", "--threads=1", stdin=f"{text}\n").stdout)
        self.assertIn(answer["label"], ("0", "1"))
        self.assertLess(answer["unknown_share"], 0.2)
        page = (self.dir / "run/evaluation/report.html").read_text(encoding="utf8")
        self.assertNotIn("\ufffd", page)

    def test_words(self):
        self.learns()
        told = self.ulmfit("tokenize", stdin="酒店的服务很好\n").stdout
        self.assertIn("酒店", told)
        self.assertIn("服务", told)

    def test_pieces(self):
        subprocess.run(["spm_train", f"--input={self.dir}/wiki,{self.dir}/train.csv", f"--model_prefix={self.dir}/zh", "--vocab_size=6000",
                        "--character_coverage=0.9995"], check=True, capture_output=True)
        self.learns("--tokenizer=sentencepiece", "--sentencepiece-model=zh.model")
        generated = self.ulmfit("generate", "--model=lm", "--prompt=中国", "--tokens=20", "--threads=1").stdout
        self.assertTrue(generated.startswith("中国"), generated)


if __name__ == "__main__":
    unittest.main()
