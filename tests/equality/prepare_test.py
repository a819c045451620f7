"""prepare-corpus under mpirun: the bytes of one process, and one end for all when one rank fails."""
import csv
import json
import subprocess
import unittest

from tests.support.ulmfit import BINARY, TestCase, environment, sentences


class PrepareCorpusOnRanks(TestCase):
    def setUp(self):
        super().setUp()
        lines = sentences(30000)  # 2.4 MB: several batches of a megabyte
        (self.dir / "lines.txt").write_text("\n".join(lines))
        with open(self.dir / "table.csv", "w", newline="") as file:
            csv.writer(file).writerows([("id", "text"), *enumerate(lines)])
        (self.dir / "files").mkdir()
        for n in range(40):
            (self.dir / f"files/{n}.txt").write_text("\r\n".join(lines[n * 700:(n + 1) * 700]))

    def folder(self, name):
        return {p.name: p.read_bytes() for p in (self.dir / name).iterdir()}

    def test_the_same_bytes_on_1_2_and_3_ranks(self):
        for format, source in (("lines", "lines.txt"), ("csv", "table.csv"), ("files", "files")):
            command = ["prepare-corpus", f"--input={source}", f"--format={format}", "--valid-share=0.05", "--vocab.min-count=2"]
            one = json.loads(self.ulmfit(*command, f"--output={format}-1").stdout)
            for ranks, threads in ((1, 2), (2, 1), (3, 2)):
                output = f"{format}-{ranks}-ranks"
                shared = self.ulmfit(*command, f"--output={output}", f"--threads={threads}", ranks=ranks, under_mpirun=True)
                self.assertEqual(len(shared.stdout.splitlines()), 1, "rank 0 alone tells the result")
                self.assertEqual(json.loads(shared.stdout)["splits"], one["splits"])
                self.assertTrue(self.folder(output) == self.folder(f"{format}-1"), f"{format} on {ranks} ranks differs")
            again = self.ulmfit(*command, f"--output={format}-3-ranks", ranks=2)
            self.assertTrue(json.loads(again.stdout)["already_prepared"])

    def test_an_error_on_one_rank_ends_all_with_its_message(self):
        (self.dir / "broken.jsonl").write_text('{"text": "fine"}\nnot json\n')
        (self.dir / "whole.jsonl").write_text('{"text": "fine"}\n{"text": "too"}\n')
        part = [BINARY, "prepare-corpus", "--format=jsonl", "--output=out"]
        command = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", *part, "--input=whole.jsonl",
                   ":", "-n", "1", *part, "--input=broken.jsonl"]
        result = subprocess.run(command, capture_output=True, text=True, cwd=self.dir, env=environment(), timeout=60)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("broken.jsonl:2", result.stderr)
        self.assertFalse((self.dir / "out").exists())
        # What the ended ranks left is no obstacle.
        self.ulmfit(*part[1:], "--input=whole.jsonl", "--valid-share=0", "--vocab.min-count=1", ranks=2)


if __name__ == "__main__":
    unittest.main()
