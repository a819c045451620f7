"""predict from files to files: tables keep their columns, a file that was not finished is gone on with. And embed."""
import ast
import csv
import gzip
import json
import os
import struct
import subprocess
import unittest

from tests.support.ulmfit import BINARY, TestCase, environment, kill_all, labelled_rows, read_safetensors, wait_for, write_csv


class Files(TestCase):
    def setUp(self):
        super().setUp()
        write_csv(self.dir / "train.csv", labelled_rows(120, seed=2))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data")
        self.ulmfit("train-classifier", "--from=none", "--data=data/labelled", "--output=run", "--model.embedding=8", "--model.hidden=8", "--model.layers=1",
                    "--train.steps=3", "--train.threads=1")

    def predict(self, *arguments, expect=0, **more):
        return self.ulmfit("predict", "--model=run", "--train.threads=1", *arguments, expect=expect, **more)

    def table(self, name, delimiter=","):
        with open(self.dir / name, newline="", encoding="utf8") as file:
            return list(csv.reader(file, delimiter=delimiter))

    def lines_of(self, texts):
        return [json.loads(line) for line in self.predict(stdin="\n".join(texts) + "\n").stdout.splitlines()]

    def test_a_table_gets_columns(self):
        rows = [["1", "crimson words", "a, b"], ["2", 'two\nlines with "quotes"', ""], ["3", "", "ü"]]
        with open(self.dir / "in.csv", "w", newline="", encoding="utf8") as file:
            csv.writer(file).writerows([["id", "text", "note"], *rows])
        self.predict("--input=in.csv", "--output=out.csv")
        out = self.table("out.csv")
        self.assertEqual(out[0], ["id", "text", "note", "predicted", "probability", "unknown_share", "p:blue", "p:green", "p:red", "error"])
        self.assertEqual([row[:3] for row in out[1:]], rows)
        expected = self.lines_of(["crimson words"])[0]
        self.assertEqual(out[1][3], expected["label"])
        self.assertAlmostEqual(float(out[1][4]), expected["probabilities"][expected["label"]], places=6)
        for row in out[1:3]:
            self.assertAlmostEqual(sum(map(float, row[6:9])), 1, places=5)
            self.assertEqual(row[9], "")
        self.assertEqual(out[3][3:], [""] * 6 + ["the text is empty"])
        self.predict("--input=in.csv", "--output=short.csv", "--top=1")
        self.assertEqual(self.table("short.csv")[0][3:], ["predicted", "probability", "unknown_share", "error"])

    def test_a_file_is_read_as_training_reads_it(self):
        objects = "".join(json.dumps({"text": text, "label": label}) + "\n" for label, text in labelled_rows(5, seed=3))
        for name in ("in.json", "in.jsonl"):
            (self.dir / name).write_text(objects)
        self.assertEqual(self.predict("--input=in.json").stdout, self.predict("--input=in.jsonl").stdout)
        for name in ("in.trec", "page.html"):
            (self.dir / name).write_text("NUM:count How many?\n")
            self.assertIn("give --format lines|csv|tsv|jsonl", self.predict(f"--input={name}", expect=2).stderr)

    def test_a_table_of_answers_is_not_answered_again(self):
        (self.dir / "in.csv").write_text("text\ncrimson words\n")
        self.predict("--input=in.csv", "--output=out.csv")
        self.assertIn("has a column 'predicted'", self.predict("--input=out.csv", "--output=again.csv", expect=2).stderr)
        (self.dir / "twice.csv").write_text("text,text\na,b\n")
        self.assertIn("several columns have that name", self.predict("--input=twice.csv", expect=3).stderr)
        self.assertIn("a column for each class", self.predict("--input=in.csv", "--top=2", expect=2).stderr)

    def test_the_delimiter_is_that_of_the_training_file(self):
        rows = [["text", "label"], *([text, label] for label, text in labelled_rows(60, seed=2))]
        for name, lines in (("semicolons.csv", rows), ("new.csv", [["id", "text"], ["1", "crimson, words"]])):
            with open(self.dir / name, "w", newline="", encoding="utf8") as file:
                csv.writer(file, delimiter=";").writerows(lines)
        self.ulmfit("prepare-labelled", "--train=semicolons.csv", "--delimiter=;", "--output=data-2")
        self.ulmfit("train-classifier", "--from=none", "--data=data-2/labelled", "--output=run-2", "--model.embedding=8", "--model.hidden=8", "--model.layers=1",
                    "--train.steps=3", "--train.threads=1")
        self.ulmfit("predict", "--model=run-2", "--train.threads=1", "--input=new.csv", "--output=out.csv")
        self.assertEqual(self.table("out.csv", ";")[1][:2], ["1", "crimson, words"])
        # Another one can be given, and is asked for.
        (self.dir / "commas.csv").write_text("id,text\n1,crimson words\n")
        refused = self.ulmfit("predict", "--model=run-2", "--train.threads=1", "--input=commas.csv", "--output=out-2.csv", expect=3).stderr
        self.assertIn("give --delimiter ','", refused)
        self.ulmfit("predict", "--model=run-2", "--train.threads=1", "--input=commas.csv", "--output=out-2.csv", "--delimiter=,")
        self.assertEqual(self.table("out-2.csv")[1][:2], ["1", "crimson words"])

    def test_words_are_shown_for_each_class(self):
        answers = [json.loads(line) for line in self.predict("--explain=3", "--top=2", stdin="Some crimson words .\nOther words\n").stdout.splitlines()]
        self.assertEqual(set(answers[0]["words"]), set(answers[0]["probabilities"]))
        for words in answers[0]["words"].values():
            self.assertLessEqual(len(words), 3)
            self.assertEqual([s for _, s in words], sorted((s for _, s in words), reverse=True))
            self.assertTrue(all(s > 0 for _, s in words))
        (self.dir / "in.csv").write_text("text\nSome crimson words .\n")
        self.predict("--input=in.csv", "--output=out.csv", "--top=1", "--explain=3")
        out = self.table("out.csv")
        self.assertEqual(out[0][-2:], ["words", "error"])
        self.assertEqual(out[1][-2].split(), [w for w, _ in answers[0]["words"][answers[0]["label"]]])

    def test_other_tables_and_other_columns(self):
        (self.dir / "in.csv").write_text("7;some azure words\n8;more\n")
        refused = self.predict("--input=in.csv", "--output=out.csv", expect=3)
        self.assertIn("give --delimiter ';'", refused.stderr)
        self.predict("--input=in.csv", "--output=out.csv", "--delimiter=;", "--text-column=2")
        self.assertEqual([row[:2] for row in self.table("out.csv", ";")], [["1", "2"], ["7", "some azure words"], ["8", "more"]])
        (self.dir / "in.tsv").write_text('text\tid\nsome "azure" words\t1\n')
        self.predict("--input=in.tsv", "--output=out.tsv")
        self.assertEqual(self.table("out.tsv", "\t")[1][:2], ['some "azure" words', "1"])
        (self.dir / "in.jsonl.gz").write_bytes(gzip.compress(b'{"body": "some words", "id": 1}\n{"body": 3}\nnot json\n'))
        self.predict("--input=in.jsonl.gz", "--format=jsonl", "--output=out.jsonl", "--text-column=body")
        answers = [json.loads(line) for line in (self.dir / "out.jsonl").read_text().splitlines()]
        self.assertEqual([list(a) for a in answers], [["input", "label", "probabilities", "unknown_share"]] * 2 + [["error"]])

    def test_a_bad_record_costs_its_own_answer_alone(self):
        (self.dir / "in.csv").write_bytes(b'id,text\n1,fine\n2,one,too many\n3,"quoted" badly\n4,\xff\xfe\x00 junk\n5,fine\n')
        self.predict("--input=in.csv", "--output=out.csv")
        out = self.table("out.csv")[1:]
        self.assertEqual([bool(row[2]) for row in out], [True, False, False, True, True])
        self.assertEqual([row[0] for row in out], ["1", "2", "3", "4", "5"])  # their cells stay
        self.assertEqual(out[1][1], "one,too many")
        self.assertIn("in.csv:3: expected 2 fields", out[1][-1])
        self.assertIn("in.csv:4: text behind the closing quote", out[2][-1])
        self.assertEqual(out[0][2:], out[4][2:])

    def test_bytes_that_are_not_utf8_are_told_once(self):
        (self.dir / "in.csv").write_bytes(b"text,note\nfine,caf\xe9\nna\xefve,x\n")
        (self.dir / "in.txt").write_bytes(b"fine\nna\xefve\nna\xefve\n")
        for name in ("in.csv", "in.txt"):
            self.assertEqual(self.predict(f"--input={name}").stderr.count("not UTF-8"), 1, name)
        self.assertNotIn("not UTF-8", self.predict("--input=train.csv").stderr)

    def test_the_column_is_that_of_the_training_texts(self):
        (self.dir / "named.csv").write_text((self.dir / "train.csv").read_text().replace("label,text", "topic,message"))
        self.ulmfit("prepare-labelled", "--train=named.csv", "--text-column=message", "--label-column=topic", "--output=named")
        self.ulmfit("train-classifier", "--from=none", "--data=named/labelled", "--output=of-named", "--model.embedding=8", "--model.hidden=8",
                    "--model.layers=1", "--train.steps=3", "--train.threads=1")
        (self.dir / "in.csv").write_text("id,message\n1,Some azure words\n")
        (self.dir / "in.jsonl").write_text('{"message": "Some azure words"}\n')
        for name in ("in.csv", "in.jsonl"):
            self.assertIn("0.", self.ulmfit("predict", "--model=of-named", f"--input={name}").stdout, name)
        (self.dir / "other.csv").write_text("id,Text\n1,Some azure words\n")
        refused = self.predict("--input=other.csv", expect=3).stderr
        self.assertIn("(did you mean 'Text'?); give one of these by --text-column, or", refused)

    def test_a_line_that_is_too_long_costs_its_own_answer_alone(self):
        for name, text in (("in.csv", "text\nfine\n" + "x" * 5000 + "\nfine\n"), ("in.txt", "fine\n" + "x" * 5000 + "\nfine\n")):
            (self.dir / name).write_text(text)
            said = self.predict(f"--input={name}", "--max-line-bytes=1000").stdout.splitlines()[-3:]
            self.assertEqual(["more than 1000 bytes" in line for line in said], [False, True, False])

    def test_binary_and_endless_lines_get_an_answer_each(self):
        junk = bytes(range(256)).replace(b"\n", b"") + b"\n" + "中文 кириллица العربية\n".encode() + b"\n" + b"word " * 100_000 + b"\n"
        (self.dir / "junk").write_bytes(junk)
        self.predict("--input=junk", "--output=out.jsonl")
        answers = [json.loads(line) for line in (self.dir / "out.jsonl").read_text().splitlines()]
        self.assertEqual(len(answers), 4)
        self.assertEqual(["label" in answer for answer in answers], [True, True, False, True])
        self.assertEqual(answers[2], {"error": "the text is empty"})
        self.assertEqual(answers[1]["unknown_share"] > 0.5, True)

    def test_what_cannot_be_is_refused(self):
        (self.dir / "in.csv").write_text("text\nx\n")
        self.assertIn("--output needs --input", self.predict("--output=o", stdin="x\n", expect=2).stderr)
        self.assertIn("needs --input=FILE", self.predict("--format=csv", stdin="x\n", expect=2).stderr)
        self.assertIn("no such file", self.predict("--input=none.csv", expect=3).stderr)
        (self.dir / "there.csv").write_text("mine")
        self.assertIn("is there", self.predict("--input=in.csv", "--output=there.csv", expect=2).stderr)
        self.assertIn("cannot write no/where.csv: there is no folder no", self.predict("--input=in.csv", "--output=no/where.csv", expect=3).stderr)
        self.assertEqual((self.dir / "there.csv").read_text(), "mine")
        (self.dir / "cut.csv.gz").write_bytes(gzip.compress(b"text\n" + os.urandom(40_000).hex().encode() + b"\n")[:-2000])
        self.assertIn("damaged or cut off", self.predict("--input=cut.csv.gz", "--output=o.csv", expect=3).stderr)
        self.assertFalse((self.dir / "o.csv").exists())
        (self.dir / "utf16.csv").write_bytes("text\nsome words\n".encode("utf-16"))
        told = self.predict("--input=utf16.csv", "--output=o.csv", expect=3).stderr
        self.assertIn("UTF-16", told)
        self.assertNotIn("damaged", told)

    def test_a_killed_run_goes_on_to_the_same_bytes(self):
        with open(self.dir / "in.csv", "w", newline="") as file:
            csv.writer(file).writerows([["text"]] + [[text * 12] for _, text in labelled_rows(60000, seed=4)])
        command = ("predict", "--model=run", "--train.threads=1", "--input=in.csv", "--batch-size=64", "--output=out.csv")
        process = self.start(*command)
        self.assertTrue(wait_for((self.dir / "out.csv.progress").exists))
        kill_all(process)
        self.assertFalse((self.dir / "out.csv").exists())
        with open(self.dir / "out.csv.partial", "a") as file:
            file.write("half a li")
        done = self.ulmfit(*command)
        self.assertIn("going on behind", done.stderr)
        self.assertFalse((self.dir / "out.csv.partial").exists() or (self.dir / "out.csv.progress").exists())
        self.ulmfit(*command[:-1], "--output=whole.csv")
        self.assertEqual((self.dir / "out.csv").read_bytes(), (self.dir / "whole.csv").read_bytes())

    def test_json_lines_that_come_compressed_go_on_too(self):
        lines = b"".join(json.dumps({"text": text * 12, "id": i}).encode() + b"\n" for i, (_, text) in enumerate(labelled_rows(60000, seed=4)))
        (self.dir / "in.jsonl.gz").write_bytes(gzip.compress(lines, 1))
        command = ("predict", "--model=run", "--train.threads=1", "--input=in.jsonl.gz", "--format=jsonl", "--top=1", "--batch-size=64", "--output=out.jsonl")
        process = self.start(*command)
        self.assertTrue(wait_for((self.dir / "out.jsonl.progress").exists))
        second = self.ulmfit(*command, expect=4)
        self.assertIn("another run holds it", second.stderr)
        kill_all(process)
        self.ulmfit(*command)
        ids = [json.loads(line)["input"]["id"] for line in (self.dir / "out.jsonl").read_text().splitlines()]
        self.assertEqual(ids, list(range(60000)))

    def test_a_full_disk_is_an_error(self):
        self.predict("--input=train.csv", "--output=/dev/full/x.csv", expect=3)
        (self.dir / "big.csv").write_text("text\n" + "some words here\n" * 20000)
        command = f"ulimit -f 200; exec {BINARY} predict --model=run --input=big.csv --output=out.csv"
        done = subprocess.run(["bash", "-c", "trap '' XFSZ; " + command], cwd=self.dir, env=environment(), capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("out.csv.partial", done.stderr)
        self.assertFalse((self.dir / "out.csv").exists())
        self.predict("--input=big.csv", "--output=out.csv")  # goes on where there is room
        self.assertEqual(len(self.table("out.csv")), 20001)

    def test_what_another_call_began_is_not_gone_on_with(self):
        (self.dir / "in.csv").write_text("text\nx\ny\n")
        (self.dir / "out.csv.partial").write_text("text,predicted\n")
        (self.dir / "out.csv.progress").write_text(json.dumps({"answers": 1, "bytes": 5, "asked": {"input": "other"}}))
        self.assertIn("written anew", self.predict("--input=in.csv", "--output=out.csv").stderr)
        self.assertEqual(len(self.table("out.csv")), 3)


class Vectors(TestCase):
    def setUp(self):
        super().setUp()
        write_csv(self.dir / "train.csv", labelled_rows(120, seed=2))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data")
        common = ("--from=none", "--model.embedding=6", "--model.hidden=8", "--model.layers=2", "--train.steps=2", "--train.threads=1")
        self.ulmfit("train-classifier", "--data=data/labelled", "--output=run", *common)
        self.ulmfit("finetune-lm", "--corpus=data/lm", "--output=lm", "--direction=backward", *common)
        self.words = (self.dir / "run/stage/vocab.txt").read_text().splitlines()

    def vectors(self, texts, *arguments, model="run"):
        (self.dir / "v.jsonl").unlink(missing_ok=True)
        (self.dir / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
        self.ulmfit("embed", f"--model={model}", "--input=texts.txt", "--output=v.jsonl", "--train.threads=1", *arguments)
        return [json.loads(line)["vector"] for line in (self.dir / "v.jsonl").read_text().splitlines()]

    def assert_near(self, a, b):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertAlmostEqual(x, y, places=5)

    def test_the_mean_of_the_words(self):
        rows = read_safetensors(self.dir / "run/stage/model.safetensors")["embedding.weight"]
        known = [w for w in self.words[9:] if w.isalpha() and not w.startswith("xx")][:3]
        ids = [self.words.index("xxbos")] + [self.words.index(w) for w in known]
        mean = [sum(rows[6 * i + k] for i in ids) / len(ids) for k in range(6)]
        self.assert_near(self.vectors([" ".join(known)], "--layers=0", "--pool=mean")[0], mean)

    def test_a_text_has_the_same_vector_in_any_company_and_window(self):
        texts = [text for _, text in labelled_rows(9, seed=5)] + [" ".join(t for _, t in labelled_rows(8, seed=6)), ""]
        for model in ("run", "lm"):
            together = self.vectors(texts, "--layers", "1", "2", model=model)
            self.assertEqual({len(v) for v in together}, {3 * (8 + 6)})
            for text, vector in zip(texts, together):
                self.assert_near(self.vectors([text], "--layers", "1", "2", model=model)[0], vector)
        parts = [self.vectors(texts, f"--pool={pool}") for pool in ("last", "max", "mean")]
        for i, whole in enumerate(self.vectors(texts)):
            self.assert_near(whole, parts[0][i] + parts[1][i] + parts[2][i])

    def test_the_formats_say_the_same(self):
        texts = [text for _, text in labelled_rows(5, seed=5)]
        expected = [x for v in self.vectors(texts) for x in v]
        said = json.loads(self.ulmfit("embed", "--model=run", "--output=v.safetensors", stdin="\n".join(texts)).stdout)
        self.assertEqual((said["texts"], said["width"]), (5, 18))
        self.assert_near(read_safetensors(self.dir / "v.safetensors")["vectors"], expected)
        self.ulmfit("embed", "--model=run", "--output=v.npy", stdin="\n".join(texts))
        data = (self.dir / "v.npy").read_bytes()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        size, = struct.unpack("<H", data[8:10])
        self.assertEqual((10 + size) % 64, 0)
        self.assertEqual(ast.literal_eval(data[10:10 + size].decode()), {"descr": "<f4", "fortran_order": False, "shape": (5, 18)})
        self.assert_near(struct.unpack("<90f", data[10 + size:]), expected)

    def test_what_cannot_be_is_refused(self):
        (self.dir / "mine.npy").write_text("mine")
        self.assertIn("is there", self.ulmfit("embed", "--model=run", "--output=mine.npy", stdin="x\n", expect=2).stderr)
        self.assertEqual((self.dir / "mine.npy").read_text(), "mine")
        for arguments, code, message in ((("--output=v.bin",), 2, "--vectors"), (("--output=v.npy", "--layers=3"), 2, "layers 0 (its words) to 2"),
                                         (("--output=v.npy", "--format=jsonl"), 3, "cannot embed text 1")):
            self.assertIn(message, self.ulmfit("embed", "--model=run", *arguments, stdin="not json\n", expect=code).stderr)
        self.assertIn("no text to embed", self.ulmfit("embed", "--model=run", "--output=v.npy", expect=3).stderr)


if __name__ == "__main__":
    unittest.main()
