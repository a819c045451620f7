"""What an earlier program wrote is still read: prepared text, stages, finished runs and stopped ones (tests/fixtures).

tests/reference/old_folders.py made them, and says what they are. Another kind of CPU than theirs changes last bits.
"""
import json
import shutil
import unittest
from pathlib import Path

from tests.reference.old_folders import CORPORA, FINISHED, STOPPED, TEXTS, answers
from tests.support.ulmfit import TestCase, read_safetensors

# The defaults of 9207f86, which have changed since.
AS_9207F86_DID = ["--optim.ar=0", "--optim.tar=0", "--bpt3c.masks=document"]
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


class OldFolders(TestCase):
    def setUp(self):
        super().setUp()
        shutil.copytree(FIXTURES / "9207f86", self.dir, dirs_exist_ok=True)
        self.expected = json.loads((self.dir / "expected.json").read_text())

    def again(self, name, *more, expect=0):
        """The command that wrote a run folder."""
        command = FINISHED[name] if name in FINISHED else STOPPED[name][0]
        older = AS_9207F86_DID if command[0] == "train-classifier" else []
        return self.ulmfit(*command, f"--output={name}", *older, *more, expect=expect)

    def files(self, folder):
        return {path.name: path.read_bytes() for path in (self.dir / folder).iterdir()}

    def assert_agrees(self, found, expected, what):
        """Numbers within 1e-4 relative, all else alike; `found` may tell more."""
        if isinstance(expected, dict):
            for key, value in expected.items():
                self.assertIn(key, found, what)
                self.assert_agrees(found[key], value, f"{what}: {key}")
        elif isinstance(expected, list):
            self.assertEqual(len(found), len(expected), what)
            for i, value in enumerate(expected):
                self.assert_agrees(found[i], value, f"{what}: {i}")
        elif isinstance(expected, (int, float)):
            self.assertAlmostEqual(found, expected, delta=1e-4 * abs(expected), msg=what)
        else:
            self.assertEqual(found, expected, what)

    def assert_close_weights(self, run, other):
        found, expected = (read_safetensors(self.dir / name / "stage/model.safetensors") for name in (run, other))
        if "head.0.linear.weight" in expected:
            expected.pop("decoder.bias")  # older programs gave a classifier the bias of a language model, which nothing reads
        self.assertEqual(found.keys(), expected.keys())
        for name, values in expected.items():
            self.assertEqual(len(found[name]), len(values), name)
            self.assertLess(max(abs(a - b) for a, b in zip(found[name], values)), 1e-4, f"{run}: {name}")

    def test_evaluate_predict_and_inspect_answer_as_before(self):
        found = answers(lambda *arguments, stdin="": self.ulmfit(*arguments, stdin=stdin).stdout)
        empty = TEXTS.index("")  # was answered then, and is an error now
        self.assertIn("empty", found["predictions"][empty]["error"])
        self.expected["predictions"][empty] = found["predictions"][empty]
        self.assert_agrees(found, self.expected, "answers")

    def test_every_block_and_checkpoint_is_whole(self):
        for folder in CORPORA:
            self.ulmfit("inspect", folder, "--verify")
        for name, (_, step) in STOPPED.items():
            checkpoint = f"step-{step:09d}"
            told = json.loads(self.ulmfit("inspect", name, "--json").stdout)
            self.assertFalse(told["finished"])
            self.assertEqual([(c["name"], c["whole"]) for c in told["checkpoints"]], [(checkpoint, True)])
            self.assertEqual(json.loads(self.ulmfit("inspect", f"{name}/checkpoints/{checkpoint}", "--json").stdout)["what"], "checkpoint")

    def test_a_finished_run_stays_as_it_is(self):
        for name in FINISHED:
            before = self.files(f"{name}/stage")
            self.assertIn("nothing to do", self.again(name).stderr)
            self.assertEqual(self.files(f"{name}/stage"), before, name)

    def test_a_stopped_run_goes_on_to_the_weights_of_the_finished_one(self):
        for name, (_, step) in STOPPED.items():
            finished = name.replace("stopped", "finished")
            self.assertIn(f"continuing from the checkpoint of step {step}\n", self.again(name).stderr)
            self.assert_close_weights(name, finished)
            for kind in ("train", "valid"):
                # Not its epochs: it took the end of its steps for an epoch's.
                expected = [{key: m[key] for key in ("step", "loss", "error") if key in m} for m in self.metrics(finished, kind)]
                self.assert_agrees(self.metrics(name, kind), expected, f"{name}: {kind}")

    def test_other_settings_are_refused(self):
        for name in STOPPED:
            config = (self.dir / name / "config.cfg").read_text()
            result = self.again(name, "--train.seed=2", expect=2)
            self.assertIn("train.seed: 1 in the run folder, 2 now", result.stderr)
            self.assertEqual((self.dir / name / "config.cfg").read_text(), config)

    def test_a_default_that_has_changed_since_is_told(self):
        command, _ = STOPPED["classifier-stopped"]
        result = self.ulmfit(*command, "--output=classifier-stopped", expect=2)
        self.assertIn("optim.ar: 0 in the run folder, 2 now", result.stderr)

    def test_a_folder_without_identity_is_adopted_with_one_warning(self):
        warning = "does not record what it was trained on"
        for name in ("lm-stopped", "lm-finished"):
            self.assertFalse((self.dir / name / "run.json").exists())
            self.assertEqual(self.again(name).stderr.count(warning), 1, name)
            self.assertTrue((self.dir / name / "run.json").exists(), name)
            again = self.again(name).stderr
            self.assertIn("nothing to do", again)
            self.assertNotIn(warning, again)


if __name__ == "__main__":
    unittest.main()
