"""Texts of several labels, or none: prepared, trained, evaluated, predicted; what is for one label alone is refused."""
import csv
import json
import random
import unittest

from tests.support.ulmfit import TestCase, kill_all, labelled_rows, sentences, wait_for, write_csv

RED, BLUE = "<i>red", "blue"
MARKERS = {RED: "crimson", BLUE: "azure"}
MODEL = ["--model.embedding=24", "--model.hidden=24", "--model.layers=1", "--optim.unfreeze=full", "--optim.factor=1", "--lr=0.02",
         "--drop-mult=0.1", "--train.batch-size=16", "--train.threads=1"]


def rows_of_sets(count, seed):
    """(labels, text): each of two labels is there with its marker word, by itself."""
    rng = random.Random(seed)
    rows = []
    for sentence in sentences(count, seed):
        labels = [label for label in MARKERS if rng.random() < 0.4]
        words = sentence.split(" ")
        for label in labels:
            words.insert(rng.randrange(len(words)), MARKERS[label])
        rows.append((labels, " ".join(words)))
    return rows


class Multilabel(TestCase):
    def setUp(self):
        super().setUp()
        self.test = rows_of_sets(80, 3)
        self.write("train.csv", rows_of_sets(520, 2))
        self.write("test.csv", self.test)
        self.ulmfit("prepare-labelled", "--train=train.csv", "--test=test.csv", "--label-delimiter=;", "--output=data", "--vocab.min-count=1", "--valid-share=0.2")

    def write(self, name, rows):
        write_csv(self.dir / name, [(";".join(labels), text) for labels, text in rows])

    def train(self, output, *more, ranks=1, **others):
        return self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", f"--output={output}", *MODEL, *more, ranks=ranks, **others)

    def evaluate(self, *more, **others):
        return self.ulmfit("evaluate", "--data=data/labelled", *more, **others)

    def answers(self, *more):
        lines = "".join(f"{text}\n" for _, text in self.test)
        return [json.loads(line) for line in self.ulmfit("predict", "--train.threads=1", *more, stdin=lines).stdout.splitlines()]

    def thresholds(self, run):
        classifier = json.loads((self.dir / run / "stage/stage.json").read_text())["classifier"]
        return dict(zip(classifier["labels"], classifier["thresholds"]))

    def test_learns_both_labels_and_tells_how_well(self):
        said = self.train("run", "--epochs=8").stderr
        self.assertIn("2 classes, several a text", said)
        valid = self.metrics("run", "valid")[-1]
        self.assertEqual({"loss", "error", "micro_f1", "macro_f1", "documents"}, set(valid) - {"type", "step", "epoch", "split"})
        self.assertLess(valid["error"], 0.1)
        self.assertIn("Texts wholly right", (self.dir / "run/report.html").read_text())

        said = self.evaluate("--model=run", "--report=shown")
        found = json.loads(said.stdout)
        self.assertEqual(found, json.loads((self.dir / "shown/evaluation.json").read_text()))
        self.assertLess(found["error"], 0.08)
        self.assertRegex(said.stderr, r"of decisions wrong, .* of texts wholly right")
        page = (self.dir / "shown/report.html").read_text()
        self.assertIn("Wrong decisions", page)
        self.assertIn("&lt;i&gt;red", page)
        self.assertNotIn(RED, page)

        # What predict answers is what evaluate has counted.
        answers = self.answers("--model=run")
        thresholds = self.thresholds("run")
        for answer in answers:
            chosen = [label for label, p in answer["probabilities"].items() if p >= thresholds[label]]
            self.assertEqual(answer["labels"], sorted(chosen, key=lambda label: -answer["probabilities"][label]))
        given = [set(labels) for labels, _ in self.test]
        predicted = [set(answer["labels"]) for answer in answers]
        self.assertAlmostEqual(found["error"], sum(len(g ^ p) for g, p in zip(given, predicted)) / 160)
        self.assertAlmostEqual(found["subset_accuracy"], sum(g == p for g, p in zip(given, predicted)) / 80)
        hits = sum(len(g & p) for g, p in zip(given, predicted))
        self.assertAlmostEqual(found["micro_f1"], 2 * hits / sum(len(g) + len(p) for g, p in zip(given, predicted)))
        for told in found["classes"]:
            self.assertEqual(told["texts"], sum(told["label"] in g for g in given))
            self.assertAlmostEqual(told["precision"], told["hits"] / max(1, sum(told["label"] in p for p in predicted)))
            self.assertEqual(told["threshold"], thresholds[told["label"]])
        self.assertEqual(json.loads(self.evaluate("--model=run", ranks=2).stdout)["error"], found["error"])

        # Of two classifiers, the means of probabilities and thresholds.
        self.train("other", "--epochs=4", "--seed=2")
        both = json.loads(self.evaluate("--model", "run", "other").stdout)
        others = self.thresholds("other")
        for told in both["classes"]:
            self.assertAlmostEqual(told["threshold"], (thresholds[told["label"]] + others[told["label"]]) / 2)

        self.tables(answers)
        self.other_commands(thresholds)

    def tables(self, answers):
        with open(self.dir / "in.csv", "w", newline="", encoding="utf8") as file:
            csv.writer(file).writerows([["id", "text"], *([i, text] for i, (_, text) in enumerate(self.test)), ["x", ""]])

        def table(*more):
            text = self.ulmfit("predict", "--model=run", "--input=in.csv", "--train.threads=1", *more).stdout
            return list(csv.reader(text.splitlines()))

        rows = table("--explain=1")
        self.assertEqual(rows[0], ["id", "text", "predicted", "unknown_share", f"p:{RED}", f"p:{BLUE}", "words", "error"])
        for row, answer in zip(rows[1:], answers):
            self.assertEqual(row[2], ";".join(answer["labels"]))
            self.assertAlmostEqual(float(row[4]), answer["probabilities"][RED], places=5)
            self.assertLessEqual(len(row[6].split()), len(answer["labels"]))
        self.assertIn("", [row[2] for row in rows[1:-1]])
        self.assertIn({RED, BLUE}, [set(row[2].split(";")) for row in rows[1:-1]])
        self.assertEqual(rows[-1][2:], [""] * 5 + ["the text is empty"])
        self.assertEqual(table("--top=1")[0][2:], ["predicted", "unknown_share", "error"])
        (self.dir / "in.jsonl").write_text('{"text": "Some crimson words"}\n')
        told = json.loads(self.ulmfit("predict", "--model=run", "--input=in.jsonl", "--explain=2", "--top=1").stdout)
        self.assertEqual([list(told), len(told["probabilities"])], [["input", "labels", "probabilities", "unknown_share", "words"], 1])

    def other_commands(self, thresholds):
        self.assertIn("texts with several labels each", self.ulmfit("inspect", "data/labelled").stdout)
        self.assertIn("several labels a text, at or above the thresholds", self.ulmfit("inspect", "run").stdout)
        self.assertIn("several labels a text", (self.dir / "run/stage/CARD.md").read_text())
        self.assertIn("run: train-classifier, finished\n", self.ulmfit("status", "run").stdout)
        self.ulmfit("embed", "--model=run", "--input=in.jsonl", "--output=vectors.npy")
        self.assertIn("MultiCategoryBlock", self.ulmfit("export", "--model=run", "--output=fastai").stderr)
        self.ulmfit("export", "--model=run", "--bundle", "--output=run.zip")
        self.ulmfit("find-lr", "train-classifier", "--from=none", "--data=data/labelled", *MODEL[:3], "--find.steps=20", "--train.threads=1")
        # Another classifier goes on with its encoder and its head.
        said = self.ulmfit("train-classifier", "--from=run", "--data=data/labelled", "--output=more", *MODEL[3:], "--train.steps=2").stderr
        self.assertIn(f"classes that it knew: {RED}, {BLUE}", said)
        self.assertEqual(set(self.thresholds("more")), set(thresholds))
        for option in ("--top-losses=3", "--calibration", "--reject-below=0.5", "--baselines", "--against=run"):
            refused = self.evaluate("--model=run", option, expect=2).stderr
            self.assertIn(f"{option.split('=')[0]} is for texts of one label, and those of data/labelled have several", refused)
        refused = self.ulmfit("predict", "--model=run", "--temperature=1.5", stdin="x\n", expect=2).stderr
        self.assertIn("--temperature is for classifiers of one label a text", refused)
        write_csv(self.dir / "one.csv", [(RED if i % 2 else BLUE, text) for i, (_, text) in enumerate(self.test)])
        self.ulmfit("prepare-labelled", "--train=one.csv", "--vocab=data/lm", "--output=one")
        self.ulmfit("train-classifier", "--from=none", "--data=one/labelled", "--output=of-one", *MODEL, "--train.steps=2")
        refused = self.ulmfit("evaluate", "--model=run", "--data=one/labelled", "--split=valid", expect=3).stderr
        self.assertIn("the texts of one/labelled have one label each, and run/stage gives several: prepare the data with --label-delimiter", refused)
        refused = self.evaluate("--model=of-one", expect=3).stderr
        self.assertIn("may have several labels, and of-one/stage gives one: prepare the data without --label-delimiter", refused)
        for command in (("evaluate", "--data=data/labelled"), ("predict",)):
            refused = self.ulmfit(*command, "--model", "run", "of-one", expect=4).stderr
            self.assertIn("gives several labels a text, and of-one", refused)

    def test_ranks_agree_and_a_killed_run_goes_on(self):
        options = ("--epochs=3", "--log.every=1", "--checkpoint.every=5")
        self.train("whole", *options)
        self.train("two", *options, ranks=2)
        pairs = list(zip(self.metrics("whole"), self.metrics("two")))
        self.assertGreater(len(pairs), 50)
        self.assertLess(max(abs(a["loss"] - b["loss"]) for a, b in pairs), 1e-3)
        one, two = self.metrics("whole", "valid")[-1], self.metrics("two", "valid")[-1]
        for figure in ("loss", "error", "micro_f1"):
            self.assertAlmostEqual(one[figure], two[figure], delta=0.02)
        self.ulmfit("verify-parity", "train-classifier", "--from=none", "--data=data/labelled", *MODEL, "--epochs=3", "--optim.kind=sgd", "--parity.states=5",
                    "--parity.steps=10", ranks=2)
        process = self.start("train-classifier", "--from=none", "--data=data/labelled", "--output=killed", *MODEL, *options)
        self.assertTrue(wait_for(lambda: len(list((self.dir / "killed/checkpoints").glob("step-*"))) >= 2 or process.poll() is not None))
        kill_all(process)
        self.assertFalse((self.dir / "killed/stage").exists(), "it had ended before it was killed: the rest would prove nothing")
        self.train("killed", *options)
        self.assert_same_weights("killed/stage/model.safetensors", "whole/stage/model.safetensors")
        self.assertEqual(self.thresholds("killed"), self.thresholds("whole"))

    def test_without_validation_texts_thresholds_are_a_half(self):
        self.ulmfit("prepare-labelled", "--train=train.csv", "--label-delimiter=;", "--output=none", "--valid-share=0")
        self.ulmfit("train-classifier", "--from=none", "--data=none/labelled", "--output=run", *MODEL, "--train.steps=2")
        self.assertEqual(set(self.thresholds("run").values()), {0.5})
        refused = self.evaluate("--model=run", expect=3).stderr
        self.assertIn("the vocabulary of data/labelled is not that of", refused)

    def test_what_is_for_one_label_is_refused(self):
        for option in ("--train.class-weights=balanced", "--train.label-smoothing=0.1"):
            refused = self.train("run", option, expect=2).stderr
            self.assertIn(f"{option.split('=')[0]} is for texts of one label, and those of data/labelled have several", refused)
        common = ("--train=train.csv", "--test=test.csv", "--output=more")
        for delimiter in ("", "ab", "é", "\n"):
            refused = self.ulmfit("prepare-labelled", *common, f"--label-delimiter={delimiter}", expect=2).stderr
            self.assertIn("expected one ASCII character such as ; or |, or tab, or space", refused)
        prepared = ("prepare-labelled", "--train=train.csv", "--test=test.csv", "--output=data", "--vocab.min-count=1", "--valid-share=0.2")
        self.assertIn("is already prepared", self.ulmfit(*prepared, "--label-delimiter=;").stderr)
        self.assertIn("(different: label_delimiter)", self.ulmfit(*prepared, "--label-delimiter=|", expect=3).stderr)
        refused = self.ulmfit("fit", *common, "--from=none", "--label-delimiter=;", "--folds=3", expect=2).stderr
        self.assertIn("--folds is for texts of one label", refused)
        refused = self.ulmfit("bench", "classifier", "--data=data/labelled", expect=3).stderr
        self.assertIn("data/labelled has several labels a text", refused)

    def test_a_delimiter_that_never_divides_is_doubted(self):
        said = self.ulmfit("prepare-labelled", "--train=train.csv", "--label-delimiter=|", "--output=never", "--valid-share=0").stderr
        self.assertIn("no text has more than one label: is --label-delimiter right?", said)

    def test_other_label_sets_are_other_inputs(self):
        self.train("run", "--train.steps=2")
        said = self.evaluate("--model=run", "--split=valid")
        self.assertIn("the thresholds were chosen on the validation texts", said.stderr)
        sets = self.dir / "data/labelled/label_sets.txt"
        self.assertEqual(sets.read_text(), "\n0\n0 1\n1\n")
        sets.chmod(0o644)
        sets.write_text("\n1\n0 1\n0\n")  # a folder is opened by sizes, which are the same
        refused = self.train("run", "--train.steps=2", expect=2).stderr
        self.assertIn("run was trained on other inputs", refused)
        self.assertIn("label sets: ", refused)

    def test_fit(self):
        (self.dir / "general.txt").write_text("\n".join(sentences(300, seed=5)) + "\n")
        self.ulmfit("prepare-corpus", "--input=general.txt", "--output=corpus")
        self.ulmfit("pretrain", "--corpus=corpus", "--output=general", "--model.embedding=32", "--model.hidden=48", "--model.layers=2", "--train.streams=8")
        done = self.ulmfit("fit", "--train=train.csv", "--test=test.csv", "--label-delimiter=;", "--from=general", "--output=fitted", "--train.threads=1")
        self.assertIn("420 texts of 2 classes, several a text, to train on, 100 to validate, 80 to test", done.stderr)
        pipeline = (self.dir / "fitted/pipeline.cfg").read_text()
        self.assertIn("label-delimiter = ;", pipeline)
        for option in ("baselines", "calibration", "top-losses"):
            self.assertNotIn(option, pipeline)
        evaluation = json.loads((self.dir / "fitted/evaluation/evaluation.json").read_text())
        self.assertEqual((evaluation["split"], evaluation["texts"]), ("test", 80))
        self.assertLess(evaluation["error"], 0.25)

    def test_one_label_folders_are_as_before(self):
        write_csv(self.dir / "one.csv", labelled_rows(60, seed=2))
        self.ulmfit("prepare-labelled", "--train=one.csv", "--output=one")
        corpus = json.loads((self.dir / "one/labelled/corpus.json").read_text())
        self.assertEqual(corpus["kind"], "labelled")
        # As a program that knew of no label delimiter left it.
        for kind in ("lm", "labelled"):
            path = self.dir / "one" / kind / "corpus.json"
            del (older := json.loads(path.read_text()))["provenance"]["request"]["label_delimiter"]
            text = json.dumps(older)
            path.write_text(text)
            self.forget_checksum(path.parent, "corpus.json", text)
        self.assertIn("is already prepared", self.ulmfit("prepare-labelled", "--train=one.csv", "--output=one").stderr)

    def forget_checksum(self, folder, name, text):
        """The manifest fits the changed file in its size, which is all that a corpus is checked by when it is opened."""
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        for entry in manifest["files"]:
            if entry["name"] == name:
                entry["bytes"] = len(text)
        (folder / "MANIFEST.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    unittest.main()
