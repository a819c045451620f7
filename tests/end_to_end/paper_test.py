"""The paper's data sets and settings: what data_prep/recipes/paper_data lays out, and what configs/paper/*.cfg train on it."""
import csv
import io
import itertools
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import unittest
import zipfile
from pathlib import Path

from tests.support.ulmfit import TestCase, labelled_rows, sentences

ROOT = Path(__file__).resolve().parents[2]
DATA = os.environ.get("ULMFIT_TEST_DATA")

# Howard & Ruder 2018, section 4.1 ("Hyperparameters"), and the rates of 3.2 and 3.3.
DROPOUTS = {"dropout.output": 0.4, "dropout.hidden": 0.3, "dropout.input": 0.4, "dropout.embedding": 0.05, "dropout.weight": 0.5, "drop-mult": 1}
ADAM = {"optim.beta1": 0.7, "optim.beta2": 0.99}
TRIANGLE = {"schedule.cut-frac": 0.1, "schedule.ratio": 32, "optim.factor": 2.6}
PAPER = {
    "finetune-lm": {"lr": 0.004, "train.streams": 64, "train.bptt": 70, **DROPOUTS, **ADAM, **TRIANGLE},
    "train-classifier": {"lr": 0.01, "train.batch-size": 64, "bpt3c.window": 70, "head.hidden": 50, **DROPOUTS, **ADAM, **TRIANGLE},
    "pretrain": {"model.embedding": 400, "model.hidden": 1150, "model.layers": 3, "train.streams": 64, "train.bptt": 70, **DROPOUTS, **ADAM},
}


def sections(config):
    """[(name, [(key, value), ...]), ...] of a pipeline file."""
    found = []
    for line in (ROOT / "configs/paper" / config).read_text().splitlines():
        if line.startswith("["):
            found.append((line.strip("[]"), []))
        elif line and not line.startswith("#"):
            key, value = line.split(" = ")
            found[-1][1].append((key, value))
    return found


class Paper(TestCase):
    def recipe(self, *arguments, expect=0):
        done = subprocess.run([sys.executable, "-B", ROOT / "data_prep/recipes/paper_data", *arguments], cwd=self.dir, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stderr

    def tgz(self, files, name="archive.tgz"):
        with tarfile.open(self.dir / name, "w:gz") as archive:
            for path, text in files.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        return name

    def archive_of(self, name, count=300):
        """A small set in the form in which `name` is published."""
        rows = {"train": labelled_rows(count, seed=2), "test": labelled_rows(60, seed=3)}
        classes = {"red": 1, "green": 2, "blue": 3}
        if name == "imdb":
            files = {"aclImdb/README": "x", "aclImdb/train/labeledBow.feat": "0", "aclImdb/train/urls_pos.txt": "http"}
            for part, texts in rows.items():
                files |= {f"aclImdb/{part}/{'pos' if label == 'red' else 'neg'}/{i}_7.txt": text for i, (label, text) in enumerate(texts)}
            files |= {f"aclImdb/train/unsup/{i}_0.txt": text for i, text in enumerate(sentences(200, seed=7))}
            return [self.tgz(files)]
        if name == "trec-6":
            for file, part in (("train_5500.label", "train"), ("TREC_10.label", "test")):
                (self.dir / file).write_bytes("".join(f"{label.upper()}:fine {text}\n" for label, text in rows[part]).encode() + b"RED:fine caf\xe9 crimson ?\n")
            return ["train_5500.label", "TREC_10.label"]
        if name == "wikitext-103":
            with zipfile.ZipFile(self.dir / "w.zip", "w") as archive:
                for part, seed, articles in (("train", 5, 40), ("valid", 6, 4), ("test", 8, 4)):
                    lines = sentences(25 * articles, seed=seed)
                    text = "".join(f" \n = Title {a} = \n \n " + " \n ".join(lines[25 * a:25 * a + 25]) + " \n" for a in range(articles))
                    archive.writestr(f"wikitext-103/wiki.{part}.tokens", text)
            return ["w.zip"]
        columns = (lambda text: [text[:20], text[20:]]) if name in ("ag", "dbpedia") else (lambda text: [text + "\\n"])
        tables = {f"x_csv/{part}.csv": "".join(f'"{classes[label]}",' + ",".join(f'"{c}"' for c in columns(text)) + "\n" for label, text in texts)
                  for part, texts in rows.items()}
        return [self.tgz({"x_csv/readme.txt": "x", **tables})]


class Recipes(Paper):
    def test_layouts(self):
        said = self.recipe("imdb", "--archive", *self.archive_of("imdb"))
        self.assertIn("imdb has 25000 texts in train, this one 300", said)
        self.assertEqual(sorted(p.name for p in (self.dir / "data/imdb").iterdir()), ["SOURCE.json", "test", "train", "unsup"])
        self.assertEqual(sorted(p.name for p in (self.dir / "data/imdb/train").iterdir()), ["neg", "pos"])
        source = json.loads((self.dir / "data/imdb/SOURCE.json").read_text())
        self.assertEqual(source["texts"], {"train": 300, "test": 60, "unsup": 200})
        self.assertRegex(source["sha256"]["archive.tgz"], "^[0-9a-f]{64}$")
        self.assertIn("nothing to do", self.recipe("imdb"))
        self.recipe("trec-6", "--dir", "other", "--archive", *self.archive_of("trec-6"))
        self.assertTrue((self.dir / "other/trec-6/train.trec").read_text(encoding="utf8").endswith("RED:fine café crimson ?\n"))
        self.recipe("wikitext-103", "--archive", *self.archive_of("wikitext-103"))
        self.assertIn(" = Title 3 = ", (self.dir / "data/wikitext-103/valid.txt").read_text())

    def test_what_cannot_be_leaves_nothing(self):
        whole = self.dir / self.archive_of("ag")[0]
        self.assertIn("2 files, 1 were given", self.recipe("trec-6", "--archive", whole.name, expect=1))
        self.assertIn("has no train, test, unsup of imdb", self.recipe("imdb", "--archive", whole.name, expect=1))
        self.assertIn("no such file", self.recipe("ag", "--archive", "nothing.tgz", expect=1))
        (self.dir / "cut.tgz").write_bytes(whole.read_bytes()[:-2000])
        self.assertIn("fetch it again", self.recipe("ag", "--archive", "cut.tgz", expect=1))
        evil = self.tgz({"a/../../../train.csv": "1,x\n", "test.csv": "1,y\n"}, "evil.tgz")
        self.recipe("ag", "--archive", evil)
        self.assertFalse((self.dir.parent / "train.csv").exists())
        self.assertEqual([p.name for p in (self.dir / "data").iterdir()], ["ag"])

    def test_another_name_is_refused_with_the_nearest(self):
        self.assertIn("did you mean dbpedia?", self.recipe("dbpdia", expect=2))

    @unittest.skipUnless(DATA, "ULMFIT_TEST_DATA is not set: no published files to convert")
    def test_published_reviews_and_articles(self):
        def slice_of(part, count):
            with lzma.open(Path(DATA, "imdb", f"{part}.csv.xz"), "rt", encoding="utf8", newline="") as file:
                return list(itertools.islice(csv.DictReader(file), count))

        files = {f"aclImdb/{part}/{'pos' if row['label'] == '1' else 'neg'}/{i}_7.txt": row["text"] for part in ("train", "test")
                 for i, row in enumerate(slice_of(part, 300))}
        files |= {f"aclImdb/train/unsup/{i}_0.txt": row["text"] for i, row in enumerate(slice_of("unsup", 100))}
        self.assertIn("300 in train, 300 in test, 100 in unsup", self.recipe("imdb", "--archive", self.tgz(files, "reviews.tgz")))
        self.ulmfit("prepare-labelled", "--train=data/imdb/train", "--test=data/imdb/test", "--unlabelled=data/imdb/unsup", "--unlabelled-format=files", "--output=reviews")
        splits = json.loads((self.dir / "reviews/report.json").read_text())["splits"]
        self.assertEqual((splits["train"]["documents"] + splits["valid"]["documents"], splits["test"]["documents"], splits["unlabelled"]["documents"]), (300, 300, 100))
        with zipfile.ZipFile(self.dir / "articles.zip", "w") as archive:
            for part in ("train", "valid", "test"):
                archive.writestr(f"wikitext-103/wiki.{part}.tokens", lzma.decompress(Path(DATA, "wikitext-2", f"{part}.txt.xz").read_bytes()))
        self.assertRegex(self.recipe("wikitext-103", "--archive", "articles.zip"), "36718 in train, 3760 in valid, 4358 in test")
        # WikiText-2 as AWD-LSTM reads it, and its own settings.
        self.ulmfit("prepare-corpus", "--input=data/wikitext-103/train.txt", "--valid-input=data/wikitext-103/valid.txt", "--tokenizer=whitespace", "--rules=none",
                    "--format=wikitext", "--vocab.min-count=1", "--vocab.size=40000", "--output=wikitext-2")
        said = self.ulmfit("pretrain", f"--config={ROOT}/configs/wikitext-2-awd.cfg", "--corpus=wikitext-2", "--output=awd", "--dry-run", "--threads=1").stderr
        self.assertRegex(said, r"trains rnn0 \(30\), .*embedding\+decoder \(30\); frozen: none")

    @unittest.skipUnless(DATA, "ULMFIT_TEST_DATA is not set: no published files to convert")
    def test_published_files(self):
        for file in ("train_5500.label", "TREC_10.label"):
            (self.dir / file).write_bytes(lzma.decompress(Path(DATA, "trec", f"{file}.xz").read_bytes()))
        said = self.recipe("trec-6", "--archive", "train_5500.label", "TREC_10.label")
        self.assertIn("5452 in train, 500 in test", said)
        self.assertNotIn("this one", said)
        tables = {f"ag_news_csv/{part}.csv": lzma.decompress(Path(DATA, "ag_news", f"{file}.csv.xz").read_bytes()).decode()
                  for part, file in (("train", "train_10k"), ("test", "test"))}
        self.assertIn("7600 in test", self.recipe("ag", "--archive", self.tgz(tables)))
        for name, counts in (("trec-6", (4907, 545, 500)), ("ag", (9000, 1000, 7600))):
            values = [v for v in dict(sections(f"{name}.cfg"))["prepare-labelled"] if not v[0].startswith("vocab")]
            self.ulmfit("prepare-labelled", *(f"--{key}={value}" for key, value in values))
            report = json.loads((self.dir / f"runs/{name}/data/report.json").read_text())["splits"]
            for part, count in zip(("train", "valid", "test"), counts):
                self.assertAlmostEqual(report[part]["documents"], count, delta=6)


class Configs(Paper):
    def stage(self, section, *more):
        name, values = section
        return self.ulmfit(name, *(f"--{key}={value}" for key, value in values if not any(m.startswith(f"--{key}=") for m in more)), *more)

    def test_the_settings_are_the_papers(self):
        files = sorted(path.name for path in (ROOT / "configs/paper").glob("*.cfg"))
        self.assertEqual(files, [f"{name}.cfg" for name in ("ag", "dbpedia", "imdb", "trec-6", "wikitext-103", "yelp-bi", "yelp-full")])
        for file in files:
            for name, values in sections(file):
                given = dict(values)
                for key, value in PAPER.get(name, {}).items():
                    self.assertEqual(float(given[key]), value, f"{file}, [{name}] {key}")
                if name == "train-classifier":
                    self.assertEqual((given["optim.unfreeze"], given["schedule.kind"]), ("paper", "slanted-triangular"), file)
                if name == "finetune-lm":
                    self.assertEqual(given["schedule.kind"], "slanted-triangular", file)

    def general_models(self):
        """Small ones where the files expect those of WikiText-103; by that file, but for their size."""
        self.recipe("wikitext-103", "--archive", *self.archive_of("wikitext-103"))
        parts = sections("wikitext-103.cfg")
        self.stage(parts[0])
        said = self.stage(parts[1], "--dry-run", "--epochs=2")
        self.assertRegex(said.stderr, r"AWD-LSTM 400/1150 x 3")
        for part in parts[1:3]:
            self.stage(part, "--model.embedding=8", "--model.hidden=8", "--train.steps=2", "--threads=1")

    def test_each_trains_on_data_of_its_form(self):
        self.general_models()
        for name in ("imdb", "ag", "trec-6", "yelp-bi", "yelp-full", "dbpedia"):
            self.recipe(name, "--archive", *self.archive_of(name))
            parts = sections(f"{name}.cfg")
            ways = ("forward", "backward") if name == "imdb" else ("forward",)
            self.stage(parts[0])
            for section in parts[1:5]:
                if dict(section[1])["output"].endswith(ways):
                    self.assertIn("phase 1", self.stage(section, "--dry-run", "--threads=1").stderr)
                    self.stage(section, "--train.steps=1", "--threads=1")
            if ways == ("forward", "backward"):
                self.assertEqual(len(json.loads(self.stage(parts[5]).stdout)["models"]), 2)
        lm = ("finetune-lm", "--from=models/wikitext-103-forward", "--corpus=runs/ag/data/lm", "--output=x", "--dry-run", "--threads=1")
        fitlam = self.ulmfit(*lm, f"--config={ROOT}/configs/fitlam-lm.cfg").stderr
        self.assertRegex(fitlam, r"phase 1, epoch 1: trains embedding[^;]* \(0\.004\); frozen: rnn0, rnn1, rnn2")
        self.assertRegex(fitlam, r"phase 4, epoch 4: trains rnn0 \(0\.000108\), rnn1 \(0\.00036\), rnn2 \(0\.0012\)")
        fitlam = self.ulmfit(*lm, f"--config={ROOT}/configs/fitlam-lm-all.cfg").stderr
        self.assertRegex(fitlam, r"phase 1, epoch 1: trains rnn0 \(0\.000108\), .*; frozen: none")
        released = self.ulmfit(*lm, f"--config={ROOT}/configs/released-lm.cfg").stderr
        self.assertRegex(released, r"rnn0 \(0\.000666667\), rnn1 \(0\.00133333\), rnn2 \(0\.004\), embedding[^ ]* \(0\.002\)")
        said = self.ulmfit("train-classifier", f"--config={ROOT}/configs/released-classifier.cfg", "--from=runs/ag/lm-forward", "--data=runs/ag/data/labelled",
                           "--output=x", "--dry-run", "--threads=1").stderr
        self.assertTrue(re.search(r"phase 2, epoch 2: trains rnn2 \(0\.00384615\), head \(0\.01\)", said), said)


if __name__ == "__main__":
    unittest.main()
