"""fit: from labelled texts to a tested classifier by one command, settings chosen, gone on with after a stop."""
import csv
import json
import random
import re
import unittest

from tests.support.ulmfit import TestCase, kill_all, labelled_rows, sentences, wait_for, write_csv


class Fit(TestCase):
    def setUp(self):
        super().setUp()
        write_csv(self.dir / "train.csv", labelled_rows(240, seed=2))
        write_csv(self.dir / "test.csv", labelled_rows(59, seed=3) + labelled_rows(240, seed=2)[:1])  # one stands in both
        (self.dir / "general.txt").write_text("\n".join(sentences(300, seed=5)) + "\n")
        self.ulmfit("prepare-corpus", "--input=general.txt", "--output=corpus")
        for way in ("forward", "backward"):
            self.ulmfit("pretrain", "--corpus=corpus", f"--output=general-{way}", f"--direction={way}", "--model.embedding=32", "--model.hidden=48",
                        "--model.layers=2", "--train.streams=8")

    COMMON = ("fit", "--train=train.csv", "--train.threads=1")

    def test_one_command_tests_a_classifier_and_says_why(self):
        command = (*self.COMMON, "--test=test.csv", "--from=general-forward", "--output=run")
        few = self.ulmfit(*command[:-1], "--output=few", "--vocab.size=24", "--license=mine", "--dry-run").stderr
        self.assertRegex(few, r"words of the known vocabulary have no room in 24 and are forgotten; a larger --vocab.size")
        self.assertEqual(json.loads((self.dir / "few/data/labelled/corpus.json").read_text())["provenance"]["request"]["license"], "mine")
        planned = self.ulmfit(*command, "--dry-run")
        self.assertIn("216 texts of 3 classes to train on, 24 to validate, 60 to test", planned.stderr)
        self.assertEqual(len(re.findall(r"^\S+ \[prepare\]   (?:red|green|blue): .*(?:crimson|emerald|azure)", planned.stderr, re.M)), 5, "decoded texts with labels")
        self.assertRegex(planned.stderr, r"train\.streams = 8  \(about \d+ steps an epoch\)")
        for title in ("finetune-lm", "train-classifier"):
            self.assertRegex(planned.stderr, rf"\[{title}\]   time: about .* for the \d+ steps")
        memory = [int(m.replace(",", "")) for m in re.findall(r"peak memory: ([\d,]+) MB a rank", planned.stderr)]
        self.assertEqual(len(memory), 2)
        self.assertRegex(planned.stderr, r"\[train-classifier\]   model: AWD-LSTM 32/48 x 2")  # that of the pretrained model
        self.assertRegex(planned.stderr, r"the pipeline has finetune-lm x 1, train-classifier x 1: about .+ of training in all, less where .* early; validations")
        self.assertEqual(self.ulmfit("status", "run").stdout, "run: fit, 1 of 4 stages done, then finetune-lm (run/lm)\n")
        self.assertEqual([name for name in ("lm", "classifier") if (self.dir / "run" / name).exists()], [])
        done = self.ulmfit(*command)
        self.assertRegex(done.stderr, r"\[fit\] evaluation: error [\d.]+ % \(.*\) on 60 test texts; (errs less than|cannot be told apart from) naive Bayes.*\n.*\[fit\]   run/evaluation/report.html; .*: run/evaluation/top_losses.csv\n")
        self.assertIn("to use it: ulmfit predict --model run/classifier\n", done.stderr)
        evaluation = json.loads((self.dir / "run/evaluation/evaluation.json").read_text())
        self.assertEqual((evaluation["split"], evaluation["texts"]), ("test", 60))
        # What makes its figures doubtful stands wherever they do.
        (doubt,) = [doubt for doubt in evaluation["doubts"] if re.match("test: 1 text repeats a text of (train|valid) exactly", doubt)]
        for told in (planned.stderr, done.stderr.split("[evaluate]", 1)[1], *((self.dir / page).read_text() for page in ("run/classifier/report.html", "run/evaluation/report.html"))):
            self.assertIn(doubt, told)
        self.assertLess(evaluation["error"], 0.2)
        self.assertEqual(len(evaluation["baselines"]), 2)
        self.assertRegex(evaluation["top_losses"][0]["place"], r"^test\.csv:\d+$")
        self.check_what_its_folders_tell()
        # The widths of the model before are told, not those that are the default.
        for told in ("run/classifier/report.html", "run/classifier/stage/CARD.md", "run/lm/report.html"):
            self.assertNotRegex((self.dir / told).read_text(), r"hidden = 1152", told)
        # The words of the general model stay known.
        known = set((self.dir / "general-forward/stage/vocab.txt").read_text().split())
        self.assertLessEqual(known - {"xxfake"}, set((self.dir / "run/classifier/stage/vocab.txt").read_text().split()))
        # Again: nothing to do; by its pipeline: the same.
        weights = (self.dir / "run/classifier/stage/model.safetensors").read_bytes()
        self.assertNotIn("step 1 ", self.ulmfit(*command).stderr)
        self.ulmfit("run", "--config=run/pipeline.cfg")
        self.assertRegex(self.ulmfit("status", str(self.dir / "run"), cwd="/").stdout, r"run: fit, 4 of 4 stages done\n  /.*/run/evaluation: error [\d.]+ % \(95 % interval [\d.]+ to [\d.]+ %\) on 60 test texts\n/.*/run/classifier: train-classifier, finished\n")
        self.assertIn("; it holds run/classifier, run/data/labelled, run/data/lm, run/lm\n", self.ulmfit("inspect", "run", expect=3).stderr)
        with open(self.dir / "run/evaluation/top_losses.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(row["place"], row["given"]) for row in rows], [(t["place"], t["given"]) for t in evaluation["top_losses"]])
        self.assertEqual((self.dir / "run/classifier/stage/model.safetensors").read_bytes(), weights)
        # Folds may be added later: nothing else is trained again.
        added = self.ulmfit(*command, "--folds=3").stderr
        self.assertIn("the stages of --folds are added to run/pipeline.cfg", added)
        self.assertRegex(added, r"\[fit\] cross-validation: error [\d.]+ % \(.*\) on 240 held-out training texts\n")
        self.assertEqual((self.dir / "run/classifier/stage/model.safetensors").read_bytes(), weights)
        self.assertRegex(self.ulmfit(*command, expect=2).stderr, r"\n  \[[^\n]*\n  and \d+ more\n")
        compared = self.ulmfit("compare", "run", "--report=page").stdout
        self.assertRegex(compared, r"^  run/evaluation: error [\d.]+ % .* on 60 test texts\n  run/cross-validation: error ")
        self.assertIn("run/cross-validation", (self.dir / "page/report.html").read_text())

    def check_what_its_folders_tell(self):
        classifier = self.ulmfit("inspect", "run/classifier").stdout
        for words in ("that reads forward: AWD-LSTM 32/48 x 2", "classes: blue, green, red\n", "on its validation texts: documents 24, error ", "how it came to be:\n  pretrain, tokens "):
            self.assertIn(words, classifier)
        self.assertRegex(self.ulmfit("inspect", "run/data/labelled").stdout, r"(?s)^labelled texts, \d+ words\nclasses: blue, green, red\n.*test: 60 texts, \d+ tokens\n  first: .*\ndoubt: ")
        lost = self.ulmfit("evaluate", "--model=run/classifier", "--data=run/data/labelled", "--split=dev", expect=3).stderr
        self.assertIn("--split=dev: run/data/labelled has no such texts; give --split test or valid", lost)
        lost = self.ulmfit("predict", "--model=run", stdin="x\n", expect=4).stderr
        self.assertIn("give one of the stages in it: run/classifier or run/lm", lost)
        self.assertIn('"label"', self.ulmfit("predict", "--model", "run/classifier", stdin="Some azure words .\n").stdout)

    def test_other_texts_options_or_a_changed_pipeline_are_refused(self):
        command = (*self.COMMON, "--from=general-forward", "--output=run", "--dry-run")
        self.ulmfit(*command)
        # As it was written, and nothing is trained: written anew. Else other options are refused.
        self.assertIn("it is written anew", self.ulmfit(*command, "--seeds=2").stderr)
        self.assertIn("run/classifier-seed2", (self.dir / "run/pipeline.cfg").read_text())
        self.ulmfit(*command)
        (self.dir / "run/lm").mkdir()
        other = self.ulmfit(*command, "--seeds=2", expect=2).stderr
        self.assertIn("pipeline.cfg is there and says something else", other)
        self.assertIn("[train-classifier] output: run/classifier in the file, run/classifier-seed1 now", other)
        # What an older version wrote, without a setting that this one chooses, is not gone on with unseen.
        pipeline, text = self.dir / "run/pipeline.cfg", (self.dir / "run/pipeline.cfg").read_text()
        pipeline.write_text(re.sub(r"train\.patience = 3.*\n", "", text))
        self.assertIn("[finetune-lm] train.patience: nothing in the file, 3 now", self.ulmfit(*command, expect=2).stderr)
        pipeline.write_text(text)
        # Folds may be added, by more than a dry run; to take them away is another pipeline.
        self.assertIn("without --dry-run, the stages of --folds would be added to run/pipeline.cfg", self.ulmfit(*command, "--folds=5").stderr)
        self.assertEqual(pipeline.read_text(), text)
        (self.dir / "run/lm").rmdir()
        # Threads do not matter for the result; the file then names those that are used.
        self.ulmfit("fit", "--train=train.csv", "--threads=2", *command[3:])
        self.assertIn("train.threads = 2", (self.dir / "run/pipeline.cfg").read_text())
        self.ulmfit(*command)
        pipeline = self.dir / "run/pipeline.cfg"
        pipeline.write_text(pipeline.read_text().replace("drop-mult = 0.7", "drop-mult = 0.6"))
        changed = self.ulmfit(*command, expect=2).stderr
        self.assertIn("[train-classifier] drop-mult: 0.6 in the file, 0.7 now", changed)
        self.assertIn("ulmfit run --config run/pipeline.cfg", changed)
        write_csv(self.dir / "train.csv", labelled_rows(200, seed=2))
        self.assertIn("(different: train)", self.ulmfit(*command, expect=3).stderr)

    def test_what_cannot_be_is_refused_at_once(self):
        for arguments, message in ((("--from=general-forward", "general-forward"), "of one direction"), (("--from=nothing",), "no finished stage in nothing"), (("--from", "none", "general-forward"), "--from=none is given beside others"),
                                   (("--from=none", "--folds=1"), "--folds=1"), ((), "needs --from"),
                                   (("--from=none", "--epochs=3"), "has no option --epochs (ulmfit fit --help all lists all); fit chooses the settings of its stages: with --dry-run it writes them to OUTPUT/pipeline.cfg")):
            refused = self.ulmfit(*self.COMMON, "--output=bad", *arguments, expect=4 if "nothing" in message else 2)
            self.assertIn(message, refused.stderr)
            self.assertFalse((self.dir / "bad").exists(), "refused before texts are prepared")

    def test_two_directions_seeds_and_folds_on_two_ranks(self):
        rows = labelled_rows(240, seed=2)
        others = {"red": "green", "green": "blue", "blue": "red"}
        wrong = sorted(random.Random(1).sample(range(240), 6))
        rows = [(others[label] if i in wrong else label, text) for i, (label, text) in enumerate(rows)]
        rows.append((others[rows[0][0]], rows[0][1]))
        write_csv(self.dir / "train.csv", rows)
        command = (*self.COMMON, "--from", "general-forward", "general-backward", "--output=run", "--seeds=2", "--folds=3")
        done = self.ulmfit(*command, ranks=2)
        for name in ("classifier-forward-seed1", "classifier-forward-seed2", "classifier-backward-seed1", "classifier-backward-seed2"):
            self.assertIn(f" --model run/{name}", done.stderr)
        self.assertEqual(json.loads((self.dir / "run/evaluation/evaluation.json").read_text())["split"], "valid")
        crossed = json.loads((self.dir / "run/cross-validation/evaluation.json").read_text())
        self.assertEqual(crossed["texts"], 241)  # each once
        parts = [json.loads((self.dir / f"run/folds/{k}/evaluation/evaluation.json").read_text()) for k in (1, 2, 3)]
        for row in range(3):
            for column in range(3):
                self.assertEqual(crossed["confusion"][row][column], sum(p["confusion"][row][column] for p in parts))
        doubted = [entry["place"] for entry in crossed["top_losses"][:12]]
        found = sum(f"train.csv:{i + 2}" in doubted for i in wrong)
        self.assertGreaterEqual(found, 4, (doubted, wrong))
        self.assertRegex(done.stderr, r"\[fit\] cross-validation: error [\d.]+ % \(.*\) on 241 held-out training texts\n")
        page = (self.dir / "run/cross-validation/report.html").read_text()
        self.assertIn("may have read these texts, without their labels", page)
        (doubt,) = {doubt.split(": ", 1)[1] for doubt in crossed["doubts"]}
        self.assertEqual({b["name"] for b in crossed["baselines"]}, {"majority class", "naive Bayes"})
        for name, at in (("majority class", 0), ("naive Bayes", 1)):  # each text once
            wrong = sum(p["texts"] * p["baselines"][at]["error"] for p in parts)
            self.assertAlmostEqual(next(b["error"] for b in crossed["baselines"] if b["name"] == name), wrong / 241)
        self.assertRegex(doubt, "^1 text repeats another one with a different label: ")
        self.assertIn(doubt.split(": ", 1)[0], page)

    def test_killed_on_two_ranks_it_goes_on_to_the_same_weights(self):
        command = (*self.COMMON, "--test=test.csv", "--from=general-forward")
        self.ulmfit(*command, "--output=whole", ranks=2)
        wanted = (self.dir / "whole/classifier/stage/model.safetensors").read_bytes()
        process = self.start(*command, "--output=run", ranks=2)
        self.addCleanup(kill_all, process)
        self.assertTrue(wait_for(lambda: list((self.dir / "run/classifier/checkpoints").glob("step-*")) or process.poll() is not None))
        kill_all(process)
        self.assertFalse((self.dir / "run/evaluation").exists(), "killed too late")
        self.assertRegex(self.ulmfit("status", "run").stdout, r"^run: fit, 2 of 4 stages done, then train-classifier \(run/classifier\)\n")
        self.ulmfit(*command, "--output=run", ranks=2)
        self.assertEqual((self.dir / "run/classifier/stage/model.safetensors").read_bytes(), wanted)

    def test_a_folder_for_each_class_from_scratch(self):
        for i, (label, text) in enumerate(labelled_rows(120, seed=2)):
            (self.dir / "texts" / label).mkdir(parents=True, exist_ok=True)
            (self.dir / "texts" / label / f"{i}.txt").write_text(text)
        planned = self.ulmfit("fit", "--train=texts", "--from=none", "--output=run", "--dry-run")
        self.assertIn("model.hidden = 300", planned.stderr)
        self.assertIn("of 3 classes", planned.stderr)

    def test_from_scratch_with_folds_and_no_validation_on_three_ranks(self):
        (self.dir / "few.csv").write_text("".join((self.dir / "train.csv").read_text().splitlines(True)[:61]))
        command = ("fit", "--train=few.csv", "--train.threads=1", "--from=none", "--output=run", "--valid-share=0", "--folds=2")
        pipeline = self.dir / "run/pipeline.cfg"
        self.ulmfit(*command, "--dry-run", ranks=3)
        self.assertIn("train.streams = 9  #", pipeline.read_text())
        # The rest with a model that is small enough for a test.
        text = pipeline.read_text().replace("model.embedding = 200", "model.embedding = 8").replace("model.hidden = 300", "model.hidden = 8")
        (self.dir / "small.cfg").write_text(text.replace("epochs = 15", "epochs = 1").replace("epochs = 20", "epochs = 1"))
        self.ulmfit("run", "--config=small.cfg", ranks=3)
        for k in (1, 2):
            self.assertEqual(json.loads((self.dir / f"run/folds/{k}/evaluation/evaluation.json").read_text())["texts"], 30)
        self.assertFalse((self.dir / "run/evaluation").exists())  # no text was kept for it

    def test_a_killed_run_goes_on(self):
        command = (*self.COMMON, "--from=general-forward", "--output=run")
        for place in ("data.partial", "lm/metrics.jsonl", "classifier/metrics.jsonl"):
            process = self.start(*command)
            self.assertTrue(wait_for(lambda: (self.dir / "run" / place).exists() or process.poll() is not None))
            kill_all(process)
        self.ulmfit(*command)
        self.ulmfit(*command[:-1], "--output=whole")
        self.assert_same_weights("run/classifier/stage/model.safetensors", "whole/classifier/stage/model.safetensors")


if __name__ == "__main__":
    unittest.main()
