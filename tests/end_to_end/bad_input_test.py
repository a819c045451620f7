"""Bad input: a clear message, the exit code of the table in the README, nothing written or lost."""
import os
import re
import unittest

from tests.support.ulmfit import TestCase, labelled_rows, sentences, write_csv


MODEL = ["--model.embedding=8", "--model.hidden=8", "--model.layers=1", "--train.threads=1"]
TRAIN = ["pretrain", "--corpus=corpus", *MODEL, "--train.streams=4", "--train.bptt=5", "--train.steps=3"]


class BadInput(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(200)))
        write_csv(self.dir / "train.csv", labelled_rows(80))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.1")
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab.min-count=1")

    def refuse(self, code, message, *arguments, output=None):
        result = self.ulmfit(*arguments, expect=code)
        self.assertIn(message, result.stderr)
        if output:
            self.assertFalse((self.dir / output).exists(), f"{output} was left behind")

    def test_every_command_explains_itself(self):
        names = [[name] for name in re.findall(r"^  (\S+) ", self.ulmfit("--help").stdout, re.MULTILINE)]
        for group in ("bench", "study"):
            names += [[group, name] for name in re.findall(r"^  (\S+) ", self.ulmfit(group, "--help").stdout, re.MULTILINE)]
        self.assertGreater(len(names), 15)
        for name in names:
            short, text = self.ulmfit(*name, "--help").stdout, self.ulmfit(*name, "--help", "all").stdout
            self.assertEqual(self.ulmfit(*name, "-h").stdout, short)
            self.assertLessEqual(len(re.findall(r"^  --", short, re.MULTILINE)), 20, name)
            self.assertTrue(text.startswith(f"Usage: ulmfit {' '.join(name)}"), name)
            self.assertNotRegex(text, r"\w_(?!\w)", "the name of a variable")

    def test_an_unknown_command_names_the_nearest_and_the_list(self):
        self.assertIn("there is no command 'pretrian'; did you mean pretrain? (ulmfit --help lists all)",
                      self.ulmfit("pretrian", expect=2).stderr)

    def test_usage(self):
        self.assertRegex(self.ulmfit("--version").stdout, r"^ulmfit \d+\.\d+\.\d+ \(libtorch \d")
        self.refuse(2, "did you mean pretrain?", "pretain")
        self.refuse(2, "did you mean --train.bptt?", *TRAIN, "--output=x", "--train.btpt=3", output="x")
        self.refuse(2, "--train.bptt=0: expected at least 1", *[a for a in TRAIN if "bptt" not in a], "--train.bptt=0", "--output=x")
        self.refuse(2, "expected a number", *TRAIN, "--optim.lr=nan", "--output=x", output="x")
        self.refuse(2, "expected at least 0", *TRAIN, "--optim.clip=-1", "--output=x", output="x")
        self.refuse(2, "needs --output", *TRAIN)
        self.refuse(2, "CPUs have no TF32", *TRAIN, "--output=x", "--device=cpu", "--precision=tf32", output="x")
        self.refuse(2, "makes a dropout of", *TRAIN, "--drop-mult=9", "--output=x", output="x")

    def test_corpus(self):
        (self.dir / "empty").write_text("")
        self.refuse(3, "hold no text", "prepare-corpus", "--input=empty", "--output=e", output="e")
        self.refuse(3, "no/such/file", "prepare-corpus", "--input=no/such/file", "--output=e", output="e")
        self.refuse(3, "prepare-corpus", "pretrain", "--corpus=nowhere", "--output=x", *MODEL, output="x")
        short = [a for a in TRAIN if "streams" not in a]
        result = self.ulmfit(*short, "--train.streams=16000", "--output=x", expect=3)
        self.assertIn("16000", result.stderr)
        self.assertFalse((self.dir / "x").exists())
        self.refuse(3, "lm folder", "pretrain", "--corpus=data/labelled", "--output=x", *MODEL, output="x")

    def test_labels(self):
        write_csv(self.dir / "one.csv", [("red", "a b"), ("red", "c d")])
        self.refuse(3, "class", "prepare-labelled", "--train=one.csv", "--output=o", output="o")
        self.refuse(3, "colour", "prepare-labelled", "--train=train.csv", "--label-column=colour", "--output=o", output="o")
        write_csv(self.dir / "unknown.csv", [("purple", "a b")])
        self.refuse(3, "purple", "prepare-labelled", "--train=train.csv", "--test=unknown.csv", "--output=o", output="o")
        (self.dir / "quotes.csv").write_text('label,text\nred,"never closed\n')
        self.refuse(3, "quotes.csv", "prepare-labelled", "--train=quotes.csv", "--output=o", output="o")

    def test_damaged_files(self):
        shard = self.dir / "corpus/train-00000.h5"
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-100])
        self.refuse(3, "train-00000.h5", *TRAIN, "--output=x", output="x")
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 4
        shard.write_bytes(flipped)
        self.refuse(3, "train-00000.h5", *TRAIN, "--output=y")
        shard.write_bytes(whole)

    def test_stages(self):
        self.ulmfit(*TRAIN, "--output=lm")
        self.refuse(4, "not that of", "train-classifier", "--from=lm", "--data=data/labelled", "--output=c", output="c")
        self.refuse(4, "no finished stage", "train-classifier", "--from=nowhere", "--data=data/labelled", "--output=c", output="c")
        self.refuse(4, "is a language model", "predict", "--model=lm")
        weights = self.dir / "lm/stage/model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        self.refuse(4, "model.safetensors", "inspect", "lm")
        description = self.dir / "lm/stage/stage.json"
        description.write_text(description.read_text().replace('"version": 1', '"version": 9'))
        self.refuse(4, "stage", "inspect", "lm")

    def test_other_text_rules_over_the_same_vocabulary(self):
        self.ulmfit("pretrain", "--corpus=data/lm", *MODEL, "--train.streams=4", "--train.bptt=5", "--train.steps=3", "--output=lm")
        classifier = ["train-classifier", *MODEL, "--epochs=1", "--optim.unfreeze=full"]
        self.ulmfit(*classifier, "--from=lm", "--data=data/labelled", "--output=c")
        self.ulmfit("prepare-labelled", "--train=train.csv", "--test=train.csv", "--output=plain", "--rules=none",
                    "--tokenizer=whitespace", "--vocab=data/lm/vocab.txt")
        other = "made with other text rules or another tokenizer"
        self.refuse(3, other, *classifier, "--from=lm", "--data=plain/labelled", "--output=x", output="x")
        self.refuse(3, other, "evaluate", "--model=c", "--data=plain/labelled")
        self.refuse(3, other, "evaluate", "--model=lm", "--data=plain/lm", "--split=valid")

    def test_baselines_without_a_validation_split(self):
        self.ulmfit("prepare-labelled", "--train=train.csv", "--test=train.csv", "--valid-share=0", "--output=novalid", "--vocab.min-count=1")
        self.ulmfit("train-classifier", *MODEL, "--from=none", "--data=novalid/labelled", "--epochs=1", "--optim.unfreeze=full", "--output=c")
        refused = self.ulmfit("evaluate", "--model=c", "--data=novalid/labelled", "--baselines", expect=3)
        self.assertIn("has no validation split", refused.stderr)
        self.assertNotIn("precision", refused.stderr, "said before the table")
        self.assertIn("error", self.ulmfit("evaluate", "--model=c", "--data=novalid/labelled").stdout)

    def test_a_run_that_diverges_near_its_end_fails(self):
        overflow = [a for a in TRAIN if "steps" not in a] + ["--train.steps=5", "--optim.kind=sgd", "--optim.clip=0", "--lr=1e6"]
        self.refuse(6, "training diverged", *overflow, "--optim.group-factors=1e38,1e38", "--output=diverged")
        self.assertFalse((self.dir / "diverged/stage").exists())
        self.assertEqual(list((self.dir / "diverged/checkpoints").glob("step-*")), [])

    def test_output_that_cannot_be_used(self):
        (self.dir / "full").mkdir()
        (self.dir / "full/thesis.tex").write_text("precious")
        self.refuse(2, "not a run folder", *TRAIN, "--output=full")
        self.assertEqual((self.dir / "full/thesis.tex").read_text(), "precious")
        (self.dir / "file").write_text("x")
        self.refuse(3, "file", *TRAIN, "--output=file/run")
        if os.geteuid() != 0:
            (self.dir / "locked").mkdir(mode=0o500)
            self.refuse(3, "locked", *TRAIN, "--output=locked/run")

    def test_settings_that_change_little_are_told_before_the_run(self):
        write_csv(self.dir / "few.csv", labelled_rows(108))
        self.ulmfit("prepare-labelled", "--train=few.csv", "--output=few")
        small = ("--from=none", "--model.embedding=8", "--model.hidden=8", "--dry-run")
        said = self.ulmfit("train-classifier", "--data=few/labelled", "--output=run", *small).stderr
        self.assertRegex(said, r"phase 1 has 2 steps, .* smaller --train.batch-size \(now 64\), more epochs, or train all layers at once")
        self.assertRegex(said, r"time: about \S+ for the \d+ steps, validations not counted \(measured: (\d steps?|the gradients of a step) of the last phase\)")
        self.assertRegex(said, r"there are 1\d validation texts: each is \d % of the error; give more labelled texts, or fit --folds 5")
        said = self.ulmfit("finetune-lm", "--corpus=few/lm", "--output=run", *small).stderr
        self.assertRegex(said, r"phase 1 has \d steps, .* smaller --train.streams \(now 64\), more epochs\n")
        said = self.ulmfit("train-classifier", "--data=few/labelled", "--output=run", "--optim.unfreeze=full", "--train.batch-size=4", *small).stderr
        self.assertNotIn("change little", said)


if __name__ == "__main__":
    unittest.main()
