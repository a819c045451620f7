"""Adaptive and sampled softmax: N ranks are one rank, passes are one batch, and a run that was killed goes on with the same bits."""
import os
import signal
import unittest

from tests.support.ulmfit import TestCase, kill_all, read_safetensors, sentences, wait_for

LM = ("pretrain", "--corpus=corpus", "--model.embedding=16", "--model.hidden=24", "--model.layers=2", "--train.streams=16", "--train.bptt=15",
      "--train.steps=60", "--log.every=1", "--checkpoint.every=7", "--threads=1", "--drop-mult=1", "--lr=0.01")
SOFTMAXES = {"adaptive": ("--softmax.kind=adaptive", "--softmax.cutoffs", "30", "70"), "sampled": ("--softmax.kind=sampled", "--softmax.samples=40")}


class Softmax(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(1500)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.05")

    def pretrain(self, output, softmax, *more, ranks=1):
        said = self.ulmfit(*LM, f"--output={output}", *SOFTMAXES[softmax], *more, ranks=ranks).stderr
        return said, [m["loss"] for m in self.metrics(output)], self.metrics(output, "valid")[-1]["loss"]

    def newest(self, run):
        return max((int(p.parent.name[5:]) for p in (self.dir / run / "checkpoints").glob("step-*/MANIFEST.json")), default=0)

    def test_losses_agree_on_1_2_and_4_ranks_and_in_passes(self):
        for softmax in SOFTMAXES:
            _, one, valid = self.pretrain(f"{softmax}-1", softmax)
            self.assertLess(sum(one[-5:]) / 5, one[0] - 0.15, "it learned nothing: agreement would prove little")
            for name, ranks, more in (("2", 2, ()), ("4", 4, ()), ("passes", 1, ("--train.max-streams-per-pass=4",))):
                _, other, other_valid = self.pretrain(f"{softmax}-{name}", softmax, *more, ranks=ranks)
                self.assertEqual(len(one), len(other))
                self.assertLess(max(abs(a - b) for a, b in zip(one, other)), 1e-4, (softmax, name))
                self.assertLess(abs(valid - other_valid), 1e-4)

    def test_reproducible_mode_gives_the_same_bits(self):
        for softmax in SOFTMAXES:
            for ranks in (1, 2, 4):
                self.pretrain(f"{softmax}-{ranks}", softmax, "--reproducible", ranks=ranks)
                for file in ("stage/model.safetensors", "checkpoints/step-000000060/model.safetensors", "checkpoints/step-000000060/training.safetensors"):
                    self.assert_same_weights(f"{softmax}-{ranks}/{file}", f"{softmax}-1/{file}")

    def test_each_step_has_the_gradients_of_one_rank(self):
        common = [option for option in LM[1:] if not option.startswith(("--log.every", "--checkpoint"))]
        for softmax in SOFTMAXES.values():
            self.ulmfit("verify-parity", "pretrain", *common, *softmax, "--parity.steps=40", "--parity.states=10", ranks=2)

    def test_killed_or_stopped_it_goes_on_with_the_same_bits(self):
        for softmax, options in SOFTMAXES.items():
            self.pretrain("whole-" + softmax, softmax)
            part = "part-" + softmax
            met = []
            for place, how in ((7, signal.SIGKILL), (21, signal.SIGUSR2), (35, signal.SIGKILL)):
                process = self.start(*LM, f"--output={part}", *options)
                wait_for(lambda: self.newest(part) >= place or process.poll() is not None)
                if process.poll() is None:
                    met.append(how)
                    kill_all(process) if how == signal.SIGKILL else os.kill(process.pid, how)
                process.wait(60)
            self.assertEqual(set(met), {signal.SIGKILL, signal.SIGUSR2}, "it had ended before: equality would prove nothing")
            self.pretrain(part, softmax)
            for file in ("stage/model.safetensors", "checkpoints/step-000000060/model.safetensors", "checkpoints/step-000000060/training.safetensors"):
                self.assert_same_weights(f"{part}/{file}", f"whole-{softmax}/{file}")
            self.assertEqual([m["loss"] for m in self.metrics(part)], [m["loss"] for m in self.metrics("whole-" + softmax)])

    def test_the_clusters_train_and_stay_in_checkpoints(self):
        self.pretrain("run", "adaptive")
        saved = read_safetensors(self.dir / "run/checkpoints/step-000000060/model.safetensors")
        self.assertEqual((len(saved["clusters.weight"]), len(saved["clusters.bias"])), (2 * 16, 2))
        self.assertTrue(all(saved["clusters.weight"]))
        stage = read_safetensors(self.dir / "run/stage/model.safetensors")
        self.assertEqual(sorted(set(saved) - set(stage)), ["clusters.bias", "clusters.weight"])
        for name in stage:
            self.assertEqual(stage[name], saved[name], name)

    def test_other_settings_are_refused(self):
        self.pretrain("run", "adaptive")
        for more, message in ((("--softmax.kind=adaptive", "--softmax.cutoffs", "30", "80"), "softmax.cutoffs: 30 70 in the run folder, 30 80 now"),
                              ((), "softmax.kind: adaptive in the run folder, full now")):
            self.assertIn(message, self.ulmfit(*LM, "--output=run", *more, expect=2).stderr)


if __name__ == "__main__":
    unittest.main()
