"""A run folder knows what it was trained on, and with: each row of what may change between two starts."""
import json
import os
import shutil
import signal
import unittest

from tests.end_to_end.pipeline_test import PIPELINE
from tests.support.ulmfit import TestCase, kill_all, labelled_rows, sentences, wait_for, write_csv

MODEL = ["--model.embedding=16", "--model.hidden=16", "--model.layers=2", "--train.threads=1"]
LM = ["pretrain", *MODEL, "--train.streams=8", "--train.bptt=10", "--train.steps=12", "--checkpoint.every=4"]
CLASSIFIER = ["train-classifier", *MODEL, "--data=data/labelled", "--batch-size=16", "--epochs=3",
              "--optim.unfreeze=full", "--checkpoint.every=2"]


class Identity(TestCase):
    def setUp(self):
        super().setUp()
        text = sentences(300)
        (self.dir / "text").write_text("\n".join(text))
        # The same tokens under other names: as many, in the same places.
        (self.dir / "other").write_text("\n".join(text).replace("a", "y").replace("A", "Y"))
        rows = labelled_rows(200)
        write_csv(self.dir / "train.csv", rows)
        write_csv(self.dir / "renamed.csv", [({"red": "crimson"}.get(label, label), sentence) for label, sentence in rows])
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.1")
        self.ulmfit("prepare-corpus", "--input=other", "--output=other-corpus", "--valid-share=0.1")
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab.min-count=1")

    def stop(self, *command, ranks=1):
        """Runs a command that is stopped in its midst; a signal that waits from the start stops it after one step."""
        run = self.dir / next(a for a in command if a.startswith("--output=")).removeprefix("--output=")
        process = self.start(*command, ranks=ranks)
        self.assertTrue(wait_for(lambda: (run / ".lock").exists()))
        os.kill(process.pid, signal.SIGUSR2)
        self.assertEqual(process.wait(timeout=60), 75)
        self.assertTrue(list((run / "checkpoints").glob("step-*")))
        self.assertFalse((run / "stage").exists())

    def refuse(self, code, messages, *command):
        result = self.ulmfit(*command, expect=code)
        for message in messages:
            self.assertIn(message, result.stderr)
        return result

    def record(self, run):
        return json.loads((self.dir / run / "run.json").read_text())

    def change_record(self, run, section, key, value):
        record = self.record(run)
        record[section][key] = value
        (self.dir / run / "run.json").write_text(json.dumps(record))

    def test_another_text_of_equal_size_is_refused(self):
        self.stop(*LM, "--corpus=corpus", "--output=lm")
        before = self.record("lm")
        self.refuse(2, ["lm was trained on other inputs", "training text: ", "validation text: ", "vocabulary: "],
                    *LM, "--corpus=other-corpus", "--output=lm")
        longer = ["--train.steps=20" if a.startswith("--train.steps") else a for a in LM]
        self.refuse(2, ["training text: "], *longer, "--corpus=other-corpus", "--output=lm", "--extend")
        self.assertEqual(self.record("lm"), before)
        self.ulmfit(*LM, "--corpus=corpus", "--output=lm")
        self.refuse(2, ["training text: "], *LM, "--corpus=other-corpus", "--output=lm")
        self.assertIn("nothing to do", self.ulmfit(*LM, "--corpus=corpus", "--output=lm").stderr)

    def test_moved_inputs_are_the_same_and_those_of_a_finished_run_may_be_gone(self):
        self.stop(*LM, "--corpus=corpus", "--output=lm")
        (self.dir / "elsewhere").mkdir()
        (self.dir / "corpus").rename(self.dir / "elsewhere/moved")
        result = self.ulmfit(*LM, "--corpus=elsewhere/moved", "--output=lm")
        self.assertNotIn("bits may differ", result.stderr)
        shutil.rmtree(self.dir / "elsewhere")
        self.assertIn("nothing to do", self.ulmfit(*LM, "--corpus=elsewhere/moved", "--output=lm").stderr)

    def test_other_rules_are_refused(self):
        self.stop(*LM, "--corpus=corpus", "--output=lm")
        shutil.rmtree(self.dir / "corpus")
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.1", "--rules=none")
        self.refuse(2, ["text rules and tokenizer: "], *LM, "--corpus=corpus", "--output=lm")

    def test_other_labels_and_another_parent_are_refused(self):
        scratch = [*CLASSIFIER, "--from=none", "--output=classifier"]
        self.stop(*scratch)
        shutil.rmtree(self.dir / "data")
        self.ulmfit("prepare-labelled", "--train=renamed.csv", "--output=data", "--vocab.min-count=1")
        self.refuse(2, ["labels: ", "3 classes, the first blue in the run folder", "3 classes, the first blue now"], *scratch)
        shutil.rmtree(self.dir / "data")
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab.min-count=1")
        self.ulmfit(*LM, "--corpus=data/lm", "--output=parent")
        self.refuse(2, ["parent's weights: none in the run folder"], *CLASSIFIER, "--from=parent", "--output=classifier")
        self.ulmfit(*scratch)
        self.stop(*CLASSIFIER, "--from=parent", "--output=on-parent")
        self.ulmfit(*LM, "--corpus=data/lm", "--output=parent", "--seed=2", "--restart")
        result = self.refuse(2, ["parent's weights: "], *CLASSIFIER, "--from=parent", "--output=on-parent")
        self.assertNotIn("parent's vocabulary", result.stderr)

    def test_ranks_log_and_checkpoints_may_change_threads_are_a_warning(self):
        self.stop(*LM, "--corpus=corpus", "--output=lm")
        shutil.copytree(self.dir / "lm", self.dir / "threads")
        result = self.ulmfit(*LM, "--corpus=corpus", "--output=lm", "--log.every=3", "--checkpoint.keep=1", ranks=2)
        self.assertNotIn("bits may differ", result.stderr)
        more = [a for a in LM if "threads" not in a]
        result = self.ulmfit(*more, "--train.threads=2", "--corpus=corpus", "--output=threads")
        self.assertEqual(result.stderr.count("its bits may differ"), 1)
        self.assertIn("threads: 1 in the run folder, 2 now", result.stderr)
        self.assertEqual(self.record("threads")["machine"]["threads"], "2")

    def test_another_machine_or_program_is_a_warning_and_under_reproducible_refused(self):
        for name, extra in (("normal", []), ("reproducible", ["--reproducible"])):
            self.stop(*LM, *extra, "--corpus=corpus", f"--output={name}")
            for key, value in (("processor", "a slower one"), ("program", "0.0.1, libtorch 1.0")):
                self.change_record(name, "machine", key, value)
                command = [*LM, *extra, "--corpus=corpus", f"--output={name}"]
                if extra:
                    self.refuse(2, ["--reproducible", f"{key}: {value} in the run folder"], *command)
        result = self.ulmfit(*LM, "--corpus=corpus", "--output=normal")
        self.assertEqual(result.stderr.count("its bits may differ"), 1)
        self.assertIn("program: 0.0.1, libtorch 1.0 in the run folder", result.stderr)

    def test_a_record_of_a_newer_program_is_refused(self):
        self.stop(*LM, "--corpus=corpus", "--output=lm")
        record = self.record("lm")
        (self.dir / "lm/run.json").write_text(json.dumps({**record, "version": 2}))
        self.refuse(4, ["run.json: version 2, this program reads 1"], *LM, "--corpus=corpus", "--output=lm")

    def test_a_live_run_keeps_its_folder(self):
        process = self.start(*[a for a in LM if "steps" not in a], "--epochs=1000", "--corpus=corpus", "--output=live")
        self.addCleanup(kill_all, process)
        self.assertTrue(wait_for(lambda: list((self.dir / "live/checkpoints").glob("step-*"))))
        self.refuse(4, ["another run holds it"], *LM, "--corpus=corpus", "--output=live", "--restart")
        self.assertFalse((self.dir / "live.old-1").exists())
        self.assertIsNone(process.poll(), "it goes on")


class Pipeline(TestCase):
    def test_a_parent_trained_anew_is_named_and_so_is_the_way_on(self):
        (self.dir / "general").write_text("\n".join(sentences(300)))
        (self.dir / "more").write_text("\n".join(sentences(100, seed=4)))
        write_csv(self.dir / "train.csv", labelled_rows(150))
        write_csv(self.dir / "test.csv", labelled_rows(50, seed=5))
        short = PIPELINE.replace("epochs = 20", "epochs = 4")
        (self.dir / "pipeline.cfg").write_text(short)
        (self.dir / "anew.cfg").write_text(short[:short.index("[prepare-labelled]")].replace("[pretrain]", "[pretrain]\nseed = 2"))
        self.ulmfit("run", "--config=pipeline.cfg")
        self.ulmfit("run", "--config=anew.cfg", "--restart-from=pretrain")
        self.assertTrue((self.dir / "general-lm.old-1").exists())
        (self.dir / "pipeline.cfg").write_text(short.replace("[pretrain]", "[pretrain]\nseed = 2"))
        refused = self.ulmfit("run", "--config=pipeline.cfg", expect=2)
        self.assertIn("parent's weights", refused.stderr)
        self.assertIn("ulmfit run --config pipeline.cfg --restart-from finetune-lm", refused.stderr)
        (self.dir / "pipeline.cfg").write_text(short.replace("epochs = 4", "epochs = 5"))
        changed = self.ulmfit("run", "--config=pipeline.cfg", expect=2).stderr
        self.assertIn("--restart-from", changed)
        self.assertNotIn("--restart to move", changed)  # an option that run lacks
        self.assertNotIn("--extend", changed)
        (self.dir / "pipeline.cfg").write_text(short.replace("[pretrain]", "[pretrain]\nseed = 2"))
        again = self.ulmfit("run", "--config=pipeline.cfg", "--restart-from", "finetune-lm")
        self.assertEqual(again.stderr.count("nothing to do"), 1, "pretrain")
        self.assertTrue((self.dir / "target-lm.old-1").exists())
        self.assertTrue((self.dir / "classifier.old-1").exists())
        # A stage's folder names it too; a dry run says what would be done.
        plan = self.ulmfit("run", "--config=pipeline.cfg", "--restart-from=classifier/", "--dry-run").stderr
        self.assertRegex(plan, r"(?s) 2 pretrain \(general-lm\): done\n.* 4 finetune-lm \(target-lm\): done\n.* 5 train-classifier \(classifier\): anew\n.* 6 evaluate \(evaluation\)\n")
        last = self.ulmfit("run", "--config=pipeline.cfg")
        self.assertEqual(last.stderr.count("nothing to do"), 3)
        unknown = self.ulmfit("run", "--config=pipeline.cfg", "--restart-from=prepare-corpus", expect=2)
        self.assertIn("no such stage that trains; it has pretrain (general-lm), finetune-lm (target-lm), train-classifier (classifier)", unknown.stderr)
        self.assertIn("did you mean --restart-from?", self.ulmfit("run", "--config=pipeline.cfg", "--restartfrom=x", expect=2).stderr)


if __name__ == "__main__":
    unittest.main()
