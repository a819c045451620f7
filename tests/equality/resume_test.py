"""Resumed is uninterrupted: killed at random moments, or stopped by a signal, a run ends with the same bits."""
import collections
import itertools
import json
import os
import random
import signal
import time
import unittest

from tests.end_to_end.pipeline_test import PIPELINE
from tests.support.ulmfit import TestCase, kill_all, labelled_rows, sentences, wait_for, write_csv

MODEL = ["--model.embedding=32", "--model.hidden=48", "--model.layers=2"]
LM = ["pretrain", "--corpus=corpus", *MODEL, "--train.streams=16", "--train.bptt=20", "--epochs=3", "--log.every=7",
      "--checkpoint.every=11", "--train.threads=1"]
CLASSIFIER = ["train-classifier", *MODEL, "--from=none", "--data=data/labelled", "--epochs=6", "--log.every=7", "--train.threads=1",
              "--batch-size=16", "--checkpoint.every=5", "--train.patience=0"]
KILLS = int(os.environ.get("ULMFIT_TEST_KILLS", "5"))


class Folders(TestCase):
    """A corpus, labelled data, and comparisons with a run that nothing interrupted."""

    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(4000)))
        write_csv(self.dir / "train.csv", labelled_rows(600))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.05")
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab.min-count=1")

    def uninterrupted(self, command, ranks=1):
        start = time.monotonic()
        self.ulmfit(*command, "--output=whole", ranks=ranks)
        return time.monotonic() - start

    def assert_like_whole(self, run):
        self.assert_same_weights(f"{run}/stage/model.safetensors", "whole/stage/model.safetensors")
        for kind in ("train", "valid"):
            # Times differ; what was learned, and in which order it was reported, must not.
            keys = ("step", "epoch", "loss", "lr", "grad_norm", "error")
            told = [{k: m.get(k) for k in keys} for m in self.metrics(run, kind)]
            self.assertEqual(told, [{k: m.get(k) for k in keys} for m in self.metrics("whole", kind)])


class Resume(Folders):
    def test_signal_saves_and_the_same_command_goes_on(self):
        self.uninterrupted(LM)
        stops = self.dir / "stops"
        process = self.start(*LM, "--output=stopped", ULMFIT_STOP_FILE=str(stops))
        self.assertTrue(wait_for(lambda: (self.dir / "stopped/metrics.jsonl").exists()
                                 and (self.dir / "stopped/metrics.jsonl").stat().st_size > 0))
        os.kill(process.pid, signal.SIGUSR2)
        self.assertEqual(process.wait(timeout=60), 75)
        self.assertFalse((self.dir / "stopped/stage").exists())
        self.assertRegex(stops.read_text(), rf"^stopped after saving, step [1-9]\d* of {self.dir}/stopped\n$")
        self.ulmfit(*LM, "--output=stopped")
        self.assert_like_whole("stopped")

    def test_checkpoints_that_cannot_be_read_are_never_lost(self):
        self.uninterrupted(LM)
        process = self.start(*LM, "--output=run", "--checkpoint.keep=3")
        checkpoints = self.dir / "run/checkpoints"
        self.assertTrue(wait_for(lambda: len(list(checkpoints.glob("step-*"))) >= 3))
        kill_all(process)
        kept = sorted(checkpoints.glob("step-*"))
        hidden = [folder.rename(self.dir / folder.name) for folder in kept]
        for folder in kept:  # as a file system that has lost sight of their files
            folder.mkdir()
        self.assertIn(f"none of the checkpoints in {checkpoints} can be used", self.ulmfit(*LM, "--output=run", "--checkpoint.keep=3", expect=4).stderr)
        self.assertEqual(sorted(checkpoints.glob("step-*")), kept)
        for folder, place in list(zip(hidden, kept))[:-1]:  # all but the newest come back
            place.rmdir()
            folder.rename(place)
        (kept[-1] / "half").write_text("of it")
        said = self.ulmfit(*LM, "--output=run", "--checkpoint.keep=3").stderr
        self.assertIn(f"could not be read and is {checkpoints}/unread-{kept[-1].name} now", said)
        self.assertEqual((checkpoints / f"unread-{kept[-1].name}/half").read_text(), "of it")
        self.assert_like_whole("run")

    def test_other_rank_counts_go_on_with_the_same_bits_in_reproducible_mode(self):
        command = [*LM, "--reproducible"]
        self.ulmfit(*command, "--output=whole")
        for ranks in (1, 2, 4):
            before = self.newest("elastic")
            process = self.start(*command, "--output=elastic", ranks=ranks)
            wait_for(lambda: self.newest("elastic") > before, seconds=60)
            kill_all(process)
        self.ulmfit(*command, "--output=elastic")
        self.assert_same_weights("elastic/stage/model.safetensors", "whole/stage/model.safetensors")

    def newest(self, run):
        steps = [int(p.name[5:]) for p in (self.dir / run / "checkpoints").glob("step-*")]
        return max(steps, default=0)

    def test_a_broken_newest_checkpoint_is_named_and_the_one_before_used(self):
        self.uninterrupted(LM)
        process = self.start(*LM, "--output=broken")
        self.assertTrue(wait_for(lambda: len(list((self.dir / "broken/checkpoints").glob("step-*"))) >= 2))
        kill_all(process)
        newest = max((self.dir / "broken/checkpoints").glob("step-*"))
        weights = bytearray((newest / "model.safetensors").read_bytes())
        weights[len(weights) // 2] ^= 1
        (newest / "model.safetensors").write_bytes(weights)
        result = self.ulmfit(*LM, "--output=broken")
        self.assertIn(newest.name, result.stderr)
        self.assertIn("using the checkpoint before it", result.stderr)
        self.assert_like_whole("broken")

    def test_changed_settings_and_a_second_run_are_refused(self):
        self.uninterrupted(LM)
        changed = self.ulmfit(*[a for a in LM if not a.startswith("--train.bptt")], "--train.bptt=30", "--output=whole", expect=2)
        self.assertIn("train.bptt: 20 in the run folder, 30 now", changed.stderr)
        process = self.start(*LM, "--output=busy")
        self.assertTrue(wait_for(lambda: (self.dir / "busy/metrics.jsonl").exists()))
        second = self.ulmfit(*LM, "--output=busy", expect=4)
        self.assertIn("another run holds it", second.stderr)
        kill_all(process)


class Kills(Folders):
    """kill -9 at KILLS moments, each time started again by the same command; a run that ends before is compared, and another one
    begins."""

    def killed(self, command, ranks=1):
        seconds = self.uninterrupted(command, ranks)
        ends = {m["step"] for m in self.metrics("whole", "valid")}
        rng = random.Random(7)
        moments = itertools.cycle(["any time", "saving", "validating", "after an epoch"])
        seen = collections.Counter()
        runs = 0
        while seen.total() < KILLS:
            runs += 1
            run = f"killed-{runs}"
            while seen.total() < KILLS and not (self.dir / run / "stage/MANIFEST.json").exists():
                process = self.start(*command, f"--output={run}", ranks=ranks)
                self.wait_for_moment(process, run, next(moments), rng.uniform(0.1, 1) * seconds, ends)
                alive = process.poll() is None
                kill_all(process)
                if alive:
                    seen[self.moment_of_death(run, ends)] += 1
            self.ulmfit(*command, f"--output={run}", ranks=ranks)
            self.assert_like_whole(run)
        print(f"\n{command[0]}, {ranks} ranks: {seen.total()} kills in {runs} runs: {dict(seen)}")

    def wait_for_moment(self, process, run, moment, seconds, ends):
        saving = lambda: list((self.dir / run / "checkpoints").glob(".saving-*"))
        before = len(self.steps(run, "valid"))
        validating = lambda: self.is_validating(run, ends)
        conditions = {"any time": lambda: False, "saving": saving, "validating": validating,
                      "after an epoch": lambda: len(self.steps(run, "valid")) > before}
        wait_for(lambda: process.poll() is not None or conditions[moment](), seconds if moment == "any time" else 60)

    def moment_of_death(self, run, ends):
        if list((self.dir / run / "checkpoints").glob(".saving-*")):
            return "saving"
        if self.is_validating(run, ends):
            return "validating"
        return "in a step" if self.steps(run, "train") else "before the first report"

    def is_validating(self, run, ends):
        trained = self.steps(run, "train")
        return bool(trained) and trained[-1] in ends and trained[-1] not in self.steps(run, "valid")

    def steps(self, run, kind):
        """Of the reports so far; the last line may be half written."""
        path = self.dir / run / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [m["step"] for m in map(json.loads, lines) if m["type"] == kind]

    def test_pretrain(self):
        self.killed(LM)

    def test_pretrain_on_two_ranks(self):
        self.killed(LM, ranks=2)

    def test_finetune_lm(self):
        self.ulmfit(*LM, "--output=general")
        self.killed(["finetune-lm", "--from=general", "--corpus=data/lm", "--train.streams=8", "--train.bptt=15", "--epochs=3",
                     "--optim.unfreeze=paper", "--log.every=7", "--checkpoint.every=9", "--train.threads=1"])

    def test_averaged_sgd(self):
        """Also while the averages stand in the weights' place, which validates."""
        self.killed([*(word for word in LM if not word.startswith("--epochs")), "--epochs=8", "--optim.kind=sgd", "--lr=20", "--schedule.kind=constant",
                     "--optim.nt-asgd=1"])
        self.assertIn("the mean of the weights is evaluated and kept (NT-ASGD)", (self.dir / "whole/log.txt").read_text())

    def test_train_classifier(self):
        self.killed(CLASSIFIER)

    def test_pipeline(self):
        """At any time of all stages: within them, and between one and the next."""
        stages = PIPELINE[:PIPELINE.index("[evaluate]")].replace("epochs = 20", "epochs = 5")
        names = ("general-lm", "target-lm", "classifier")

        def folder(name):
            (self.dir / name).mkdir()
            (self.dir / name / "pipeline.cfg").write_text(stages)
            (self.dir / name / "general").write_text("\n".join(sentences(1500)))
            (self.dir / name / "more").write_text("\n".join(sentences(500, seed=4)))
            write_csv(self.dir / name / "train.csv", labelled_rows(600))
            write_csv(self.dir / name / "test.csv", labelled_rows(150, seed=5))

        folder("whole")
        start = time.monotonic()
        self.ulmfit("run", "--config=pipeline.cfg", cwd="whole")
        seconds = time.monotonic() - start
        rng = random.Random(8)
        kills = runs = 0
        while kills < KILLS:
            runs += 1
            run = f"killed-{runs}"
            folder(run)
            ended = False
            while kills < KILLS and not ended:
                process = self.start("run", "--config=pipeline.cfg", cwd=run)
                ended = wait_for(lambda: process.poll() is not None, rng.uniform(0.05, 0.5) * seconds)
                kill_all(process)
                kills += not ended
            self.ulmfit("run", "--config=pipeline.cfg", cwd=run)
            for name in names:
                self.assert_same_weights(f"{run}/{name}/stage/model.safetensors", f"whole/{name}/stage/model.safetensors")
        print(f"\npipeline: {kills} kills in {runs} runs")


if __name__ == "__main__":
    unittest.main()
