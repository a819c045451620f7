"""Memory: of long texts, and where it cannot be had, a message with advice, no abort. Not under a sanitizer, which needs all of the address space."""
import contextlib
import os
import resource
import unittest

from tests.support.ulmfit import TestCase, kill_all, sentences, write_csv


@contextlib.contextmanager
def address_space(limit):
    """What the processes started meanwhile may take, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class TooLittleMemory(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(200)))
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--valid-share=0.1")

    def test_too_little_memory_is_told_with_what_to_lower(self):
        large = ["pretrain", "--corpus=corpus", "--model.embedding=400", "--model.hidden=1152", "--train.streams=200", "--train.bptt=70",
                 "--train.steps=1", "--train.threads=1", "--output=large"]
        with address_space(1_600_000_000):
            for ranks in (1, 2):
                result = self.ulmfit(*large, ranks=ranks, expect=2)
                self.assertIn("not enough memory: ", result.stderr)
                self.assertIn("--train.max-streams-per-pass", result.stderr)
                self.assertRegex(result.stderr, r"a rank needs at least [0-9]+ MB more, and [0-9]+ MB are free")


class LongTexts(TestCase):
    def test_a_step_of_a_long_document_takes_the_memory_of_a_shorter_one(self):
        words = " ".join(sentences(9000)).split()
        peaks = {}
        for count in (3000, 100_000):
            rows = [("a", " ".join((words * (count // len(words) + 1))[:count]))] + [("ab"[i % 2], " ".join(words[40 * i:40 * i + 40])) for i in range(7)]
            write_csv(self.dir / f"{count}.csv", rows)
            self.ulmfit("prepare-labelled", f"--train={count}.csv", "--vocab.min-count=1", "--valid-share=0", f"--output=data-{count}")
            training = self.start("train-classifier", "--from=none", f"--data=data-{count}/labelled", "--model.embedding=24", "--model.hidden=32", "--model.layers=3",
                                  "--batch-size=8", "--epochs=1", "--optim.unfreeze=full", "--threads=1", f"--output=classifier-{count}")
            self.addCleanup(kill_all, training)
            _, status, used = os.wait4(training.pid, 0)
            self.assertEqual(os.waitstatus_to_exitcode(status), 0)
            peaks[count] = used.ru_maxrss / 1024
        self.assertLess(peaks[100_000], 1.15 * peaks[3000], peaks)


if __name__ == "__main__":
    unittest.main()
