"""generate: texts that a language model goes on with."""
import json
import unittest

from tests.support.ulmfit import TestCase, labelled_rows, sentences, write_csv

MODEL = ("--model.embedding=16", "--model.hidden=24", "--model.layers=1", "--train.streams=8", "--train.threads=1", "--epochs=2", "--lr=0.01")


class Generate(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(300)) + "\n")
        self.ulmfit("prepare-corpus", "--input=text", "--output=corpus", "--vocab.min-count=5")
        self.ulmfit("pretrain", "--corpus=corpus", "--output=lm", *MODEL)

    def texts(self, *arguments, model="lm"):
        return self.ulmfit("generate", f"--model={model}", "--train.threads=1", *arguments).stdout.splitlines()

    def test_the_seed_decides_and_each_text_is_its_own(self):
        three = self.texts("--texts=3", "--tokens=30", "--seed=5")
        self.assertEqual(len(set(three)), 3)
        self.assertEqual(self.texts("--texts=2", "--tokens=30", "--seed=5"), three[:2])
        self.assertNotEqual(self.texts("--tokens=30", "--seed=6"), three[:1])
        self.assertEqual([json.loads(line)["text"] for line in self.texts("--texts=3", "--tokens=30", "--seed=5", "--json")], three)
        self.assertEqual(len(set(self.texts("--texts=3", "--tokens=30", "--temperature=0"))), 1)
        self.assertEqual(self.texts("--tokens=30", "--top-k=1"), self.texts("--tokens=30", "--temperature=0"))

    def test_words_of_the_vocabulary_alone_and_no_marks(self):
        vocabulary = set((self.dir / "corpus/vocab.txt").read_text().split())
        texts = self.texts("--texts=200", "--tokens=40", "--temperature=3")
        self.assertGreater(len(texts), 190)
        for text in texts:
            self.assertNotRegex(text, r"\bxx\w+\b")
            for word in text.replace(".", " . ").split():
                self.assertIn(word.lower(), vocabulary)
        self.assertRegex(" ".join(texts), "[A-Z]")  # xxmaj carried out

    def test_it_goes_on_with_the_prompt_forward_or_backward(self):
        words = [w for w in sentences(1)[0].split()[:6] if w.isalpha()]
        prompt = " ".join(words)
        for text in self.texts(f"--prompt={prompt}", "--texts=4", "--tokens=5"):
            self.assertTrue(text.startswith(prompt), text)
            self.assertLessEqual(len(text.split()), len(words) + 5)
        self.ulmfit("pretrain", "--corpus=corpus", "--output=backward", "--direction=backward", *MODEL)
        for text in self.texts(f"--prompt={prompt}", "--texts=4", "--tokens=5", model="backward"):
            self.assertTrue(text.lower().endswith(prompt.lower()), text)
        said = self.ulmfit("generate", "--model=lm", "--prompt=zzzz", "--tokens=2", "--train.threads=1")
        self.assertIn("50.0% of the prompt's tokens are unknown", said.stderr)
        long = " ".join(words * 300)
        self.assertTrue(self.texts(f"--prompt={long}", "--tokens=3")[0].startswith(long[:100]))

    def test_what_cannot_be_is_refused(self):
        write_csv(self.dir / "train.csv", labelled_rows(60))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data")
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=classifier", "--model.embedding=8", "--model.hidden=8", "--model.layers=1",
                    "--train.steps=2", "--train.threads=1")
        self.assertIn("is a classifier; generate needs a language model: the stage of pretrain or finetune-lm", self.ulmfit("generate", "--model=classifier", expect=4).stderr)
        self.assertIn("--tokens=0: expected at least 1", self.ulmfit("generate", "--model=lm", "--tokens=0", expect=2).stderr)
        self.assertIn("--temperature=-1: expected at least 0", self.ulmfit("generate", "--model=lm", "--temperature=-1", expect=2).stderr)
        self.assertIn("nowhere", self.ulmfit("generate", "--model=nowhere", expect=4).stderr)


if __name__ == "__main__":
    unittest.main()
