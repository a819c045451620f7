"""A model that fastai has saved, through the commands: imported, tuned, classified with, exported."""
import json
import resource
import signal
import subprocess
import unittest
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, environment

ROOT = Path(__file__).resolve().parents[2]
FILES, REFERENCE, CONFIGS = ROOT / "tests/fixtures/fastai", ROOT / "tests/reference", ROOT / "configs"
TEXTS = ["the film was good .", "a bad film , not good .", "the house was very bad .", "good film , very good ."]


class Fastai(TestCase):
    def bring(self, weights, vocabulary, output, *more, expect=0):
        return self.ulmfit("import", "--weights", FILES / weights, "--vocab", FILES / vocabulary, "--output", self.dir / output,
                           "--accept-foreign-tokens", *more, expect=expect)

    def test_a_language_model_is_tuned_and_evaluated_and_goes_back(self):
        said = json.loads(self.bring("lm.pth", "vocab.pkl", "lm").stdout)
        self.assertEqual((said["imported"], said["vocabulary"], said["layers"]), ("language model", 24, 3))
        self.assertIn("nothing to do", self.bring("lm.pth", "vocab.pkl", "lm").stderr)
        self.assertIn("is not empty", self.bring("lm_v1.pth", "vocab.pkl", "lm", expect=2).stderr)
        self.assertIn("is not empty", self.bring("lm.pth", "vocab.pkl", "lm", "--direction=backward", expect=2).stderr)
        (self.dir / "general").mkdir()
        (self.dir / "general/text.txt").write_text("\n".join(TEXTS * 60) + "\n")
        self.ulmfit("prepare-corpus", "--input=general", "--output=corpus", "--vocab=lm", "--valid-share=0.1")
        self.assertEqual((self.dir / "corpus/vocab.txt").read_bytes(), (FILES / "vocab.txt").read_bytes())
        self.ulmfit("evaluate", "--model=lm", "--data=corpus", "--split=valid")
        self.ulmfit("finetune-lm", "--from=lm", "--corpus=corpus", "--output=tuned", "--train.streams=4", "--train.bptt=10", "--epochs=2",
                    "--train.threads=1")
        told = json.loads(self.ulmfit("inspect", "tuned", "--json").stdout)
        self.assertEqual([entry["command"] for entry in told["lineage"]], ["import", "finetune-lm"])
        self.assertIn("foreign", told["lineage"][0]["facts"]["tokenizer"])
        self.assertIn("foreign", (self.dir / "tuned/stage/CARD.md").read_text())
        again = self.ulmfit("finetune-lm", "--from=lm", "--corpus=corpus", "--output=tuned", "--train.streams=4", "--train.bptt=10",
                            "--epochs=2", "--train.threads=1")
        self.assertIn("nothing", again.stderr.lower())
        self.ulmfit("export", "--model=tuned", "--output=for-fastai")
        self.assertEqual(sorted(p.name for p in (self.dir / "for-fastai").iterdir()), ["model.pth", "vocab.pkl"])
        self.ulmfit("import", "--weights=for-fastai/model.pth", "--vocab=for-fastai/vocab.pkl", "--output=back", "--accept-foreign-tokens")
        self.assert_same_weights("back/stage/model.safetensors", "tuned/stage/model.safetensors")

    def test_a_classifier_predicts(self):
        self.bring("classifier.pth", "vocab_classifier.pkl", "classifier")
        lines = self.ulmfit("predict", "--model=classifier", stdin="\n".join(TEXTS) + "\n").stdout.splitlines()
        self.assertEqual(len(lines), len(TEXTS))
        for line in map(json.loads, lines):
            self.assertEqual(sorted(line["probabilities"]), ["mixed", "negative", "positive"])
            self.assertAlmostEqual(sum(line["probabilities"].values()), 1, places=5)

    def test_a_model_of_v1_reads_text_by_its_rules(self):
        words = (FILES / "vocab.txt").read_text().splitlines()
        words[5:9] = ["xxmaj", "xxup", "xxrep", "xxwrep"]  # v1's order
        (self.dir / "v1.txt").write_text("\n".join(words) + "\n")
        arguments = ("import", "--weights", FILES / "lm_v1.pth", "--vocab=v1.txt", "--accept-foreign-tokens")
        self.assertIn("--rules=fastai1", self.ulmfit(*arguments, "--output=other").stderr)
        self.assertNotIn("--rules", self.ulmfit(*arguments, "--output=v1", "--rules=fastai1").stderr)
        facts = json.loads(self.ulmfit("inspect", "v1", "--json").stdout)["lineage"][0]["facts"]
        self.assertRegex(facts["tokenizer"], r"foreign .* agreement \d+\.\d %")
        (self.dir / "text.txt").write_text("aaa bad bad bad film\n" * 40)
        # v1 marks repeats from four on, v2 from three: xxbos xxrep 3 a xxwrep 3 bad film.
        for stage, tokens in (("v1", 6), ("other", 8)):
            said = self.ulmfit("prepare-corpus", "--input=text.txt", f"--output={stage}-corpus", f"--vocab={stage}", "--valid-share=0")
            self.assertEqual((self.dir / f"{stage}-corpus/vocab.txt").read_text(), (self.dir / "v1.txt").read_text())
            self.assertEqual(json.loads(said.stdout)["splits"]["train"]["tokens"], 40 * tokens)
        self.assertEqual(json.loads((self.dir / "v1-corpus/text.json").read_text())["rules"], "fastai 1.0.61")
        self.assertIn("nothing to do", self.ulmfit(*arguments, "--output=v1", "--rules=fastai1").stderr)
        self.assertIn("is not empty", self.ulmfit(*arguments, "--output=v1", expect=2).stderr)

    def test_the_presets_are_fastais_defaults(self):
        defaults = json.loads((REFERENCE / "fastai_settings.json").read_text())["defaults"]
        (self.dir / "data.csv").write_text("text,label\n" + "".join(f'"{text}",{i % 2}\n' for i, text in enumerate(TEXTS * 40)))
        self.ulmfit("prepare-labelled", "--train=data.csv", "--output=data", "--vocab.min-count=1")
        small = ("--from=none", "--train.threads=1", "--model.embedding=8", "--model.hidden=8", "--train.steps=1")
        self.ulmfit("finetune-lm", "--config", CONFIGS / "fastai-lm.cfg", "--corpus=data/lm", "--output=lm", "--train.streams=4", *small)
        self.ulmfit("train-classifier", "--config", CONFIGS / "fastai-classifier.cfg", "--data=data/labelled", "--output=classifier", *small)
        for kind, folder in (("lm", "lm"), ("classifier", "classifier")):
            given = self.config_of(CONFIGS / f"fastai-{kind}.cfg")
            resolved = self.config_of(self.dir / folder / "config.cfg")
            for key, value in defaults[kind].items():
                found = given.get(key, resolved.get(key))
                with self.subTest(kind=kind, key=key):
                    self.assertEqual(self.number(found), self.number(value))

    @staticmethod
    def number(value):
        try:
            return float(value)
        except (TypeError, ValueError):
            return value

    @staticmethod
    def config_of(file):
        section, values = "", {}
        for line in Path(file).read_text().splitlines():
            line = line.split("#")[0].strip()
            if line.startswith("["):
                section = line[1:-1] + "."
            elif "=" in line:
                key, value = (part.strip().strip('"') for part in line.split("=", 1))
                values[section + key] = value
        return values

    def test_words_with_blanks_are_kept_unused(self):
        words = (FILES / "vocab.txt").read_text().splitlines()
        words[15] = "\n\n"  # spaCy makes such words of line breaks
        (self.dir / "vocab.json").write_text(json.dumps(words))
        said = self.ulmfit("import", "--weights", FILES / "lm.pth", "--vocab=vocab.json", "--output=lm", "--accept-foreign-tokens")
        self.assertIn("1 of its words hold blanks", said.stderr)
        self.assertEqual(json.loads(self.ulmfit("inspect", "lm", "--json").stdout)["lineage"][0]["facts"]["words_with_blanks"], 1)

    def test_a_full_disk_leaves_nothing(self):
        self.bring("lm.pth", "vocab.pkl", "lm")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        done = subprocess.run([BINARY, "export", "--model", self.dir / "lm", "--output", self.dir / "full"], env=environment(),
                              preexec_fn=small_files, capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("model.pth.partial", done.stderr)
        self.assertFalse((self.dir / "full").exists() or (self.dir / "full.partial").exists())
        done = subprocess.run([BINARY, "import", "--weights", FILES / "lm.pth", "--vocab", FILES / "vocab.pkl", "--accept-foreign-tokens",
                               "--output", self.dir / "again"], env=environment(), preexec_fn=small_files, capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.bring("lm.pth", "vocab.pkl", "again")
        self.ulmfit("export", "--model=lm", "--output=full")

    def test_what_cannot_be_imported_is_refused_with_the_reason(self):
        for arguments, code, message in (
                (("qrnn.pth", "vocab.pkl"), 4, "it is a QRNN"),
                (("vocab.pkl", "vocab.pkl"), 4, "it is no file of torch.save"),
                (("lm.pth", "lm.pth"), 4, "rows for 24"),
                (("classifier.pth", "vocab.pkl"), 2, "--labels"),
                (("missing.pth", "vocab.pkl"), 3, "missing.pth")):
            said = self.bring(*arguments, "refused", expect=code)
            self.assertIn(message, said.stderr)
            self.assertFalse((self.dir / "refused/stage").exists())
        (self.dir / "twice.txt").write_text("good\ngood\nbad\n")
        (self.dir / "latin.txt").write_bytes(b"good\nb\xe4d\nmixed\n")
        for labels in ("twice.txt", "latin.txt"):
            self.bring("classifier.pth", "vocab.pkl", "refused", f"--labels={labels}", expect=4)
            self.assertFalse((self.dir / "refused").exists())
        said = self.ulmfit("import", "--weights", FILES / "lm.pth", "--vocab", FILES / "vocab.pkl", "--output=refused", expect=2)
        self.assertIn("--accept-foreign-tokens", said.stderr)


if __name__ == "__main__":
    unittest.main()
