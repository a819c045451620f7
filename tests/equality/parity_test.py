"""From one state, one step gives the same gradients on 1, 2 and 4 ranks and in several passes, whatever is trained and however;
and losses stay together. `ulmfit verify-parity` makes the comparison; tests/distributed/parity_test.cpp shows that it finds faults.
"""
import json
import unittest

from tests.support.ulmfit import TestCase, labelled_rows, sentences, write_csv

MODEL = ["--model.embedding=16", "--model.hidden=24", "--model.layers=3", "--train.threads=1", "--drop-mult=1"]
LM = [*MODEL, "--corpus=corpus", "--train.streams=16", "--train.bptt=15", "--epochs=2", "--train.steps=200"]
ADAM = "--lr=0.01"
SGD = ("--optim.kind=sgd", "--lr=30", "--optim.weight-decay=1.2e-6")  # as AWD-LSTM was trained
# 23 of 270 texts a batch: the last one is short. Windows and gradients end within the documents.
CLASSIFIER = [*MODEL, "--from=none", "--data=data/labelled", "--batch-size=23", "--bpt3c.window=7", "--bpt3c.length=14",
              "--epochs=7"]
PASSES = "--train.max-streams-per-pass=2"


class Parity(TestCase):
    def verify(self, *arguments, ranks, states=20, steps=200, expect=0):
        result = self.ulmfit("verify-parity", *arguments, f"--parity.states={states}", f"--parity.steps={steps}", ranks=ranks,
                             expect=expect)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        verdict = lines.pop()
        print(f"{' '.join(arguments)[:60]:60} {verdict['ranks']} ranks x {verdict['passes']} passes: {verdict['states']} states, "
              f"{verdict['kinks']} kinks, gradients {verdict['gradient_difference']:.1e}; {verdict['steps']} steps, losses "
              f"{verdict['loss_difference']:.1e}")
        return lines, verdict


class LanguageModelParity(Parity):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(1500)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.05")

    def test_pretraining(self):
        for ranks, more in ((2, ()), (4, ()), (1, (PASSES,)), (2, (PASSES,))):
            states, verdict = self.verify("pretrain", *LM, ADAM, *more, ranks=ranks)
            self.assertEqual(len(states), 20)
            self.assertEqual(verdict["steps"], 200)
            self.assertEqual(verdict["passes"], 16 // ranks // 2 if more else 1)

    def test_sgd(self):
        for ranks in (2, 4):
            states, _ = self.verify("pretrain", *LM, *SGD, ranks=ranks)
            self.assertEqual(len(states), 20)

    def test_fine_tuning_with_unfreezing(self):
        arguments = ("finetune-lm", "--from=none", *LM[:-2], "--epochs=4", ADAM, "--optim.unfreeze=paper")
        for ranks in (2, 4):
            states, _ = self.verify(*arguments, ranks=ranks, states=5, steps=50)
            self.assertEqual(sorted({state["phase"] for state in states}), [0, 1, 2, 3])
            self.assertEqual(len(states), 20)

    def test_reproducible_mode_agrees_in_every_bit(self):
        _, verdict = self.verify("pretrain", *LM, ADAM, "--reproducible", ranks=4)
        self.assertEqual((verdict["gradient_difference"], verdict["loss_difference"]), (0, 0))

    def test_one_rank_in_one_pass_has_nothing_to_compare(self):
        result = self.ulmfit("verify-parity", *LM, expect=2)
        self.assertIn("mpirun -n N ulmfit verify-parity", result.stderr)

    def test_a_stage_that_does_not_exist_is_refused_with_the_nearest(self):
        self.assertIn("did you mean finetune-lm?", self.ulmfit("verify-parity", "finetune", expect=2).stderr)

    def test_nothing_is_written(self):
        before = sorted(path.name for path in self.dir.iterdir())
        self.verify(*LM, ADAM, ranks=2, states=2, steps=4)
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), before)


class ClassifierParity(Parity):
    def setUp(self):
        super().setUp()
        write_csv(self.dir / "train.csv", labelled_rows(300))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab.min-count=1")

    def test_every_unfreezing_phase(self):
        for ranks, more in ((2, ()), (4, ()), (1, (PASSES,)), (2, (PASSES,))):
            states, verdict = self.verify("train-classifier", *CLASSIFIER, *more, ranks=ranks, states=5)
            self.assertEqual(sorted({state["phase"] for state in states}), [0, 1, 2, 3, 4])
            self.assertGreaterEqual(len(states), 20)
            self.assertEqual(verdict["passes"] > 1, bool(more))
            self.assertLessEqual(verdict["kinks"], 3)

    def test_parts_that_do_not_add_up_in_floating_point(self):
        command = ["--batch-size=25" if a.startswith("--batch-size") else a for a in CLASSIFIER]  # 3 * (25 * (1 / 3)) is not 25
        _, verdict = self.verify("train-classifier", *command, ranks=3, states=2, steps=10)
        self.assertTrue(verdict["agree"])

    def test_reproducible_mode_agrees_in_every_bit(self):
        _, verdict = self.verify("train-classifier", *CLASSIFIER, "--reproducible", ranks=2, states=5)
        self.assertEqual((verdict["gradient_difference"], verdict["loss_difference"]), (0, 0))


if __name__ == "__main__":
    unittest.main()
