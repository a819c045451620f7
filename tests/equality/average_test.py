"""NT-ASGD: the average of a run that is stopped, killed, or on several ranks is that of one that is not."""
import os
import signal
import unittest

from tests.support.ulmfit import TestCase, kill_all, sentences, wait_for

LM = ["pretrain", "--corpus=corpus", "--model.embedding=16", "--model.hidden=24", "--model.layers=1", "--train.streams=8", "--train.bptt=20", "--epochs=12",
      "--optim.kind=sgd", "--lr=20", "--schedule.kind=constant", "--optim.weight-decay=1.2e-6", "--log.every=5", "--checkpoint.every=3", "--threads=1"]
AVERAGED = [*LM, "--optim.nt-asgd=1"]


class Average(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(150)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.2")

    def newest(self, run):
        return max((int(p.parent.name[5:]) for p in (self.dir / run / "checkpoints").glob("step-*/MANIFEST.json")), default=0)

    def test_it_begins_and_what_is_kept_is_evaluated(self):
        said = self.ulmfit(*AVERAGED, "--output=averaged").stderr
        begun = [line for line in said.splitlines() if "the mean of the weights is evaluated and kept (NT-ASGD)" in line]
        self.assertEqual(len(begun), 1, said)
        self.ulmfit(*LM, "--output=plain")
        averaged, plain = self.metrics("averaged", "valid"), self.metrics("plain", "valid")
        first = int(begun[0].split("from step ")[1].split()[0])
        steps = [m["step"] for m in averaged]
        self.assertIn(first, steps)
        for a, p in zip(averaged, plain):
            (self.assertEqual if a["step"] <= first else self.assertNotEqual)(a["loss"], p["loss"], a["step"])
        # What is trained is the same; what is kept is not.
        self.assertEqual([m["loss"] for m in self.metrics("averaged")], [m["loss"] for m in self.metrics("plain")])
        stage = self.ulmfit("evaluate", "--model=averaged", "--data=corpus", "--split=valid", "--batch-size=8").stdout
        self.assertIn('"loss"', stage)

    def test_killed_or_stopped_it_goes_on_with_the_same_bits(self):
        said = self.ulmfit(*AVERAGED, "--output=whole").stderr
        begun = int(said.split("checks: from step ")[1].split()[0])
        last = self.metrics("whole", "valid")[-1]["step"]
        self.assertLess(begun + 8, last)
        met = []
        for place in (begun // 3, begun // 2, begun + 1, (begun + last) // 2):  # before it begins, and while it runs
            for how in (signal.SIGUSR2, signal.SIGKILL):
                process = self.start(*AVERAGED, "--output=part")
                wait_for(lambda: self.newest("part") >= place or process.poll() is not None)
                if process.poll() is None:
                    met.append(self.newest("part") > begun)
                    kill_all(process) if how == signal.SIGKILL else os.kill(process.pid, how)
                process.wait(60)
        self.assertEqual(set(met), {False, True}, "it was to be stopped on both sides")
        self.ulmfit(*AVERAGED, "--output=part")
        self.assert_same_weights("part/stage/model.safetensors", "whole/stage/model.safetensors")
        self.assertEqual([m["loss"] for m in self.metrics("part", "valid")], [m["loss"] for m in self.metrics("whole", "valid")])

    def test_ranks_change_nothing(self):
        adaptive = ("--softmax.kind=adaptive", "--softmax.cutoffs", "30", "70")
        for name, more in (("full", ()), ("adaptive", adaptive)):
            for ranks in (1, 2):
                said = self.ulmfit(*AVERAGED, *more, "--reproducible", f"--output={name}-on-{ranks}", ranks=ranks).stderr
                self.assertIn("the mean of the weights is evaluated and kept (NT-ASGD)", said)
            self.assert_same_weights(f"{name}-on-1/stage/model.safetensors", f"{name}-on-2/stage/model.safetensors")
            last = max((self.dir / f"{name}-on-1/checkpoints").glob("step-*")).name  # the mean of the clusters is there, not in the stage
            for file in ("model.safetensors", "training.safetensors"):
                self.assert_same_weights(f"{name}-on-1/checkpoints/{last}/{file}", f"{name}-on-2/checkpoints/{last}/{file}")

    def test_another_setting_is_refused(self):
        self.ulmfit(*AVERAGED, "--output=run")
        self.assertIn("optim.nt-asgd: 1 in the run folder, 2 now", self.ulmfit(*LM, "--optim.nt-asgd=2", "--output=run", expect=2).stderr)
        self.assertIn("optim.nt-asgd", self.ulmfit(*LM, "--output=run", expect=2).stderr)


if __name__ == "__main__":
    unittest.main()
