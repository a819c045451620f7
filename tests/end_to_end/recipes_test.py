"""Recipes of training by their names: plans, schedules, groups, class weights."""
import json
import unittest

from tests.support.ulmfit import TestCase, labelled_rows, read_safetensors, sentences, write_csv

SMALL = ("--from=none", "--data=data/labelled", "--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--batch-size=16", "--threads=1")


class Recipes(TestCase):
    def setUp(self):
        super().setUp()
        rows = labelled_rows(240, seed=2)
        # One class in ten.
        rare = [row for row in rows if row[0] == "red"][:12]
        write_csv(self.dir / "train.csv", rare + [row for row in rows if row[0] != "red"])
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab.min-count=1")

    def train(self, *arguments, output="run", expect=0):
        return self.ulmfit("train-classifier", *SMALL, f"--output={output}", *arguments, expect=expect)

    def test_the_plan_tells_which_groups_train_when(self):
        said = self.train("--optim.unfreeze=chain-thaw", "--epochs=6", "--optim.group-factors=0.1,0.1,0.1,1", "--lr=0.001", "--dry-run").stderr
        self.assertIn("phase 1, epoch 1: trains head (0.001); frozen: embedding, rnn0, rnn1", said)
        self.assertIn("phase 2, epoch 2: trains embedding (0.0001); frozen: rnn0, rnn1, head", said)
        self.assertIn("phase 5, epochs 5-6: trains embedding (0.0001), rnn0 (0.0001), rnn1 (0.0001), head (0.001); frozen: none", said)
        said = self.train("--optim.unfreeze=bottom-up", "--epochs=4", "--dry-run").stderr
        self.assertIn("phase 4, epoch 4: trains head (0.01); frozen: embedding, rnn0, rnn1", said)

    def test_named_groups_train_and_no_others(self):
        self.train("--epochs=1", "--optim.unfreeze=full", "--train.steps=1", "--lr=0", "--optim.weight-decay=0", output="start")
        self.train("--epochs=2", "--optim.unfreeze=full", "--train-groups", "rnn1", "head", "--schedule.kind=cosine", output="part")
        start, part = (read_safetensors(self.dir / run / "stage/model.safetensors") for run in ("start", "part"))
        for name in start:
            if "running" not in name:
                frozen = name.startswith(("embedding.", "rnn.0."))
                (self.assertEqual if frozen else self.assertNotEqual)(start[name], part[name], name)
        refused = self.train("--optim.train-groups=rnn7", output="bad", expect=2)
        self.assertIn("there is no layer group 'rnn7' to train; this model has embedding, rnn0, rnn1, head (did you mean rnn0?)", refused.stderr)
        for plan, meant in (("papper", "paper"), ("chainthaw", "chain-thaw"), ("ful", "full")):
            self.assertIn(f"there is no such plan (did you mean {meant}?); expected full, last, ", self.train(f"--optim.unfreeze={plan}", output="bad", expect=2).stderr)
        self.assertIn("did you mean balanced?", self.train("--train.class-weights=balancd", output="bad", expect=2).stderr)
        self.assertIn("0 means no hidden layer, and stands alone", self.train("--head.hidden", "20", "0", output="bad", expect=2).stderr)
        refused = self.train("--optim.unfreeze=paper", "--optim.train-groups=rnn0", output="bad", expect=2)
        self.assertIn("phase 1 of the unfreezing plan trains none of the groups that may train", refused.stderr)
        self.assertIn("did you mean cosine?", self.train("--schedule.kind=cosin", output="bad", expect=2).stderr)

    def test_a_learning_rate_is_looked_for(self):
        small = [a for a in SMALL if not a.startswith("--data")]
        found = self.ulmfit("find-lr", "train-classifier", *SMALL, "--report=page", "--find.steps=60", "--optim.factor=1")
        told = json.loads(found.stdout)
        for name in ("valley", "steepest", "tenth_of_lowest"):
            self.assertGreater(told[name], 1e-7)
            self.assertLess(told[name], 10)
        self.assertIn("half way down the longest descent", found.stderr)
        page = (self.dir / "page/report.html").read_text()
        self.assertEqual(page.count("<figure"), 1)
        self.assertIn("suggestion 1", page)
        self.assertIn(">3</", page)
        self.assertEqual(json.loads(self.ulmfit("find-lr", "train-classifier", *SMALL, "--find.steps=60", "--optim.factor=1").stdout), told)
        said = self.ulmfit("find-lr", "train-classifier", *SMALL, "--find.steps=60", "--groups=last")
        self.assertNotEqual(json.loads(said.stdout), told)
        # The rates are --optim.lr's, whatever the groups' factors: no group that trains has the highest one here.
        told = json.loads(self.ulmfit("find-lr", "train-classifier", *SMALL, "--find.steps=20", "--find.highest=1e-5", "--find.lowest=1e-7",
                                      "--optim.train-groups=rnn0", "--optim.factor=10").stdout)
        self.assertEqual(told["steps"], 20)
        self.assertGreater(told["valley"], 1.2e-7)
        # And under a rule what the same options would multiply.
        rates = ("--find.highest=0.25", "--find.lowest=0.0009765625")
        ruled = json.loads(self.ulmfit("find-lr", "train-classifier", *SMALL, "--find.steps=60", "--optim.factor=1", "--optim.lr-rule=linear",
                                       "--optim.lr-batch=4", *rates).stdout)
        plain = json.loads(self.ulmfit("find-lr", "train-classifier", *SMALL, "--find.steps=60", "--optim.factor=1", "--find.highest=1",
                                       "--find.lowest=0.00390625").stdout)
        self.assertEqual(ruled["steps"], plain["steps"])
        for name in ("valley", "steepest", "tenth_of_lowest"):
            self.assertAlmostEqual(4 * ruled[name] / plain[name], 1, places=6)
        for option in ("--dry-run", "--restart", "--extend"):
            self.assertIn(f"leave {option} out", self.ulmfit("find-lr", "train-classifier", *SMALL, option, expect=2).stderr)
        lm = [a for a in small if not a.startswith("--batch-size")]
        told = json.loads(self.ulmfit("find-lr", "finetune-lm", "--corpus=data/lm", "--train.streams=8", "--train.bptt=10", *lm, ranks=2).stdout)
        self.assertEqual(told["find_lr"], "finetune-lm")
        self.assertEqual([p.name for p in self.dir.iterdir() if p.name == "run"], [])
        for arguments, message in ((("--find.lowest=1", "--find.highest=0.1"), "expected more than --find.lowest=1"), (("--find.steps=3",), "expected at least 20")):
            self.assertIn(message, self.ulmfit("find-lr", "train-classifier", *SMALL, *arguments, expect=2).stderr)
        self.assertIn("find-lr knows no stage 'trian-classifier'; did you mean train-classifier?",
                      self.ulmfit("find-lr", "trian-classifier", *SMALL, expect=2).stderr)

    def test_averaged_sgd_is_for_language_models_by_sgd_with_validation_texts(self):
        self.assertIn("batch norm", self.train("--optim.nt-asgd=5", "--optim.kind=sgd", output="bad", expect=2).stderr)
        lm = ("finetune-lm", "--from=none", "--corpus=data/lm", "--output=bad", *[a for a in SMALL if "data" not in a and "batch" not in a and "from" not in a])
        self.assertIn("give --optim.kind sgd", self.ulmfit(*lm, "--train.streams=4", "--optim.nt-asgd=5", expect=2).stderr)
        self.ulmfit("prepare-corpus", "--input=train.csv", "--output=corpus", "--valid-share=0")
        lm = ["--corpus=corpus" if a.startswith("--corpus") else a for a in lm]
        self.assertIn("has no validation text", self.ulmfit(*lm, "--train.streams=4", "--optim.nt-asgd=5", "--optim.kind=sgd", expect=2).stderr)

    def test_a_classifier_of_other_texts_is_gone_on_from(self):
        self.train("--epochs=6", "--optim.unfreeze=full", "--optim.factor=1", "--lr=0.02", output="first")
        rows = [("green" if label == "green" else "other", text) for label, text in labelled_rows(120, seed=9)]
        write_csv(self.dir / "second.csv", rows)
        self.ulmfit("prepare-labelled", "--train=second.csv", "--vocab=first", "--output=second")
        still = ("--from=first", "--data=second/labelled", "--batch-size=16", "--threads=1", "--train.steps=1", "--epochs=1", "--optim.unfreeze=full", "--lr=0",
                 "--optim.weight-decay=0")
        said = self.ulmfit("train-classifier", *still, "--output=after").stderr
        self.assertIn("head: taken over; classes that it knew: green; that begin anew: other", said)
        first, after = (read_safetensors(self.dir / run / "stage/model.safetensors") for run in ("first", "after"))
        for name in after:
            if name == "head.1.linear.weight":
                width = len(after[name]) // 2
                self.assertEqual(after[name][:width], first[name][width:2 * width])  # blue, green, red before
            elif "running" not in name:
                self.assertEqual(after[name], first[name], name)
        lineage = json.loads((self.dir / "after/stage/stage.json").read_text())["lineage"]
        self.assertEqual([step["command"] for step in lineage], ["train-classifier"] * 2)
        said = self.ulmfit("train-classifier", *still, "--head.hidden=7", "--output=narrow").stderr
        self.assertIn("head: 0 of 2 layers taken over; the others have other widths (--head.hidden)", said)
        self.ulmfit("prepare-labelled", "--train=second.csv", "--output=foreign")
        refused = self.ulmfit("train-classifier", "--from=first", "--data=foreign/labelled", "--output=bad", expect=4).stderr
        self.assertIn("prepare the data with --vocab first", refused)
        two = self.ulmfit("train-classifier", *still[:-2], "--lr=0.01", "--output=two", ranks=2)
        self.assertIn("classes that it knew: green", two.stderr)

    def test_class_weights(self):
        said = self.train("--epochs=1", "--optim.unfreeze=full", "--train.class-weights=balanced", "--dry-run").stderr
        self.assertRegex(said, r"class weights: blue 0\.\d+, green 0\.\d+, red [3-9]\.?\d*\n")
        called_red = {}
        for name, more in (("plain", ()), ("heavy", ("--train.class-weights=red=20",))):
            self.train("--epochs=6", "--optim.unfreeze=full", "--lr=0.01", "--drop-mult=0", *more, output=name)
            self.ulmfit("evaluate", f"--model={name}", "--data=data/labelled", "--split=train", f"--report={name}-told", "--threads=1")
            told = json.loads((self.dir / f"{name}-told/evaluation.json").read_text())
            called_red[name] = sum(row[2] for row in told["confusion"])
        self.assertGreaterEqual(called_red["heavy"], called_red["plain"])
        for text, message in (("purple=2", "there is no label 'purple'"), ("red", "expected LABEL=WEIGHT"), ("red=0", "with a weight above 0"),
                              ("red=x", "with a weight above 0")):
            self.assertIn(message, self.train(f"--train.class-weights={text}", output="bad", expect=2).stderr)
        self.assertIn("--train.label-smoothing=1: expected", self.train("--train.label-smoothing=1", output="bad", expect=2).stderr)

    def test_the_language_model_s_loss_needs_a_language_model(self):
        self.assertIn("needs a language model as --from, and that is none", self.train("--aux-lm-weight=1", output="bad", expect=2).stderr)
        self.train("--train.steps=1", output="first")
        still = [option for option in SMALL if not option.startswith(("--from", "--model"))]
        refused = self.ulmfit("train-classifier", *still, "--from=first", "--aux-lm-weight=1", "--output=bad", expect=2).stderr
        self.assertIn("that is first, a classifier", refused)
        self.assertFalse((self.dir / "bad").exists())
        self.ulmfit("pretrain", "--corpus=data/lm", "--output=lm", "--model.embedding=12", "--model.hidden=16", "--model.layers=2",
                    "--train.streams=8", "--train.bptt=10", "--train.steps=1")
        said = self.ulmfit("train-classifier", *still, "--from=lm", "--aux-lm-weight=0.5", "--output=bad", "--dry-run").stderr
        self.assertIn("loss: of the classifier, and 0.5 times the language model's", said)


class LargeVocabulary(TestCase):
    """pretrain --softmax.kind: what is left of it in the stage, and what is refused."""
    LM = ("--model.embedding=16", "--model.hidden=24", "--model.layers=2", "--train.streams=8", "--train.bptt=15", "--epochs=4", "--threads=1", "--drop-mult=0.2",
          "--lr=0.01")
    ADAPTIVE = ("--softmax.kind=adaptive", "--softmax.cutoffs", "30", "70")

    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(600)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.1")

    def pretrain(self, output, *more, expect=0):
        return self.ulmfit("pretrain", "--corpus=corpus", f"--output={output}", *self.LM, *more, expect=expect)

    def evaluate(self, model):
        done = self.ulmfit("evaluate", f"--model={model}", "--data=corpus", "--split=valid", "--batch-size=8", "--threads=1")
        return json.loads(done.stdout.splitlines()[-1])[0], done.stderr

    def test_an_adaptive_stage_is_a_language_model_that_says_what_it_is(self):
        done = self.pretrain("general", *self.ADAPTIVE)
        self.assertRegex(done.stderr, r"softmax: adaptive: the first 30 words, \d+\.\d% of the text, and 2 clusters of the others, from 30 70\n")
        reached = self.metrics("general", "valid")[-1]["perplexity"]
        line = json.loads(done.stdout.splitlines()[-1])
        self.assertAlmostEqual(line["valid_perplexity"], reached, delta=1e-6 * reached)
        evaluated, said = self.evaluate("general")
        self.assertAlmostEqual(evaluated["perplexity"], line["valid_full_softmax_perplexity"], delta=0.01 * evaluated["perplexity"])
        self.assertGreater(evaluated["perplexity"], reached)
        note = "trained with an adaptive softmax, and read with the softmax over all words, which is another distribution"
        self.assertIn(note, done.stderr)
        self.assertIn(note, evaluated["note"])
        self.assertIn(note, said)
        self.assertIn(note, (self.dir / "general/stage/CARD.md").read_text())
        self.assertIn("note: " + note, self.ulmfit("inspect", "general").stdout)
        self.assertIn(note, self.ulmfit("generate", "--model=general", "--tokens=5", "--threads=1").stderr)
        stage = json.loads((self.dir / "general/stage/stage.json").read_text())
        self.assertEqual(stage["figures"]["perplexity"], line["valid_full_softmax_perplexity"])
        self.assertEqual(stage["figures"]["adaptive_perplexity"], line["valid_perplexity"])
        self.assertEqual(stage["lineage"][-1]["facts"]["softmax"], "adaptive")
        self.ulmfit("finetune-lm", "--from=general", "--corpus=corpus", "--output=tuned", "--train.streams=8", "--train.bptt=15", "--epochs=3", "--threads=1",
                    "--drop-mult=0.2", "--lr=0.01")
        tuned, said = self.evaluate("tuned")
        self.assertLess(tuned["perplexity"], evaluated["perplexity"])
        self.assertNotIn("note", tuned)
        self.assertNotIn("adaptive", said)

    def test_a_sampled_stage_is_that_of_the_full_softmax(self):
        done = self.pretrain("general", "--softmax.kind=sampled", "--softmax.samples=50")
        self.assertIn("softmax: sampled: 50 of the ", done.stderr)
        line = json.loads(done.stdout.splitlines()[-1])
        evaluated, said = self.evaluate("general")
        self.assertAlmostEqual(evaluated["perplexity"], line["valid_perplexity"], delta=0.01 * evaluated["perplexity"])
        self.assertNotIn("note", evaluated)
        self.pretrain("full")
        full = self.metrics("full", "valid")[-1]["perplexity"]
        self.assertLess(line["valid_perplexity"], 1.15 * full)
        self.assertNotIn("softmax", json.loads((self.dir / "full/stage/stage.json").read_text())["lineage"][-1]["facts"])

    def test_words_that_are_not_ordered_by_frequency_are_told(self):
        words = (self.dir / "corpus/vocab.txt").read_text().splitlines()
        (self.dir / "turned.txt").write_text("\n".join(words[:9] + words[:8:-1]) + "\n")
        self.ulmfit("prepare-corpus", "--input=text", "--vocab=turned.txt", "--output=turned", "--valid-share=0.1")
        for more, message in ((self.ADAPTIVE, "is right all the same, but slower"), (("--softmax.kind=sampled", "--softmax.samples=30"), "draws less well")):
            said = self.ulmfit("pretrain", "--corpus=turned", "--output=run", *self.LM, *more, "--dry-run").stderr
            self.assertIn("the vocabulary is not ordered by how often words occur in this text", said)
            self.assertIn(message, said)
            self.assertNotIn("is not ordered", self.pretrain("run", *more, "--dry-run").stderr)

    def test_bad_input(self):
        for arguments, message in ((("--softmax.kind=adaptve",), "did you mean adaptive?"),
                                   (("--softmax.kind=adaptive",), "--softmax.kind=adaptive needs --softmax.cutoffs"),
                                   (("--softmax.kind=adaptive", "--softmax.cutoffs", "70", "30"), "--softmax.cutoffs 70 30: expected each above the one before"),
                                   (("--softmax.kind=adaptive", "--softmax.cutoffs", "30", "30"), "expected each above the one before"),
                                   (("--softmax.kind=adaptive", "--softmax.cutoffs", "30", "9000"), "9000 leaves no word of the "),
                                   (("--softmax.kind=adaptive", "--softmax.cutoffs", "0"), "--softmax.cutoffs=0: expected"),
                                   (("--softmax.kind=sampled",), "--softmax.kind=sampled needs --softmax.samples"),
                                   (("--softmax.kind=sampled", "--softmax.samples=9000"), "--softmax.samples=9000: the vocabulary has "),
                                   (("--softmax.cutoffs=30",), "give --softmax.kind=adaptive"),
                                   (("--softmax.samples=30",), "give --softmax.kind=sampled")):
            self.assertIn(message, self.pretrain("bad", *arguments, expect=2).stderr)
            self.assertFalse((self.dir / "bad").exists())
        self.assertIn("softmax.kind", self.ulmfit("finetune-lm", "--from=none", "--corpus=corpus", "--output=bad", "--softmax.kind=sampled", expect=2).stderr)


if __name__ == "__main__":
    unittest.main()
