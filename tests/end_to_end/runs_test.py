"""status and compare: runs seen from outside, alive, stopped, killed, failed and finished."""
import json
import os
import random
import signal
import unittest

from tests.support.ulmfit import TestCase, deny_flock, kill_all, labelled_rows, sentences, wait_for, write_csv


class Runs(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "general.txt").write_text("\n".join(sentences(400, seed=5)) + "\n")
        self.ulmfit("prepare-corpus", "--input=general.txt", "--output=corpus")

    SMALL = ("pretrain", "--corpus=corpus", "--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--train.streams=8", "--train.threads=1",
             "--log.every=1")

    def status(self, name, **more):
        return json.loads(self.ulmfit("status", name, "--json", **more).stdout)

    def checkpoints(self, run):
        return list((self.dir / run / "checkpoints").glob("step*/MANIFEST.json"))

    def test_each_state_is_told(self):
        process = self.start(*self.SMALL, "--output=runs/a", "--epochs=3000", "--checkpoint.every=5")
        self.assertTrue(wait_for(lambda: self.checkpoints("runs/a")))
        alive = self.status("runs/a")
        self.assertEqual(alive["state"], "running")
        self.assertIn(f"process {process.pid}", alive["holder"])
        self.assertGreater(alive["total_steps"], alive["step"])
        self.assertEqual(alive["stage"], "pretrain")
        self.assertGreater(alive["epoch"], 0)
        self.assertGreater(alive["left_s"], 0)
        self.assertGreaterEqual(alive["checkpoint"], 5)
        self.assertRegex(self.ulmfit("status", "runs").stdout, r"runs/a: pretrain, running .*\n  step \d+ of \d+, epoch \d+\.\d+, about \S+ left\n")
        os.kill(process.pid, signal.SIGUSR2)
        self.assertEqual(process.wait(), 75)
        stopped = self.status("runs/a")
        self.assertEqual(stopped["state"], "stopped")
        self.assertIn("stopped on a signal", stopped["last_line"])
        process = self.start(*self.SMALL, "--output=runs/a", "--epochs=3000", "--checkpoint.every=5")
        self.assertTrue(wait_for(lambda: "[train] step" in (self.dir / "runs/a/log.txt").read_text().splitlines()[-1]
                                 and self.status("runs/a")["step"] > stopped["step"]))
        kill_all(process)
        died = self.ulmfit("status", "runs/a").stdout
        self.assertIn("runs/a: pretrain, died\n", died)
        self.assertIn("the same command goes on", died)
        # Killed before it reported a step.
        process = self.start(*self.SMALL[:-1], "--output=runs/d", "--log.every=1000", "--epochs=3000")
        self.assertTrue(wait_for((self.dir / "runs/d/checkpoints").exists))
        kill_all(process)
        self.assertEqual(self.status("runs/d")["state"], "died")
        self.ulmfit(*self.SMALL, "--output=runs/b", "--train.steps=4")
        self.assertEqual(self.status("runs/b")["state"], "finished")
        self.ulmfit(*self.SMALL, "--output=runs/c", "--train.steps=400", "--lr=1000000", "--optim.group-factors=1e38,1e38,1e38", expect=6)
        failed = self.status("runs/c")
        self.assertEqual(failed["state"], "failed")
        self.assertIn("diverged", failed["last_line"])
        self.assertEqual(len(self.ulmfit("status", "runs", "--json").stdout.splitlines()), 4)

    def test_a_dry_run_measures_and_leaves_nothing(self):
        for epochs, ranks in ((1, 1), (4, 2)):
            said = self.ulmfit(*self.SMALL, "--output=runs/dry", f"--epochs={epochs}", "--dry-run", ranks=ranks).stderr
            self.assertRegex(said, r"time: about \S+ for the \d+ steps, validations not counted \(measured: \d+ steps?\)")
            self.assertRegex(said, r"peak memory: [\d,]+ MB a rank in these steps")
            self.assertFalse((self.dir / "runs").exists())
        said = self.ulmfit(*self.SMALL, "--output=runs/dry", "--train.steps=1", "--dry-run").stderr
        self.assertIn("for the 1 steps, validations not counted (measured: the gradients of a step)", said)
        # The plan ends before its last phases.
        said = self.ulmfit(*self.SMALL, "--output=runs/dry", "--epochs=4", "--optim.unfreeze=paper", "--train.steps=5", "--dry-run").stderr
        self.assertRegex(said, r"for the 5 steps, validations not counted \(measured: \d steps?\)")

    def test_a_better_validation_before_the_end_is_told(self):
        rows = labelled_rows(160, seed=3)
        labels = [label for label, _ in rows]
        random.Random(1).shuffle(labels)  # nothing to learn but each text by heart
        write_csv(self.dir / "train.csv", [(label, text) for label, (_, text) in zip(labels, rows)])
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--valid-share=0.3")
        command = ("train-classifier", "--data=data/labelled", "--from=none", "--model.embedding=16", "--model.hidden=24", "--model.layers=2", "--drop-mult=0",
                   "--batch-size=16", "--epochs=12", "--optim.unfreeze=full", "--lr=0.02", "--optim.factor=1", "--threads=1")
        told = r"validation was best at epoch [\d.]+ \(error [\d.]+%, loss [\d.]+\); at the end error is [\d.]+%, loss [\d.]+; a run with --train.select=best keeps"
        self.assertRegex(self.ulmfit(*command, "--output=last").stderr, told)
        self.assertNotRegex(self.ulmfit(*command, "--output=best", "--train.select=best").stderr, told)

    def test_a_file_system_without_locks(self):
        command = (*self.SMALL, "--output=runs/a", "--checkpoint.every=5", "--epochs=3000")
        process = self.start(*command, preexec_fn=deny_flock)
        self.assertTrue(wait_for(lambda: self.checkpoints("runs/a")))
        self.assertEqual(self.status("runs/a", preexec_fn=deny_flock)["state"], "running")
        refused = self.ulmfit(*command, expect=4, preexec_fn=deny_flock)
        self.assertIn(f"process {process.pid})", refused.stderr)
        kill_all(process)
        self.assertEqual(self.status("runs/a", preexec_fn=deny_flock)["state"], "died")
        done = self.ulmfit(*command, "--restart", "--train.steps=2", preexec_fn=deny_flock)
        self.assertRegex(done.stderr, r"its file system has no locks \(flock: [^)]+\); nothing keeps a run on another machine out")
        self.assertEqual(self.status("runs/a", preexec_fn=deny_flock)["state"], "finished")

    def test_what_is_no_run_is_refused(self):
        self.assertIn("no run in corpus", self.ulmfit("status", "corpus", expect=3).stderr)
        self.assertIn("no such folder", self.ulmfit("status", "nothing", expect=3).stderr)
        self.assertIn("needs --path", self.ulmfit("status", expect=2).stderr)
        # One of several is told, and keeps nobody from hearing of the others.
        self.ulmfit(*self.SMALL, "--output=runs/a", "--train.steps=2")
        several = self.ulmfit("status", "corpus", "runs/a", "general.txt", expect=3)
        self.assertRegex(several.stdout, r"^runs/a: pretrain, finished\n")
        self.assertIn("no run in corpus", several.stderr)

    def test_runs_side_by_side(self):
        for name, rate in (("one", "0.004"), ("two", "0.01")):
            self.ulmfit(*self.SMALL, f"--output=runs/{name}", "--epochs=2", f"--lr={rate}")
        said = self.ulmfit("compare", "runs/one", "runs/two", "--report=page").stdout
        self.assertRegex(said, r"optim\.lr +0\.004 +0\.01\n")
        self.assertNotIn("model.hidden", said)  # alike
        self.assertRegex(said, r"best validation +perplexity \d+\.?\d* \(epoch [\d.]+\) +perplexity")
        page = (self.dir / "page/report.html").read_text()
        self.assertIn("runs/one", page)
        self.assertEqual(page.count("<figure"), 3)
        # Kinds apart: each its own figures and curves, of which classifiers have three as well.
        write_csv(self.dir / "train.csv", labelled_rows(160, seed=3))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data")
        for epochs in (2, 3):
            self.ulmfit("train-classifier", "--data=data/labelled", "--from=none", "--optim.unfreeze=full", "--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--threads=1",
                        f"--epochs={epochs}", f"--output=classifiers/{epochs}")
        mixed = self.ulmfit("compare", "runs/one", "classifiers/2", "runs/two", "classifiers/3", "--report=mixed").stdout
        self.assertRegex(mixed, r"^ +runs/one +runs/two *\n(?s:.*)\n\n\n +classifiers/2 +classifiers/3 *\n(?s:.*)train\.epochs +2 +3\n")
        page = (self.dir / "mixed/report.html").read_text()
        self.assertEqual((page.count("<figure"), page.count("<h2>Error on unseen texts</h2>"), page.count("Wrong decisions")), (6, 1, 0))
        told = json.loads(self.ulmfit("compare", "runs", "--json").stdout)
        self.assertEqual(told["differing_settings"]["optim.lr"], ["0.004", "0.01"])


if __name__ == "__main__":
    unittest.main()
