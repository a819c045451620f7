"""Published models by name, from a server of this test's own: whole ones, broken ones, none."""
import hashlib
import http.server
import io
import json
import socket
import subprocess
import tarfile
import threading
import time
import unittest
import zipfile
from pathlib import Path

from tests.support.ulmfit import BINARY, TestCase, environment, wait_for

FILES = Path(__file__).resolve().parents[1] / "fixtures/fastai"


def archive_of(*members):
    """A .tgz as fastai publishes: names with their bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


WEIGHTS = ("wt/lstm_fwd.pth", (FILES / "lm.pth").read_bytes())
WORDS = ("wt/itos.pkl", (FILES / "vocab.pkl").read_bytes())
MODEL = archive_of(WEIGHTS, ("wt/._lstm_fwd.pth", b"of macOS"), WORDS, ("wt/README", b"hello"))


class Pages(http.server.BaseHTTPRequestHandler):
    served, slow = 0, False
    content = {"/model.tgz": MODEL, "/words-alone.tgz": archive_of(WORDS), "/two.tgz": archive_of(WEIGHTS, ("wt/other.pth", b"x"), WORDS),
               "/page.tgz": b"<html>moved</html>", "/half.tgz": MODEL[:len(MODEL) // 2],
               "/outside.tgz": archive_of(("../../outside.pth", WEIGHTS[1]), ("/tmp/outside.pkl", WORDS[1]))}

    def do_GET(self):
        Pages.served += 1
        if self.path == "/moved.tgz":
            self.send_response(302)
            self.send_header("Location", "/model.tgz")
            return self.end_headers()
        if self.path == "/slow.tgz":
            Pages.slow = True
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            return time.sleep(60)
        data = self.content.get("/model.tgz" if self.path == "/cut.tgz" else self.path)
        if data is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:1000] if self.path == "/cut.tgz" else data)

    def log_message(self, *_):
        pass


class Fetch(TestCase):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.place = f"http://127.0.0.1:{self.server.server_port}"

    def fetch(self, *arguments, expect=0, output="lm"):
        done = subprocess.run([BINARY, "fetch", *arguments, f"--output={self.dir / output}"], env={**environment(), "no_proxy": "127.0.0.1", "TMPDIR": str(self.dir)},
                              cwd=self.dir, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, expect, done.stderr)
        if expect:
            self.assertFalse((self.dir / output).exists())
        self.assertEqual([p.name for p in self.dir.iterdir() if "partial" in p.name or p.name.startswith("ulmfit-")], [], "something is left")
        return done

    def test_a_model_is_fetched_checked_imported_and_not_fetched_again(self):
        sum_of_model = hashlib.sha256(MODEL).hexdigest()
        arguments = (f"--address={self.place}/model.tgz", f"--sha256={sum_of_model}", "--license=CC0", "--accept-foreign-tokens")
        self.assertEqual(json.loads(self.fetch(*arguments).stdout)["imported"], "language model")
        self.ulmfit("import", "--weights", FILES / "lm.pth", "--vocab", FILES / "vocab.pkl", "--output=by-hand", "--accept-foreign-tokens")
        self.assert_same_weights("lm/stage/model.safetensors", "by-hand/stage/model.safetensors")
        facts = json.loads(self.ulmfit("inspect", "lm", "--json").stdout)["lineage"][0]["facts"]
        self.assertEqual((facts["address"], facts["sha256"], facts["license"]), (f"{self.place}/model.tgz", sum_of_model, "CC0"))
        self.assertIn("| this model | CC0 |", (self.dir / "lm/stage/CARD.md").read_text())
        served = Pages.served
        self.assertIn("nothing to do", self.fetch(*arguments).stderr)
        self.assertEqual(Pages.served, served)
        other = archive_of(WEIGHTS, WORDS)
        (self.dir / "other.tgz").write_bytes(other)
        said = subprocess.run([BINARY, "fetch", *arguments[:1], "--archive=other.tgz", "--accept-foreign-tokens", f"--output={self.dir}/lm"], cwd=self.dir,
                              capture_output=True, text=True)
        self.assertEqual(said.returncode, 2, "another file is no nothing-to-do")
        said = subprocess.run([BINARY, "fetch", *arguments, "--direction=backward", f"--output={self.dir}/lm"], capture_output=True, text=True)
        self.assertEqual(said.returncode, 2)
        self.assertIn("is not empty", said.stderr)

    def test_redirections_unknown_sums_and_names_that_lead_outside(self):
        for page in ("moved", "outside"):
            said = self.fetch(f"--address={self.place}/{page}.tgz", "--accept-foreign-tokens", output=page)
            self.assertIn("no checksum is known", said.stderr)
            self.assertTrue((self.dir / page / "stage/MANIFEST.json").exists())
        self.assertFalse((self.dir.parent / "outside.pth").exists())
        self.assertFalse(Path("/tmp/outside.pkl").exists())

    def test_what_is_broken_or_not_there_is_refused_and_leaves_nothing(self):
        for page, code, message in (
                ("missing.tgz", 3, "curl ended with 22"), ("cut.tgz", 3, "curl ended with 18"), ("half.tgz", 4, "cannot unpack"),
                ("page.tgz", 4, "cannot unpack"), ("words-alone.tgz", 4, "it holds no file *.pth"), ("two.tgz", 4, "wt/other.pth, one file")):
            with self.subTest(page):
                self.assertIn(message, self.fetch(f"--address={self.place}/{page}", "--accept-foreign-tokens", expect=code).stderr)
        said = self.fetch(f"--address={self.place}/model.tgz", f"--sha256={'0' * 64}", "--accept-foreign-tokens", expect=3).stderr
        self.assertIn("is not what was published", said)
        self.assertIn(hashlib.sha256(MODEL).hexdigest(), said)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}/model.tgz"
            said = self.fetch(f"--address={nobody}", "--accept-foreign-tokens", expect=3).stderr
        self.assertIn("curl ended with 7", said)
        self.assertIn("give it by --archive FILE", said)
        self.assertIn("--accept-foreign-tokens", self.fetch(f"--address={self.place}/model.tgz", expect=2).stderr)
        self.assertIn("expected one that begins with https://", self.fetch("--address=file:///etc/passwd", "--accept-foreign-tokens", expect=2).stderr)
        self.assertIn("64 hexadecimal digits", self.fetch(f"--address={self.place}/model.tgz", "--sha256=12", "--accept-foreign-tokens", expect=2).stderr)

    def test_addresses_tell_no_secrets_and_are_taken_word_for_word(self):
        said = self.fetch("--address=https://me:secret@example.org/model.tgz", "--accept-foreign-tokens", expect=2).stderr
        self.assertIn("user's name or password", said)
        self.fetch(f"--address={self.place}/model.tgz?key=TOKEN", "--accept-foreign-tokens", expect=3)  # this server knows no keys
        (self.dir / "model.tgz").write_bytes(MODEL)
        keyed = (f"--address={self.place}/model.tgz?key=TOKEN", "--archive=model.tgz", "--accept-foreign-tokens")
        self.fetch(*keyed, output="keyed/")  # with a slash, too
        for file in (self.dir / "keyed").rglob("*.*"):
            self.assertNotIn(b"TOKEN", file.read_bytes(), file)
        self.assertIn("nothing to do", self.fetch(*keyed, output="keyed").stderr)
        served = Pages.served
        self.fetch(f"--address={self.place}/a[1-5].tgz", "--accept-foreign-tokens", expect=3)
        self.assertEqual(Pages.served, served + 1)
        said = self.fetch(b"--address=http://127.0.0.1/\xff.tgz", "--accept-foreign-tokens", expect=2).stderr
        self.assertIn("UTF-8", said)
        self.assertIn("which is no file", self.fetch("wikitext-103-forward", "--archive=none", "--accept-foreign-tokens", expect=2).stderr)

    def test_a_download_ends_with_the_program(self):
        fetching = subprocess.Popen([BINARY, "fetch", f"--address={self.place}/slow.tgz", "--accept-foreign-tokens", f"--output={self.dir}/lm"],
                                    env={**environment(), "no_proxy": "127.0.0.1"}, stderr=subprocess.PIPE)
        self.assertTrue(wait_for(lambda: Pages.slow, seconds=30))
        fetching.terminate()
        fetching.communicate(timeout=30)
        self.assertTrue(wait_for(lambda: not subprocess.run(["pgrep", "-f", f"{self.place}/slow.tgz"], capture_output=True, text=True).stdout, seconds=20))
        self.fetch(f"--address={self.place}/model.tgz", "--accept-foreign-tokens")  # what was left does not matter

    def test_a_name_stands_for_its_recipe(self):
        self.assertIn("did you mean wikitext-103-forward", self.fetch("wikitext-103", expect=2).stderr)
        self.assertIn("wikitext-103-backward", self.ulmfit("fetch", "--help").stdout)
        (self.dir / "wt103-bwd.tgz").write_bytes(MODEL)
        said = self.fetch("wikitext-103-backward", "--archive=wt103-bwd.tgz", "--accept-foreign-tokens")
        self.assertIn("address not tried", said.stderr)
        self.assertIn("no checksum is known", said.stderr)
        told = json.loads(self.ulmfit("inspect", "lm", "--json").stdout)
        self.assertEqual(told["direction"], "backward")
        self.assertIn("wt103-bwd.tgz", told["lineage"][0]["facts"]["address"])
        self.assertEqual(json.loads((self.dir / "lm/stage/text.json").read_text())["rules"], "fastai 1.0.61")
        (self.dir / "own.cfg").write_text("direction = forward\n")
        self.fetch("--model", "wikitext-103-backward", "--archive=wt103-bwd.tgz", "--accept-foreign-tokens", "--config=own.cfg", output="own")
        self.assertEqual(json.loads(self.ulmfit("inspect", "own", "--json").stdout)["direction"], "forward")
        self.fetch("wikitext-103-forward", f"--address={self.place}/model.tgz", "--accept-foreign-tokens", "--licence=older spelling", output="mirrored")
        facts = json.loads(self.ulmfit("inspect", "mirrored", "--json").stdout)["lineage"][0]["facts"]
        self.assertEqual((facts["license"], facts["note"]), ("older spelling", ""))
        (self.dir / "pipeline.cfg").write_text("[fetch]\nmodel = wikitext-103-backward\narchive = wt103-bwd.tgz\noutput = piped\naccept-foreign-tokens = true\n")
        self.ulmfit("run", "--config=pipeline.cfg")
        self.assertIn("nothing to do", self.ulmfit("run", "--config=pipeline.cfg").stderr)
        self.assert_same_weights("piped/stage/model.safetensors", "lm/stage/model.safetensors")

    def test_the_way_from_a_fetched_model_to_a_tuned_one(self):
        (self.dir / "wt103-fwd.tgz").write_bytes(MODEL)
        self.fetch("wikitext-103-forward", "--archive=wt103-fwd.tgz", "--accept-foreign-tokens", output="general-lm")
        (self.dir / "train.csv").write_text("text,label\n" + "".join(f"the film was {w} again,{w}\n" for w in ("good", "bad") * 40))
        self.ulmfit("prepare-labelled", "--train=train.csv", "--output=data", "--vocab=general-lm", "--vocab.extend")
        words = (self.dir / "data/lm/vocab.txt").read_text().split()
        self.assertTrue({"again", "映画"} <= set(words), "of the text, and of the model")
        self.ulmfit("finetune-lm", "--from=general-lm", "--corpus=data/lm", "--output=target-lm", "--train.streams=4", "--train.threads=1")

    def test_a_stage_travels_as_one_checked_file(self):
        self.ulmfit("import", "--weights", FILES / "classifier.pth", "--vocab", FILES / "vocab_classifier.pkl", "--output=classifier",
                    "--accept-foreign-tokens")
        said = json.loads(self.ulmfit("export", "--model=classifier", "--bundle", "--output=sent/reviews.zip").stdout)
        data = (self.dir / "sent/reviews.zip").read_bytes()
        self.assertEqual((said["sha256"], said["bytes"]), (hashlib.sha256(data).hexdigest(), len(data)))
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            self.assertIsNone(bundle.testzip())
            self.assertIn("reviews/CARD.md", bundle.namelist())
            bundle.extractall(self.dir / "received")
        there = sorted(p.name for p in (self.dir / "classifier/stage").iterdir())
        self.assertEqual(sorted(p.name for p in (self.dir / "received/reviews").iterdir()), there)
        texts = "the film was good .\na bad film\n"
        self.assertEqual(self.ulmfit("predict", "--model=received/reviews", stdin=texts).stdout, self.ulmfit("predict", "--model=classifier", stdin=texts).stdout)
        self.ulmfit("export", "--model=classifier", "--bundle", "--output=again.zip")
        self.assertIn("nothing to do", self.ulmfit("export", "--model=classifier", "--bundle", "--output=again.zip").stderr)
        (self.dir / "other.zip").write_bytes(b"something else")
        self.assertIn("there already", self.ulmfit("export", "--model=classifier", "--bundle", "--output=other.zip", expect=2).stderr)
        self.assertIn("one of them", self.ulmfit("export", "--model=classifier", "--bundle", "--encoder", "--output=x.zip", expect=2).stderr)
        self.ulmfit("export", "--model=received/reviews", "--output=for-fastai")
        self.assertIn("nothing to do", self.ulmfit("export", "--model=classifier", "--output=for-fastai").stderr)
        self.assertIn("does not end with .zip", self.ulmfit("export", "--model=classifier", "--bundle", "--output=again", expect=2).stderr)
        self.assertEqual(len((self.dir / "again.zip").read_bytes()), len(data) - len(there) * 2 * (len("reviews") - len("again")))


if __name__ == "__main__":
    unittest.main()
