"""What evaluate shows of a classifier beyond its error: the texts with the highest loss."""
import json
import os
import pty
import subprocess
import unittest

from tests.support.ulmfit import BINARY, TestCase, environment, labelled_rows, write_csv


class TopLosses(TestCase):
    def setUp(self):
        super().setUp()
        script = "<script>alert(1)</script>"
        train = labelled_rows(520, seed=2)
        train[0] = (train[0][0], f"{train[0][1]} {script}")  # so that the words are known
        self.test = labelled_rows(60, seed=3)
        others = {"red": "green", "green": "blue", "blue": "red"}
        for i in range(7, 520, 20):  # not every validation text is answered rightly
            train[i] = (others[train[i][0]], train[i][1])
        for i in (7, 31, 44):
            self.test[i] = (others[self.test[i][0]], self.test[i][1])
        self.test[44] = (self.test[44][0], f"{self.test[44][1]} {script}")
        write_csv(self.dir / "train.csv", train)
        write_csv(self.dir / "test.csv", self.test)
        self.ulmfit("prepare-labelled", "--train=train.csv", "--test=test.csv", "--output=data", "--vocab.min-count=1", "--valid-share=0.25")
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=run", "--model.embedding=24", "--model.hidden=24", "--model.layers=1",
                    "--optim.unfreeze=full", "--optim.factor=1", "--lr=0.02", "--epochs=8", "--drop-mult=0.1", "--train.batch-size=16", "--train.threads=1")

    def test_planted_wrong_labels_come_first_and_text_is_text(self):
        said = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--top-losses=3", "--report=shown")
        self.assertNotIn("top_losses", json.loads(said.stdout))  # one line is to stay readable
        found = json.loads((self.dir / "shown/evaluation.json").read_text())["top_losses"]
        self.assertEqual(sorted(entry["document"] for entry in found), [7, 31, 44])
        for entry in found:
            label, text = self.test[entry["document"]]
            self.assertEqual(entry["given"], label)
            self.assertEqual(entry["place"], f"test.csv:{entry['document'] + 2}")
            self.assertNotEqual(entry["predicted"], label)
            self.assertGreater(entry["loss"], 1)
            self.assertEqual(entry["text"].split()[:5], text.split()[:5])  # with its capital
            marker = {"red": "crimson", "green": "emerald", "blue": "azure"}[entry["predicted"]]
            self.assertEqual(entry["words"][0], marker)  # what decides
        self.assertEqual([e["loss"] for e in found], sorted((e["loss"] for e in found), reverse=True))
        self.assertIn("highest loss", said.stderr)
        page = (self.dir / "shown/report.html").read_text()
        self.assertIn("Texts with the highest loss", page)
        self.assertNotIn("<script>alert", page)
        self.assertIn("&lt; script &gt;", page)
        two = json.loads(self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--top-losses=3", ranks=2).stdout)["top_losses"]
        self.assertEqual([e["document"] for e in two], [e["document"] for e in found])
        self.assertNotIn("top_losses", json.loads(self.ulmfit("evaluate", "--model=run", "--data=data/labelled").stdout))
        all_texts = json.loads(self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--top-losses=1000").stdout)["top_losses"]
        self.assertEqual(len(all_texts), len(self.test))

    def test_calibration_and_rejection(self):
        said = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--calibration", "--reject-below=0.9", "--report=shown")
        found = json.loads(said.stdout)
        temperature = found["calibration"]["temperature"]
        self.assertIn(f"at temperature {temperature:.3f}", said.stderr)
        self.assertEqual(sum(b["texts"] for b in found["calibration"]["bins"]), len(self.test))
        mean = sum(b["texts"] * abs(b["confidence"] - b["accuracy"]) for b in found["calibration"]["bins"]) / len(self.test)
        self.assertAlmostEqual(found["calibration"]["error"], mean, places=9)
        lines = "".join(f"{text}\n" for _, text in self.test)
        answers = [json.loads(line) for line in self.ulmfit("predict", "--model=run", stdin=lines).stdout.splitlines()]
        sure = [(max(a["probabilities"].values()), a["label"] == label) for a, (label, _) in zip(answers, self.test)]
        scaled = [p ** (1 / temperature) / sum(q ** (1 / temperature) for q in a["probabilities"].values()) for (p, _), a in zip(sure, answers)]
        kept = [right for p, (_, right) in zip(scaled, sure) if p >= 0.9]  # at the temperature that predict is then given
        self.assertEqual(found["rejection"]["texts"], len(kept))
        self.assertAlmostEqual(found["rejection"]["error"], 1 - sum(kept) / len(kept))
        # At the temperature every label stays, and p becomes p^(1/T) scaled.
        warmed = [json.loads(line) for line in self.ulmfit("predict", "--model=run", f"--temperature={temperature}", stdin=lines).stdout.splitlines()]
        for a, b in zip(answers, warmed):
            self.assertEqual(a["label"], b["label"])
            scaled = {k: v ** (1 / temperature) for k, v in a["probabilities"].items()}
            for k, v in b["probabilities"].items():
                self.assertAlmostEqual(v, scaled[k] / sum(scaled.values()), places=4)
        self.assertLess(found["mcc_low"], found["mcc"])
        self.assertLess(found["macro_f1"], found["macro_f1_high"])
        told = {name: f"{found[name]:.3f} ({found[f'{name}_low']:.3f} to {found[f'{name}_high']:.3f})" for name in ("macro_f1", "mcc")}
        self.assertIn(f"), macro-F1 {told['macro_f1']}, MCC {told['mcc']}, {found['texts']} texts\n", said.stderr)
        two = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--calibration", "--top-losses=5", "--baselines", ranks=2)
        self.assertAlmostEqual(json.loads(two.stdout)["calibration"]["temperature"], temperature, places=3)
        page = (self.dir / "shown/report.html").read_text()
        self.assertIn("Can its probabilities be trusted?", page)
        self.assertRegex(page, f"(?s)<span>MCC</span><b>{found['mcc']:.3f}</b>.*interval {found['mcc_low']:.3f} to {found['mcc_high']:.3f}")
        self.assertIn("Leaving the doubtful ones to people", page)
        refused = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--calibration", "--split=valid", expect=2)
        self.assertIn("give another --split", refused.stderr)

    def test_word_counts_that_tell_more_are_told(self):
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=poor", "--model.embedding=8", "--model.hidden=8",
                    "--model.layers=1", "--optim.unfreeze=full", "--train.steps=1", "--train.batch-size=16", "--train.threads=1")
        said = self.ulmfit("evaluate", "--model=poor", "--data=data/labelled", "--baselines", "--report=shown")
        self.assertRegex(said.stderr, r"naive Bayes \(alpha \S+\): error \d+\.\d\d % \(95 % interval \d+\.\d\d to \d+\.\d\d %\)")
        self.assertIn("word counts tell more here than the classifier has learned; what may help", said.stderr)
        page = (self.dir / "shown/report.html").read_text()
        self.assertIn("word counts tell more here", page)
        self.assertIn("majority class", page)
        said = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--baselines").stderr
        self.assertNotIn("word counts tell more", said)
        self.assertRegex(said, r"\n  (cannot be told apart from naive Bayes \(McNemar's test: p \S+\): word counts may do as well; what may help|errs less than naive Bayes, beyond chance \(McNemar's test: p \S+\)\n)")
        for split, doubt in (("train", "was trained on these texts"), ("valid", "the training was watched")):
            said = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", f"--split={split}")
            self.assertIn(doubt, said.stderr)
            self.assertIn(doubt, json.loads(said.stdout)["doubts"][-1])

    def test_no_temperature_of_few_texts_and_empty_ones_are_named(self):
        (self.dir / "few.csv").write_text((self.dir / "test.csv").read_text() + 'red,""\n')
        self.ulmfit("prepare-labelled", "--train=train.csv", "--test=few.csv", "--vocab=data/lm", "--output=few", "--valid-share=0.15")
        said = self.ulmfit("evaluate", "--model=run", "--data=few/labelled", "--calibration", "--reject-below=0.5", "--top-losses=61", "--report=shown")
        found = json.loads(said.stdout)
        self.assertNotIn("temperature", found["calibration"])
        self.assertRegex(said.stderr, r"no temperature: 100 validation texts are needed, there are \d\d\n")
        self.assertNotIn("at that temperature", said.stderr)
        page = (self.dir / "shown/report.html").read_text()
        self.assertIn("no temperature: 100 validation texts are needed", page)
        self.assertNotIn("with that temperature", page)
        self.assertIn("test: texts that are empty: 1, few.csv:62", page)
        texts = {entry["place"]: entry["text"] for entry in json.loads((self.dir / "shown/evaluation.json").read_text())["top_losses"]}
        self.assertEqual(texts["few.csv:62"], "(empty)")

    def test_two_classifiers_on_the_same_texts(self):
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=worse", "--model.embedding=8", "--model.hidden=8", "--model.layers=1",
                    "--optim.unfreeze=full", "--train.steps=5", "--train.threads=1")
        said = self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--against=worse", "--report=shown")
        found = json.loads(said.stdout)
        alone = {name: json.loads(self.ulmfit("evaluate", f"--model={name}", "--data=data/labelled").stdout)["error"] for name in ("run", "worse")}
        told = found["against"]
        self.assertAlmostEqual(told["error"], alone["worse"])
        self.assertAlmostEqual(told["difference"], alone["run"] - alone["worse"])
        self.assertAlmostEqual(told["difference"] * 60, told["right_there_alone"] - told["right_here_alone"])
        self.assertLess(told["p"], 0.001)
        self.assertLess(told["low"], told["difference"])
        self.assertIn("of worse; difference -", said.stderr)
        self.assertIn("McNemar", (self.dir / "shown/report.html").read_text())
        two = json.loads(self.ulmfit("evaluate", "--model=run", "--data=data/labelled", "--against", "worse", "worse", ranks=2).stdout)["against"]
        self.assertEqual((two["models"], two["p"]), ("worse + worse", told["p"]))
        self.ulmfit("finetune-lm", "--from=none", "--corpus=data/lm", "--output=lm", "--model.embedding=8", "--model.hidden=8", "--model.layers=1",
                    "--train.steps=2", "--train.streams=8")
        for model, other, message in (("run", "lm", "--against: lm is a language model"), ("lm", "run", "--against is for classifiers")):
            data = "data/labelled" if model == "run" else "data/lm"
            refused = self.ulmfit("evaluate", f"--model={model}", f"--data={data}", f"--against={other}", "--split=valid", expect=4 if model == "run" else 2)
            self.assertIn(message, refused.stderr)
        refused = self.ulmfit("evaluate", "--model=lm", "--data=data/lm", "--split=valid", "--report=of-lm", expect=2)
        self.assertIn("--report is for classifiers", refused.stderr)

    def test_a_terminal_gets_the_table_alone(self):
        command = [BINARY, "evaluate", "--model=run", "--data=data/labelled"]
        for stderr, json_too in ((None, False), (subprocess.PIPE, True)):
            try:
                ours, theirs = pty.openpty()
            except OSError as error:
                self.skipTest(f"this machine gives no pseudo-terminal: {error}")
            try:
                done = subprocess.run(command, cwd=self.dir, env=environment(), stdout=theirs, stderr=stderr or theirs, timeout=120)
                os.set_blocking(ours, False)
                shown = b""
                with self.assertRaises(BlockingIOError):
                    while True:
                        shown += os.read(ours, 4096)
            finally:
                os.close(ours)
                os.close(theirs)
            self.assertEqual(done.returncode, 0)
            self.assertEqual(b'{"' in shown, json_too, shown)
            self.assertIn(b"macro-F1", shown if stderr is None else done.stderr)


if __name__ == "__main__":
    unittest.main()
