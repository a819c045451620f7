"""The three stages from raw text to predictions, on 1 and 2 ranks, forward and backward, by one pipeline file."""
import json
import unittest

from tests.support.ulmfit import TestCase, kill_all, labelled_rows, sentences, wait_for, write_csv

MODEL = "model.embedding = 24\nmodel.hidden = 32\nmodel.layers = 2\n"
PIPELINE = f"""
[prepare-corpus]
input = general
output = corpus
valid-share = 0.05

[pretrain]
corpus = corpus
output = general-lm
{MODEL}train.streams = 16
train.bptt = 20
train.threads = 1
epochs = 2
lr = 0.02

[prepare-labelled]
train = train.csv
test = test.csv
unlabelled = more
output = data
vocab.min-count = 1

[finetune-lm]
from = general-lm
corpus = data/lm
output = target-lm
train.streams = 8
train.bptt = 20
train.threads = 1
epochs = 4
lr = 0.02

[train-classifier]
from = target-lm
data = data/labelled
output = classifier
epochs = 20
lr = 0.02
optim.factor = 1.3
drop-mult = 0.2
batch-size = 32
train.threads = 1

[evaluate]
model = classifier
data = data/labelled
report = evaluation
baselines = true
"""


class Pipeline(TestCase):
    def setUp(self):
        super().setUp()
        (self.dir / "general").write_text("\n".join(sentences(1500)))
        (self.dir / "more").write_text("\n".join(sentences(500, seed=4)))
        write_csv(self.dir / "train.csv", labelled_rows(600))
        write_csv(self.dir / "test.csv", labelled_rows(150, seed=5))

    def test_from_text_to_predictions(self):
        (self.dir / "pipeline.cfg").write_text(PIPELINE)
        first = self.ulmfit("run", "--config", "pipeline.cfg")
        result = json.loads(first.stdout.splitlines()[-1])
        majority = next(b for b in result["baselines"] if b["name"] == "majority class")
        self.assertLess(result["error"], 0.1, "a marker word decides the class")
        self.assertGreater(majority["error"], 0.4)
        for file in ("model.safetensors", "vocab.txt", "text.json", "stage.json", "CARD.md", "MANIFEST.json"):
            self.assertTrue((self.dir / "classifier/stage" / file).exists(), file)
        self.assertIn("</html>", (self.dir / "evaluation/report.html").read_text())
        self.assertIn("</html>", (self.dir / "general-lm/report.html").read_text())
        self.assertIn("confusion", (self.dir / "classifier/report.html").read_text().lower(), "of the validation split")
        # The whole way from text to classifier is on the card.
        stage = json.loads((self.dir / "classifier/stage/stage.json").read_text())
        self.assertEqual([a["command"] for a in stage["lineage"]], ["pretrain", "finetune-lm", "train-classifier"])
        # Tuning the language model helped it: its perplexity is below that of the untuned one on the same text.
        again = self.ulmfit("run", "--config", "pipeline.cfg")
        self.assertEqual(again.stderr.count("nothing to do"), 3, "finished stages are skipped")
        self.assertEqual(json.loads(again.stdout.splitlines()[-1])["error"], result["error"])

        self.check_predictions()
        self.check_backward_and_ensemble(result)

    def test_on_two_ranks_every_stage_is_what_it_is_alone(self):
        # The stages differ in what a process sets once for each: determinism, threads.
        pipeline = (PIPELINE.replace("[pretrain]", "[pretrain]\nreproducible = true").replace("threads = 1\nepochs = 4", "threads = 2\nepochs = 4")
                    .replace("epochs = 20", "epochs = 4"))
        (self.dir / "pipeline.cfg").write_text(pipeline)
        alone = self.dir / "alone"
        alone.mkdir()
        for name in ("general", "more", "train.csv", "test.csv"):
            (alone / name).symlink_to(self.dir / name)
        for section in pipeline.strip().split("\n\n"):
            lines = section.splitlines()
            options = ["--" + line.replace(" = ", "=") for line in lines[1:]]
            self.ulmfit(lines[0].strip("[]"), *options, ranks=2, cwd="alone")

        run = self.start("run", "--config=pipeline.cfg", ranks=2)
        wait_for(lambda: any((self.dir / "target-lm/checkpoints").glob("step-*/MANIFEST.json")))
        kill_all(run)
        printed = self.ulmfit("run", "--config=pipeline.cfg", ranks=2)
        self.assertEqual(printed.stderr.count("nothing to do"), 1, "pretraining was finished, tuning was not")
        self.assertIn("continuing from the checkpoint of step", printed.stderr)
        self.assertRegex(printed.stderr, r"(?s)\[finetune-lm\].* 2 threads \(.*\[train-classifier\].* 1 thread \(")
        self.assertEqual(len(printed.stdout.splitlines()), 5, "a line for each of the others, of one rank")
        for stage in ("general-lm", "target-lm", "classifier"):
            self.assert_same_weights(f"{stage}/stage/model.safetensors", f"alone/{stage}/stage/model.safetensors")

    def check_predictions(self):
        texts = ["the crimson one", "an azure thing", "emerald", ".", "\ufeffodd \x00 \U0001f600 bytes"]
        lines = [json.loads(l) for l in self.ulmfit("predict", "--model=classifier", "--top=2", stdin="\n".join(texts) + "\n").stdout.splitlines()]
        self.assertEqual(len(lines), len(texts))
        self.assertEqual([l["label"] for l in lines[:3]], ["red", "blue", "green"])
        self.assertTrue(all(len(l["probabilities"]) == 2 for l in lines))
        objects = [{"id": 1, "text": "crimson"}, {"id": 2}, {"id": 3, "text": "azure"}]
        stdin = "\n".join(map(json.dumps, objects)) + "\nnot json\n"
        lines = [json.loads(l) for l in self.ulmfit("predict", "--model=classifier", "--input-format=jsonl", stdin=stdin).stdout.splitlines()]
        self.assertEqual([l.get("input") for l in lines], [*objects, None])
        self.assertEqual([l.get("label") for l in lines], ["red", None, "blue", None])
        self.assertIn('no field "text"', lines[1]["error"])
        self.assertIn("not one JSON object", lines[3]["error"])

    def check_backward_and_ensemble(self, forward):
        common = ["--train.threads=1", "--train.streams=8", "--train.bptt=20", "--lr=0.02"]
        self.ulmfit("pretrain", "--corpus=data/lm", "--output=backward-lm", "--direction=backward", *common, "--epochs=2",
                    "--model.embedding=24", "--model.hidden=32", "--model.layers=2", ranks=2)
        self.ulmfit("train-classifier", "--from=backward-lm", "--data=data/labelled", "--output=backward", "--epochs=20", "--lr=0.02",
                    "--optim.factor=1.3", "--drop-mult=0.2", "--batch-size=32", "--train.threads=1", ranks=2)
        self.assertEqual(json.loads((self.dir / "backward/stage/stage.json").read_text())["direction"], "backward")
        both = json.loads(self.ulmfit("evaluate", "--model", "classifier", "backward", "--data=data/labelled").stdout)
        self.assertLess(both["error"], 0.1)
        on_two = json.loads(self.ulmfit("evaluate", "--model=classifier", "--data=data/labelled", ranks=2).stdout)
        self.assertEqual(on_two["confusion"], forward["confusion"], "every document is counted once on any number of ranks")


class Provenance(TestCase):
    def test_what_is_made_of_many_files_does_not_carry_their_list(self):
        (self.dir / "pages").mkdir()
        for number, sentence in enumerate(sentences(300)):
            (self.dir / f"pages/page-{number}.txt").write_text(sentence)
        prepare = ["prepare-corpus", "--input=pages", "--format=files", "--output=corpus", "--valid-share=0.1"]
        self.ulmfit(*prepare)
        self.ulmfit("pretrain", "--corpus=corpus", "--model.embedding=8", "--model.hidden=8", "--model.layers=1", "--train.streams=4", "--train.bptt=10", "--train.steps=3", "--output=lm")
        stage = self.dir / "lm/stage"
        corpus = self.dir / "corpus"
        self.assertEqual(len(json.loads((corpus / "inputs.json").read_text())["/request/inputs"]), 300)
        for path in (corpus / "corpus.json", stage / "stage.json", stage / "CARD.md", self.dir / "lm/run.json"):
            self.assertLess(path.stat().st_size, 6000, path)
        card = (stage / "CARD.md").read_text()
        self.assertIn("| corpus, inputs | 300 files, ", card)
        self.assertLess(max(map(len, card.splitlines())), 200)
        self.assertTrue(json.loads(self.ulmfit(*prepare).stdout)["already_prepared"])
        (self.dir / "pages/page-299.txt").write_text("Another text .")
        self.assertIn("different: inputs", self.ulmfit(*prepare, expect=3).stderr)


class PipelineFile(TestCase):
    LM = f"corpus = corpus\n{MODEL}train.streams = 4\ntrain.bptt = 10\ntrain.threads = 1\ntrain.steps = 3\n"
    FILE = f"[prepare-corpus]\ninput = text\noutput = corpus\n[pretrain]\n{LM}output = one\n[pretrain]\n{LM}output = \"two # 2\"\n"

    def setUp(self):
        super().setUp()
        (self.dir / "text").write_text("\n".join(sentences(200)))

    def test_is_checked_whole_before_the_first_stage(self):
        for wrong, message in (("[evaluate]\nmodel = one\ndata = corpus\nsplt = valid\n", "section [evaluate]: ulmfit evaluate has no option --splt"),
                               ("[pretrain]\ncorpus = corpus\n", "section [pretrain]: ulmfit pretrain needs --output"),
                               ("[pretrian]\n", "section [pretrian] is no stage")):
            (self.dir / "pipeline.cfg").write_text(self.FILE + wrong)
            self.assertIn(message, self.ulmfit("run", "--config=pipeline.cfg", expect=2).stderr)
            self.assertFalse((self.dir / "corpus").exists(), "nothing was begun")

    def test_sections_of_one_name_are_two_stages_each_with_its_log(self):
        (self.dir / "pipeline.cfg").write_text(self.FILE + "[evaluate]\nmodel = one\ndata = corpus\nsplit = train\n")
        self.ulmfit("run", "--config=pipeline.cfg")
        self.assertTrue((self.dir / "two # 2/stage/MANIFEST.json").exists())
        for run in ("one", "two # 2"):
            log = (self.dir / run / "log.txt").read_text()
            self.assertEqual(log.count("step 3/3"), 1, f"the log of {run} alone")
            self.assertNotIn("[evaluate]", log)
        # What a run saves can be fed back, a # in its path too.
        again = self.ulmfit("pretrain", "--config", "two # 2/config.cfg")
        self.assertIn("two # 2 is finished: nothing to do", again.stderr)
        self.assertNotIn("restart", (self.dir / "one/config.cfg").read_text())


class Columns(TestCase):
    """Texts of several columns: the stage knows them, predict joins them as prepare-labelled did."""

    def setUp(self):
        super().setUp()
        for name, seed in (("train", 2), ("test", 5)):
            rows = [(label, " ".join(text.split()[:4]), text) for label, text in labelled_rows(200, seed)]
            self.rows = rows  # of the test set in the end
            (self.dir / f"{name}.csv").write_text("label,title,body\n" + "".join(f'{l},"{t}","{b}"\n' for l, t, b in rows))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--test=test.csv", "--text-column", "title", "body", "--output=data",
                    "--vocab.min-count=1")
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=classifier", "--epochs=6", "--lr=0.02",
                    "--model.embedding=16", "--model.hidden=24", "--model.layers=2", "--batch-size=16", "--train.threads=1")

    def predict(self, objects, *arguments, expect=0):
        return self.ulmfit("predict", "--model=classifier", *arguments, stdin="\n".join(map(json.dumps, objects)) + "\n", expect=expect)

    def test_are_joined_alike_in_training_and_prediction(self):
        stage = json.loads((self.dir / "classifier/stage/stage.json").read_text())
        self.assertEqual(stage["classifier"]["text_columns"], ["title", "body"])
        evaluated = json.loads(self.ulmfit("evaluate", "--model=classifier", "--data=data/labelled").stdout)
        objects = [{"title": title, "body": body} for _, title, body in self.rows]
        answers = [json.loads(line) for line in self.predict(objects, "--input-format=jsonl").stdout.splitlines()]
        labels = evaluated["labels"]
        confusion = [[0] * len(labels) for _ in labels]
        for (label, _, _), answer in zip(self.rows, answers, strict=True):
            confusion[labels.index(label)][labels.index(answer["label"])] += 1
        self.assertEqual(confusion, evaluated["confusion"], "every text is read as evaluate reads it")
        renamed = [{"b": o["body"], "t": o["title"]} for o in objects]
        again = self.predict(renamed, "--input-format=jsonl", "--text-field", "t", "b").stdout.splitlines()
        self.assertEqual([json.loads(l)["probabilities"] for l in again], [a["probabilities"] for a in answers])
        self.assertIn('no field \\"body\\"', self.predict([{"title": "x"}], "--input-format=jsonl").stdout)

    def test_null_and_numbers_are_read_as_in_training(self):
        answers = self.predict([{"title": None, "body": 5}, {"title": "", "body": "5"}, {"title": [], "body": "5"}], "--input-format=jsonl")
        null, empty, array = map(json.loads, answers.stdout.splitlines())
        for label, p in null["probabilities"].items():
            self.assertAlmostEqual(p, empty["probabilities"][label], places=5)
        self.assertIn('field "title" is an array', array["error"])

    def test_another_order_of_columns_is_not_averaged(self):
        self.ulmfit("prepare-labelled", "--train=train.csv", "--text-column", "body", "title", "--output=turned", "--vocab.min-count=1")
        self.ulmfit("train-classifier", "--from=none", "--data=turned/labelled", "--output=other", "--epochs=1", "--optim.unfreeze=full",
                    "--model.embedding=8", "--model.hidden=8", "--model.layers=1", "--train.threads=1")
        refused = self.predict([{"title": "a", "body": "b"}], "--model=other", "--input-format=jsonl", expect=4)
        self.assertIn("other columns, or in another order", refused.stderr)

    def test_what_lacks_a_column_is_refused(self):
        columns = "trained on texts of 2 columns (title, body)"
        self.assertIn(columns, self.predict([{}], expect=2).stderr)
        result = self.predict([{}], "--input-format=jsonl", "--text-field=body", expect=2)
        self.assertIn(columns, result.stderr)
        self.assertIn("--text-column names 1 columns", result.stderr)
        # A stage of an older program has them among the facts of its data alone.
        path = self.dir / "classifier/stage/stage.json"
        self.assertEqual(json.loads(path.read_text())["lineage"][-1]["facts"]["data"]["request"]["text_columns"], ["title", "body"])


if __name__ == "__main__":
    unittest.main()
