"""The global batch by the rank, and the learning rate that follows it."""
import unittest

from tests.support.ulmfit import TestCase, sentences


class Batch(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "general.txt").write_text("\n".join(sentences(200, seed=5)) + "\n")
        self.ulmfit("prepare-corpus", "--input=general.txt", "--output=corpus")

    def pretrain(self, output, *arguments, **more):
        return self.ulmfit("pretrain", "--corpus=corpus", "--model.embedding=8", "--model.hidden=8", "--model.layers=1", "--train.steps=6",
                           "--train.threads=1", f"--output={output}", *arguments, **more)

    def same(self, one, other):
        self.assert_same_weights(f"{one}/stage/model.safetensors", f"{other}/stage/model.safetensors")

    def test_streams_of_a_rank_make_the_global_batch(self):
        self.pretrain("whole", "--train.streams=8", ranks=2)
        self.pretrain("parts", "--train.streams-per-rank=4", ranks=2)
        self.same("whole", "parts")
        config = (self.dir / "parts/config.cfg").read_text()
        self.assertIn("streams = 8\n", config)
        # Again on two ranks: done. On one rank the batch would be another.
        self.assertIn("nothing to do", self.pretrain("parts", "--train.streams-per-rank=4", ranks=2).stderr)
        self.assertIn("train.streams", self.pretrain("parts", "--train.streams-per-rank=4", expect=2).stderr)
        self.assertIn("give one of them", self.pretrain("both", "--train.streams=8", "--train.streams-per-rank=4", expect=2).stderr)
        # The configuration that the folder keeps can be given back.
        self.ulmfit("pretrain", "--config=parts/config.cfg", "--output=again", ranks=2)
        self.same("again", "parts")

    def test_the_rate_follows_the_batch(self):
        self.pretrain("plain", "--train.streams=16", "--lr=0.008")
        said = self.pretrain("linear", "--train.streams=16", "--lr=0.002", "--optim.lr-rule=linear", "--optim.lr-batch=4")
        self.assertIn("learning rates: times 4 (linear: a batch of 16 for one of 4)", said.stderr)
        self.pretrain("sqrt", "--train.streams=16", "--lr=0.004", "--optim.lr-rule=sqrt", "--optim.lr-batch=4")
        self.same("plain", "linear")
        self.same("plain", "sqrt")
        self.assertIn("needs --optim.lr-batch", self.pretrain("bad", "--optim.lr-rule=sqrt", expect=2).stderr)


if __name__ == "__main__":
    unittest.main()
