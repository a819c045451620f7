"""How long a run lasts: lengths in epochs, steps and tokens, and --extend."""
import json
import shutil
import unittest

from tests.support.ulmfit import TestCase, sentences

# Windows of one length, so that epochs are alike.
LM = ["pretrain", "--corpus=corpus", "--model.embedding=8", "--model.hidden=12", "--model.layers=2", "--train.streams=8",
      "--train.bptt=10", "--train.variable-bptt=false", "--train.threads=1", "--log.every=1", "--lr=0.01"]
CONSTANT = ["--schedule.kind=constant"]


class Corpus(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(150)))
        prepared = self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.1", "--vocab.min-count=1")
        tokens = json.loads(prepared.stdout)["splits"]["train"]["tokens"]
        self.tokens = (tokens - 1) // 8 * 8  # of an epoch: eight equal streams

    def steps(self, run):
        return [m["step"] for m in self.metrics(run)]


class Length(Corpus):
    def checkpoints(self, run):
        return sorted(p.name for p in (self.dir / run / "checkpoints").glob("step-*"))

    def test_one_length_in_three_units(self):
        self.ulmfit(*LM, "--output=epochs", "--epochs=2")
        steps = len(self.steps("epochs"))
        self.assertGreater(steps, 20)
        for name, length in (("e", "2e"), ("s", f"{steps}s"), ("kt", f"{2 * self.tokens / 1000}kt")):
            self.ulmfit(*LM, f"--output={name}", f"--epochs={length}")
            self.assert_same_weights(f"{name}/stage/model.safetensors", "epochs/stage/model.safetensors")
        self.ulmfit(*LM, "--output=limit", "--epochs=5", "--train.steps=2e")
        self.assert_same_weights("limit/stage/model.safetensors", "epochs/stage/model.safetensors")

    def test_reports_and_checkpoints_at_lengths(self):
        self.ulmfit(*LM, "--output=epochs", "--epochs=2")
        steps = len(self.steps("epochs")) // 2
        self.ulmfit(*[a for a in LM if a != "--log.every=1"], "--output=run", "--epochs=2", "--log.every=0.5e", "--checkpoint.every=4s",
                    "--checkpoint.keep=99")
        half = (steps + 1) // 2
        self.assertEqual(self.steps("run")[:2], [half, 2 * half])
        expected = {*range(4, 2 * steps + 1, 4), steps, 2 * steps}
        self.assertEqual(self.checkpoints("run"), [f"step-{s:09d}" for s in sorted(expected)])

    def test_nonsense_is_refused(self):
        for bad in ("5x", "1.5s", "-2e", "0.5"):
            result = self.ulmfit(*LM, "--output=no", f"--epochs={bad}", expect=2)
            self.assertIn(f"--train.epochs={bad}", result.stderr)
        self.assertFalse((self.dir / "no").exists())


class Selected(Corpus):
    """The weights that validated best, and early stopping: a rate far too high makes them those of an early epoch."""
    WORSENING = [*[a for a in LM if not a.startswith("--lr")], "--epochs=6", "--lr=0.5", *CONSTANT]

    def best_step(self, run):
        return min(self.metrics(run, "valid"), key=lambda m: m["loss"])["step"]

    def test_the_stage_has_the_weights_that_validated_best(self):
        self.ulmfit(*self.WORSENING, "--train.select=best", "--output=run")
        best = self.best_step("run")
        last = max(m["step"] for m in self.metrics("run", "valid"))
        self.assertLess(best, last)
        kept = f"run/checkpoints/step-{best:09d}/model.safetensors"
        self.assertTrue((self.dir / kept).exists())
        losses = {m["step"]: m["loss"] for m in self.metrics("run", "valid")}
        figures = json.loads((self.dir / "run/stage/stage.json").read_text())["figures"]
        self.assertAlmostEqual(figures["loss"], losses[best], places=5)
        # Killed before it wrote the stage, the best checkpoint damaged since: the run ends with a warning, not with an error.
        shutil.rmtree(self.dir / "run/stage")
        (self.dir / kept).write_bytes(b"damaged")
        result = self.ulmfit(*self.WORSENING, "--train.select=best", "--output=run")
        self.assertIn(f"the weights of step {best}, which validated best, can't be read", result.stderr)
        figures = json.loads((self.dir / "run/stage/stage.json").read_text())["figures"]
        self.assertAlmostEqual(figures["loss"], losses[last], places=5)

    def test_a_run_that_early_stopping_ended_is_extended_by_more_patience_alone(self):
        stopped = [*self.WORSENING, "--train.patience=1", "--output=run"]
        self.assertIn("stopping early", self.ulmfit(*stopped).stderr)
        reached = max(self.steps("run"))
        stage = (self.dir / "run/stage/model.safetensors").read_bytes()
        longer = [a.replace("--epochs=6", "--epochs=9") for a in stopped]
        refused = self.ulmfit(*longer, "--extend", expect=2)
        self.assertIn("early stopping has ended the run", refused.stderr)
        self.assertEqual((self.dir / "run/stage/model.safetensors").read_bytes(), stage, "the stage stays where it is")
        patient = [a.replace("--train.patience=1", "--train.patience=0") for a in stopped]
        self.assertIn("--extend trains it longer", self.ulmfit(*patient, expect=2).stderr)
        self.ulmfit(*patient, "--extend")
        self.assertGreater(max(self.steps("run")), reached)
        self.ulmfit(*self.WORSENING, "--output=whole")
        self.assert_same_weights("run/stage/model.safetensors", "whole/stage/model.safetensors")


class Extend(Corpus):
    def test_with_a_constant_rate_the_longer_run_comes_out_bit_for_bit(self):
        self.ulmfit(*LM, *CONSTANT, "--output=long", "--epochs=4")
        self.ulmfit(*LM, *CONSTANT, "--output=run", "--epochs=2")
        result = self.ulmfit(*LM, *CONSTANT, "--output=run", "--epochs=4", "--extend")
        half = len(self.steps("long")) // 2
        self.assertIn(f"continuing from the checkpoint of step {half}", result.stderr)
        self.assertIn(f"extended from {half} to {2 * half} steps", result.stderr)
        self.assertEqual(self.steps("run"), self.steps("long"))
        self.assert_same_weights("run/stage/model.safetensors", "long/stage/model.safetensors")
        # The folder is now that of the longer run.
        again = self.ulmfit(*LM, *CONSTANT, "--output=run", "--epochs=4")
        self.assertIn("nothing to do", again.stderr)
        self.assertIn("train.epochs: 4 in the run folder, 2 now",
                      self.ulmfit(*LM, *CONSTANT, "--output=run", "--epochs=2", expect=2).stderr)

    def test_the_jump_of_the_rate_is_told_and_taken(self):
        self.ulmfit(*LM, "--output=run", "--epochs=1")
        before = self.metrics("run")
        result = self.ulmfit(*LM, "--output=run", "--epochs=2", "--extend", ranks=2)
        after = self.metrics("run")
        self.assertEqual(after[:len(before)], before)
        told = f"the highest learning rate goes from {before[-1]['lr']:.6g} to {after[len(before)]['lr']:.6g}"
        self.assertIn(told, result.stderr)
        self.assertGreater(after[len(before)]["lr"], 5 * before[-1]["lr"])

    def test_a_finished_run_without_checkpoints_is_refused_and_stays(self):
        self.ulmfit(*LM, *CONSTANT, "--output=run", "--epochs=1")
        shutil.rmtree(self.dir / "run/checkpoints")
        kept = {name: (self.dir / "run" / name).read_bytes() for name in ("config.cfg", "metrics.jsonl", "stage/model.safetensors")}
        refused = self.ulmfit(*LM, *CONSTANT, "--output=run", "--epochs=2", "--extend", expect=4).stderr
        self.assertIn("has finished and its checkpoints are gone", refused)
        self.assertEqual({name: (self.dir / "run" / name).read_bytes() for name in kept}, kept)

    def test_an_unfinished_run_is_extended(self):
        self.ulmfit(*LM, *CONSTANT, "--output=long", "--train.steps=30", "--epochs=9")
        self.ulmfit(*LM, *CONSTANT, "--output=run", "--train.steps=7", "--epochs=9")
        stage = self.dir / "run/stage"
        stage.rename(self.dir / "stage-of-7")  # as if it had been killed before the stage was written
        self.ulmfit(*LM, *CONSTANT, "--output=run", "--train.steps=30", "--epochs=9", "--extend")
        self.assert_same_weights("run/stage/model.safetensors", "long/stage/model.safetensors")

    def test_what_extend_does_not_do(self):
        self.ulmfit(*LM, "--output=run", "--epochs=2")
        before = (self.dir / "run/config.cfg").read_bytes()

        def refuse(message, *arguments, output="run"):
            self.assertIn(message, self.ulmfit(*LM, f"--output={output}", *arguments, expect=2).stderr)
            self.assertEqual((self.dir / "run/config.cfg").read_bytes(), before)
            self.assertTrue((self.dir / "run/stage/model.safetensors").exists())

        refuse("train.epochs: 2 in the run folder, 3 now", "--epochs=3")
        refuse("--extend trains it longer", "--epochs=3")
        refuse("train.seed: 1 in the run folder, 5 now", "--epochs=3", "--extend", "--seed=5")
        refuse("--extend trains longer, but", "--epochs=1", "--extend")
        refuse("there is no run in", "--epochs=3", "--extend", output="elsewhere")
        refuse("give one of them", "--epochs=3", "--extend", "--restart")
        self.assertFalse((self.dir / "elsewhere").exists())


if __name__ == "__main__":
    unittest.main()
