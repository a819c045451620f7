"""The pages as a browser lays them out: nothing is wider than the window, on phone, tablet and desk, and dark is dark."""
import html
import json
import re
import shutil
import subprocess
import unittest

from tests.support.ulmfit import BINARY, TestCase, class_folder, environment, labelled_rows, sentences, write_csv

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (360, 820, 1440)
SMALL = ("--model.embedding=12", "--model.hidden=16", "--model.layers=2", "--train.threads=1")
LONG = {"red": "Red, as a long label of a class that somebody has named by a whole sentence", "green": "green", "blue": "blue_without_any_blank_" + "x" * 60}

# Frames of the page, one a width; then what was found in them, as the title.
FRAMES = """<!doctype html><meta name="color-scheme" content="light dark"><title>waiting</title>{frames}<script>
addEventListener("load", () => {{
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const colours = [page.body, root].map(e => frame.contentWindow.getComputedStyle(e).backgroundColor);
    const wide = [...page.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > frame.clientWidth + 1 && !e.closest(".scroll, svg"));
    return {{width: frame.clientWidth, needed: root.scrollWidth, height: root.scrollHeight, background: colours.find(c => c != "rgba(0, 0, 0, 0)") || "", text: page.body.innerText.length,
             wide: wide.slice(0, 3).map(e => e.outerHTML.slice(0, 120))}};
  }}));
}});
</script>"""


@unittest.skipIf(CHROMIUM is None, "there is no chromium here (launch/setup --dev installs it)")
class Layout(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made = made = class_folder(cls)
        for seed, (name, rows) in enumerate((("news", 160), ("valid", 60), ("test", 120))):
            write_csv(made / f"{name}.csv", [(LONG[label].replace(",", ";"), text) for label, text in labelled_rows(rows, seed=seed)])
        (made / "general.txt").write_text("\n".join(sentences(400, seed=4)) + "\n")
        for line in (("prepare-corpus", "--input=general.txt", "--output=corpus"),
                     ("prepare-labelled", "--train=news.csv", "--test=test.csv", "--valid=valid.csv", "--output=data"),
                     ("pretrain", "--corpus=corpus", "--output=general-lm", "--epochs=2", *SMALL),
                     ("pretrain", "--corpus=corpus", "--output=other-lm", "--epochs=3", *SMALL),
                     ("train-classifier", "--from=none", "--data=data/labelled", "--output=classifier", "--epochs=4", "--optim.unfreeze=full", *SMALL),
                     ("evaluate", "--model=classifier", "--data=data/labelled", "--calibration", "--baselines", "--top-losses=20", "--report=evaluation"),
                     ("evaluate", f"--model={made / 'classifier'}", f"--data={made / 'data/labelled'}", "--report=by-long-paths"),
                     ("compare", "general-lm", "classifier", "other-lm", "--report=comparison"),
                     ("study", "low-shot", "--train=news.csv", "--test=test.csv", "--from=general-lm", "--labels=12", "--seeds=1", "--train.threads=1", "--output=study")):
            done = subprocess.run([BINARY, *line], cwd=made, env=environment(), capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise AssertionError(f"{line}\n{done.stderr}")

    def laid_out(self, page, dark=False):
        """Of each width what the browser made of the page."""
        # Scripts of ours may not run in the page itself (its policy allows none); they look into its frames from outside.
        text = html.escape((self.made / page).read_text(), quote=True)
        frames = "".join(f'<iframe style="border:0;height:800px;width:{width}px" srcdoc="{text}"></iframe>' for width in WIDTHS)
        (self.dir / "frames.html").write_text(FRAMES.format(frames=frames))
        done = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1600,900", f"--user-data-dir={self.dir / 'profile'}",
                               f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000", "--dump-dom", (self.dir / "frames.html").as_uri()],
                              capture_output=True, text=True, timeout=120)
        title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
        self.assertIsNotNone(title, done.stderr)
        seen = json.loads(html.unescape(title.group(1)))
        self.assertEqual([frame["width"] for frame in seen], list(WIDTHS))
        return seen

    def test_no_page_is_wider_than_its_window(self):
        for page in ("general-lm/report.html", "classifier/report.html", "evaluation/report.html", "by-long-paths/report.html", "comparison/report.html", "study/study.html"):
            for seen in self.laid_out(page):
                with self.subTest(page=page, width=seen["width"]):
                    self.assertEqual(seen["wide"], [])
                    self.assertLessEqual(seen["needed"], seen["width"], seen)
                    self.assertGreater(seen["text"], 300, "the page shows its words")

    def test_dark_pages_are_dark(self):
        def brightness(seen):
            self.assertNotEqual(seen["background"], "")
            return sum(map(int, re.findall(r"\d+", seen["background"])[:3])) / 3
        for seen in self.laid_out("evaluation/report.html"):
            self.assertGreater(brightness(seen), 200, seen)
        for seen in self.laid_out("evaluation/report.html", dark=True):
            self.assertLess(brightness(seen), 80, seen)


if __name__ == "__main__":
    unittest.main()
