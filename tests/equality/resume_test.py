"""Resumed is uninterrupted: killed at random moments, or stopped by a signal, a run ends with the same bits."""
import os
import random
import signal
import time
import unittest

from tests.support.ulmfit import TestCase, kill_all, labelled_rows, sentences, wait_for, write_csv

MODEL = ["--model.embedding=32", "--model.hidden=48", "--model.layers=2"]
LM = ["pretrain", "--corpus=corpus", *MODEL, "--train.streams=16", "--train.bptt=20", "--epochs=3", "--log.every=7",
      "--checkpoint.every=11", "--train.threads=1"]
CLASSIFIER = ["train-classifier", *MODEL, "--from=none", "--data=data/labelled", "--epochs=6", "--log.every=7", "--train.threads=1",
              "--batch-size=16", "--checkpoint.every=5", "--train.patience=0"]
KILLS = int(os.environ.get("ULMFIT_TEST_KILLS", "4"))


class Resume(TestCase):
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

    def killed_run(self, command, seconds, ranks=1):
        """Kills the run KILLS times at random moments of its life, each time started again; then lets it end."""
        rng = random.Random(7)
        kills = 0
        for _ in range(3 * KILLS):
            if kills == KILLS:
                break
            process = self.start(*command, "--output=killed", ranks=ranks)
            time.sleep(rng.uniform(0.3, 0.9) * seconds)
            if process.poll() is None:
                kills += 1
            kill_all(process)
        self.ulmfit(*command, "--output=killed", ranks=ranks)
        self.assert_like_whole("killed")

    def test_language_model_killed_at_random_moments(self):
        self.killed_run(LM, self.uninterrupted(LM))

    def test_classifier_killed_between_and_within_phases(self):
        self.killed_run(CLASSIFIER, self.uninterrupted(CLASSIFIER))

    def test_two_ranks_killed(self):
        self.killed_run(LM, self.uninterrupted(LM, ranks=2), ranks=2)

    def test_signal_saves_and_the_same_command_goes_on(self):
        self.uninterrupted(LM)
        process = self.start(*LM, "--output=stopped")
        self.assertTrue(wait_for(lambda: (self.dir / "stopped/metrics.jsonl").exists()
                                 and (self.dir / "stopped/metrics.jsonl").stat().st_size > 0))
        os.kill(process.pid, signal.SIGUSR2)
        self.assertEqual(process.wait(timeout=60), 75)
        self.assertFalse((self.dir / "stopped/stage").exists())
        self.ulmfit(*LM, "--output=stopped")
        self.assert_like_whole("stopped")

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


if __name__ == "__main__":
    unittest.main()
