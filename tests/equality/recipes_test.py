"""Recipes besides the usual ones: killed they go on with the same bits, and ranks change nothing."""
import unittest

from tests.support.ulmfit import TestCase, kill_all, labelled_rows, wait_for, write_csv

MODEL = ("--model.embedding=12", "--model.hidden=16", "--model.layers=2")
COMMON = ("--threads=1", "--log.every=1", "--checkpoint.every=5")
CLASSIFIER = ("train-classifier", "--from=lm", "--data=data/labelled", "--batch-size=16", "--epochs=5", *COMMON)
TUNING = ("finetune-lm", "--from=lm", "--corpus=data/lm", "--train.streams=8", "--train.bptt=10", "--epochs=3", *COMMON)
RECIPES = {
    "each layer alone, weighted classes": (*CLASSIFIER, "--optim.unfreeze=chain-thaw", "--schedule.kind=linear", "--train.class-weights=balanced"),
    "bottom-up, smoothed labels": (*CLASSIFIER, "--optim.unfreeze=bottom-up", "--train.label-smoothing=0.1"),
    "the released scripts": (*CLASSIFIER, "--optim.unfreeze=released", "--schedule.span=phase", "--schedule.ratio=8", "--schedule.phase-cut-frac", "0.3333333", "0.3333333", "0.125"),
    "named groups, the language model's loss": (*CLASSIFIER, "--optim.unfreeze=full", "--train-groups", "rnn1", "head", "--schedule.kind=cosine", "--aux-lm-weight=0.5"),
    "FitLaM": (*TUNING, "--optim.unfreeze=paper", "--optim.factor=3.3333333", "--schedule.kind=cosine", "--schedule.span=phase"),
    "its last epoch": (*TUNING, "--schedule.kind=reverse-annealing", "--drop-mult=0"),
}


class Recipes(TestCase):
    def setUp(self):
        super().setUp()
        write_csv(self.dir / "train.csv", labelled_rows(240, seed=2))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data")
        self.ulmfit("pretrain", "--corpus=data/lm", "--output=lm", *MODEL, "--train.streams=8", "--train.bptt=15", "--train.steps=5", "--threads=1")

    def newest(self, run):
        return max((int(p.parent.name[5:]) for p in (self.dir / run / "checkpoints").glob("step-*/MANIFEST.json")), default=0)

    def test_killed_they_go_on_with_the_same_bits(self):
        for number, (name, command) in enumerate(RECIPES.items()):
            with self.subTest(name):
                whole, part, kills = f"whole-{number}", f"part-{number}", 0
                self.ulmfit(*command, f"--output={whole}")
                for place in (5, 60):  # in the first phase, and in the last
                    process = self.start(*command, f"--output={part}")
                    wait_for(lambda: self.newest(part) >= place or process.poll() is not None)
                    kills += process.poll() is None
                    kill_all(process)
                self.assertGreater(kills, 0)
                self.ulmfit(*command, f"--output={part}")
                self.assert_same_weights(f"{part}/stage/model.safetensors", f"{whole}/stage/model.safetensors")

    def test_ranks_change_nothing(self):
        for number, (name, command) in enumerate(RECIPES.items()):
            with self.subTest(name):
                for ranks in (1, 2):
                    self.ulmfit(*command, "--reproducible", f"--output=ranks-{number}-{ranks}", ranks=ranks)
                self.assert_same_weights(f"ranks-{number}-1/stage/model.safetensors", f"ranks-{number}-2/stage/model.safetensors")


if __name__ == "__main__":
    unittest.main()
