"""Memory that cannot be had: a message with advice, no abort. Not under a sanitizer, which needs all of the address space."""
import contextlib
import resource
import unittest

from tests.support.ulmfit import TestCase, sentences


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


if __name__ == "__main__":
    unittest.main()
