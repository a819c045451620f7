"""What must never go wrong without a word: another text on resume, text lost from a page or a table, output lost."""
import json
import os
import signal
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, environment, sentences, wait_for

FIXTURES = Path(__file__).parents[1] / "fixtures/9207f86"
CLASSIFIER = str(FIXTURES / "classifier-finished")
EVALUATE = ["evaluate", f"--model={CLASSIFIER}", f"--data={FIXTURES / 'data/labelled'}"]


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Input(TestCase):
    def tokens_of(self, *arguments):
        """Tokens of the training split of a prepared corpus, and its documents."""
        self.ulmfit("prepare-corpus", "--output=corpus", "--valid-share=0", "--vocab.min-count=1", *arguments)
        split = json.loads(self.ulmfit("inspect", "corpus", "--json").stdout)["splits"]["train"]
        vocabulary = (self.dir / "corpus/vocab.txt").read_text().splitlines()
        return split["tokens"], split["documents"], vocabulary

    def test_another_text_on_resume_is_refused(self):
        text = "\n".join(sentences(200))
        for name, content in (("text", text), ("other", text.replace("a", "y"))):
            (self.dir / name).write_text(content)
            self.ulmfit("prepare-corpus", f"--input={name}", f"--output={name}-corpus", "--valid-share=0.1")
        command = ["pretrain", "--output=lm", "--model.embedding=8", "--model.hidden=8", "--model.layers=1", "--train.streams=4",
                   "--train.threads=1"]
        process = self.start(*command, "--corpus=text-corpus", "--epochs=100", "--checkpoint.every=2")
        self.assertTrue(wait_for(lambda: list((self.dir / "lm/checkpoints").glob("step-*"))))
        process.send_signal(signal.SIGUSR2)
        self.assertEqual(process.wait(timeout=60), 75)
        refused = self.ulmfit(*command, "--corpus=other-corpus", "--epochs=100", expect=2)
        self.assertIn("training text: ", refused.stderr)
        self.assertIn("vocabulary: ", refused.stderr)

    def test_another_text_in_the_folder_s_place_does_not_become_the_stage_s(self):
        text = "\n".join(sentences(200))
        for name, content in (("text", text), ("other", text.replace("a", "y"))):
            (self.dir / name).write_text(content)
            self.ulmfit("prepare-corpus", f"--input={name}", f"--output={name}-corpus", "--valid-share=0.1")
        process = self.start("pretrain", "--corpus=text-corpus", "--output=lm", "--model.embedding=8", "--model.hidden=8", "--model.layers=1",
                             "--train.streams=4", "--train.threads=1", "--epochs=20", "--checkpoint.every=2")
        self.assertTrue(wait_for(lambda: list((self.dir / "lm/checkpoints").glob("step-*"))))
        process.send_signal(signal.SIGSTOP)
        own = (self.dir / "text-corpus/vocab.txt").read_text()
        (self.dir / "text-corpus").rename(self.dir / "old")
        (self.dir / "other-corpus").rename(self.dir / "text-corpus")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(timeout=120), 0)
        self.assertNotEqual((self.dir / "text-corpus/vocab.txt").read_text(), own)
        self.assertEqual((self.dir / "lm/stage/vocab.txt").read_text(), own)

    def test_a_page_is_read_to_its_end(self):
        words = [f"{chr(97 + i // 20)}{chr(97 + i % 20)}q" for i in range(200)]
        posts = "".join(f"<p><font><b>post {word}</p>\n" for word in words)
        (self.dir / "page.html").write_text(f"<html><body>{posts}<pre>{'many words ' * 1_000_000}</pre><p>behind</body></html>")
        tokens, documents, vocabulary = self.tokens_of("--input=page.html", "--format=html")
        self.assertEqual(documents, 1)
        self.assertEqual(set(words) - set(vocabulary), set(), "every post is there")
        self.assertIn("behind", vocabulary)
        self.assertGreater(tokens, 2_000_000)

    def test_a_page_that_is_not_read_to_its_end_is_refused_by_name(self):
        (self.dir / "page.html").write_bytes(b'<head><meta charset="windows-1252"></head>\n<p>caf\xe9 \x81 lost</p>')
        refused = self.ulmfit("prepare-corpus", "--input=page.html", "--format=html", "--output=corpus", "--valid-share=0", expect=3)
        self.assertIn("page.html", refused.stderr)

    def test_a_lone_quote_in_tsv_keeps_the_next_row(self):
        (self.dir / "t.tsv").write_text('text\tid\n"lone quote\t1\nsecond row\t2\nthird "row\t3\n')
        _, documents, _ = self.tokens_of("--input=t.tsv", "--format=tsv")
        self.assertEqual(documents, 3)


class JsonLines(TestCase):
    def predict(self, lines, *arguments):
        told = self.ulmfit("predict", f"--model={CLASSIFIER}", "--input-format=jsonl", *arguments, stdin="\n".join(lines) + "\n").stdout
        return told.splitlines()

    def test_the_object_comes_back_byte_for_byte(self):
        mine = '{"label": "mine", "text":"some words", "probabilities" : [ 1.50, 2 ],"unknown_share":null, "error": {},\t"id": 18446744073709551617, "id": 1e-5}'
        line, = self.predict([f"  {mine} \r"])
        self.assertIn(f'{{"input":{mine},"label":', line)
        answer = json.loads(line)
        self.assertEqual(sorted(answer), ["input", "label", "probabilities", "unknown_share"])
        self.assertIn(answer["label"], answer["probabilities"])

    def test_a_hostile_line_costs_its_own_answer_alone(self):
        deep = '{"text": "a", "x": ' + '{"y":' * 200_000 + "1" + "}" * 200_001
        long = json.dumps({"text": "words " * 20_000})
        lines = self.predict(['{"text": "before"}', deep, long, '{"text": "behind"}'], "--max-line-bytes=2000000")
        answers = [json.loads(line) for line in lines]
        self.assertEqual(answers[1], {"error": "nested deeper than 512 levels"})
        self.assertEqual(["label" in answer for answer in answers], [True, False, True, True])
        lines = self.predict(['{"text": "before"}', long, '{"text": "behind"}'], "--max-line-bytes=1000")
        answers = [json.loads(line) for line in lines]
        self.assertEqual(answers[1], {"error": "the line has more than 1000 bytes (--max-line-bytes)"})
        self.assertEqual(["label" in answer for answer in answers], [True, False, True])

    def test_an_input_that_cannot_be_read_is_an_error_of_files(self):
        folder = os.open("/tmp", os.O_RDONLY)
        result = subprocess.run([BINARY, "tokenize"], stdin=folder, capture_output=True, text=True, env=environment(), timeout=60)
        os.close(folder)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("cannot read standard input", result.stderr)

    def test_readers_of_lines_share_the_limit(self):
        (self.dir / "long").write_text("short\n" + "x" * 5000 + "\n")
        refused = self.ulmfit("prepare-corpus", "--input=long", "--output=c", "--max-line-bytes=1000", expect=3)
        self.assertIn("long:2: the line has more than 1000 bytes", refused.stderr)
        (self.dir / "t.csv").write_text('label,text\na,"never closed\n' + "b,more\n" * 1000)
        refused = self.ulmfit("prepare-labelled", "--train=t.csv", "--output=d", "--max-line-bytes=1000", expect=3)
        self.assertIn("t.csv:2: the quote opened here is not closed within 1000 bytes", refused.stderr)
        refused = self.ulmfit("tokenize", "--max-line-bytes=1000", stdin="short\n" + "x" * 5000 + "\n", expect=3)
        self.assertIn("cannot tokenize line 2", refused.stderr)


class Output(TestCase):
    def test_a_full_disk_is_an_error(self):
        for command, text in (("tokenize", "some words\n" * 20000), (f"predict --model={CLASSIFIER}", "some words\n" * 300),
                              (" ".join(EVALUATE), ""), ("evaluate --help", "")):
            with open("/dev/full", "w") as full:
                result = subprocess.run([BINARY, *command.split()], input=text, stdout=full, stderr=subprocess.PIPE, text=True,
                                        env=environment(), timeout=120)
            self.assertEqual(result.returncode, 3, command)
            self.assertIn("cannot write the results to standard output", result.stderr, command)
            if "--help" not in command:  # one large write: the stream forgets why it failed
                self.assertIn("No space left on device", result.stderr, command)

    def start_reading(self, *command):
        return subprocess.Popen([BINARY, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, env=environment())

    def test_predict_waiting_for_a_line_ends_by_the_signal(self):
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            process = self.start_reading("predict", f"--model={CLASSIFIER}")
            process.stdin.write("some words\n")
            process.stdin.flush()
            self.assertIn("label", process.stdout.readline())
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=10), -number, "a part of the answers is no success")
            process.communicate()

    def test_predict_and_evaluate_at_work_end_by_the_signal(self):
        lines = "\n".join(["some words " * 400] * 20000)
        (self.dir / "many").write_text(lines)
        for number in (signal.SIGTERM, signal.SIGUSR2):
            with open(self.dir / "many") as many:
                process = subprocess.Popen([BINARY, "predict", f"--model={CLASSIFIER}"], stdin=many, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, text=True, env=environment())
            self.assertIn("label", process.stdout.readline())
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=10), -number)
            process.communicate()
        process = subprocess.Popen([BINARY, *EVALUATE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())
        self.assertTrue(wait_for(lambda: cpu_seconds(process) > 0.05))
        process.send_signal(signal.SIGUSR2)
        self.assertEqual(process.wait(timeout=10), -signal.SIGUSR2)
        process.communicate()


if __name__ == "__main__":
    unittest.main()
