#!/usr/bin/env python3
"""Makes the quick start's data set from what every Debian or Ubuntu package archive holds; needs no root.

    launch/quickstart_data.py FOLDER

writes into FOLDER
    manuals/           HTML manuals of PostgreSQL and Git: general text to pretrain on
    unlabelled.jsonl   descriptions of packages with a topic, the target domain
    all.jsonl          descriptions of packages of all sections, five times the text
    train.csv valid.csv test.csv   (label,text,group): 900 + 100 + 1,000 descriptions with the archive section as label
    facts.json         dates, counts and a fingerprint; written last: where it is, a second run does nothing

Honest by construction. Packages built from one source describe themselves in nearly the same words, so a source gives one
labelled text at most; so do all texts that share a run of 12 words, directly or over others. The unlabelled text has no
package of a source in valid or test, nothing that shares a run of 12 words with a text in them, and nothing that shares one
with another text of its own or of train: a language model that reads the same sentences again learns little from them.
Classes keep their natural shares. The same index gives the same files: draws are ordered by a hash of names.
"""
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

MANUALS = ["postgresql-doc", "git-doc"]
# Sections that name a topic. The others (libs, python, doc ...) name a form of packaging, which a description gives away.
TOPICS = set("admin database editors electronics games graphics mail math net science sound text video web".split())
TRAIN, VALID, TEST = 900, 100, 1000
SHARED_RUN = 12  # words


def say(message):
    print(f"data: {message}", file=sys.stderr, flush=True)


class Apt:
    """The system's package sources, with lists and caches in a folder of our own."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.lists = self.folder / "lists"
        for needed in (self.lists / "partial", self.folder / "archives" / "partial"):
            needed.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments):
        settings = {
            "Dir::State::Lists": self.lists, "Dir::Cache": self.folder, "Dir::Cache::Archives": self.folder / "archives",
            "Acquire::Languages": "en", "Acquire::GzipIndexes": "false", "APT::Sandbox::User": "",
        }
        command = ["apt-get", "-q"]
        for name, value in settings.items():
            command += ["-o", f"{name}={value}"]
        result = subprocess.run(command + list(arguments), cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            say(f"apt-get {' '.join(arguments)} ended with code {result.returncode}:\n{result.stdout[-2000:]}")
        return result.returncode == 0

    def update(self):
        """A third-party source may fail without harm, and many have no descriptions. But of a suite that has some, all must have
        arrived: a data set of half an index would be another one, without a word."""
        if not self.run("update"):
            shutil.rmtree(self.lists)  # of an earlier start, too
            (self.lists / "partial").mkdir(parents=True)
            if not self.run("update"):
                say("going on with the sources that could be fetched")
        if not list(self.lists.glob("*_i18n_Translation-en")):
            sys.exit("data: no package descriptions could be fetched; this needs a Debian or Ubuntu package archive")
        for translation in self.lists.glob("*_i18n_Translation-en"):
            component = translation.name.removesuffix("_i18n_Translation-en")
            if not list(self.lists.glob(f"{component}_binary-*_Packages")):
                sys.exit(f"data: the index of packages of {component} could not be fetched; try again")

    def release_dates(self):
        """Date of each index that descriptions come from."""
        dates = {}
        for path in sorted(self.lists.glob("*_InRelease")) + sorted(self.lists.glob("*_Release")):
            suite = path.name.rsplit("_", 1)[0]
            found = re.search(r"^Date: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            if found and list(self.lists.glob(f"{suite}_*_i18n_Translation-en")):
                dates[suite.rsplit("_", 1)[1]] = found.group(1)
        return dates

    def stanzas(self, pattern):
        """The records of all list files of that name, as dictionaries; a continued field keeps its line breaks."""
        for path in sorted(self.lists.glob(pattern)):
            record, name = {}, ""
            for line in path.read_text(encoding="utf-8").split("\n"):
                if line.startswith((" ", "\t")):
                    record[name] += "\n" + line
                elif line:
                    name, _, value = line.partition(":")
                    record[name] = value.strip()
                elif record:
                    yield record
                    record = {}


def read_packages(apt):
    """Name -> record with source, section and text, for all packages that have a description in English."""
    texts = {}
    for record in apt.stanzas("*_i18n_Translation-en"):
        lines = [line.strip() for line in record["Description-en"].split("\n")]
        texts[record["Package"], record["Description-md5"]] = " ".join(line for line in lines if line not in ("", "."))
    packages = {}
    for record in apt.stanzas("*_binary-*_Packages"):
        text = texts.get((record["Package"], record.get("Description-md5")))
        if text and record["Package"] not in packages:
            packages[record["Package"]] = {
                "name": record["Package"], "source": record.get("Source", record["Package"]).split()[0],
                "section": record.get("Section", "").rsplit("/", 1)[-1], "text": text, "depends": record.get("Depends", ""),
            }
    return packages


def order(name):
    """Sorts names in an order that is arbitrary and always the same."""
    return hashlib.sha256(name.encode()).digest()


def runs(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i:i + SHARED_RUN]) for i in range(len(words) - SHARED_RUN + 1)}


def choose_labelled(packages, manuals):
    """One package a source, of those with a topic; none of a source whose manual is read."""
    chosen = {}
    read = {packages[name]["source"] for name in manuals if name in packages}
    for package in sorted(packages.values(), key=lambda p: order(p["name"])):
        if package["section"] in TOPICS and package["source"] not in read:
            chosen.setdefault(package["source"], package)
    return list(chosen.values())


def group_by_shared_runs(labelled):
    """Lists of packages that are linked, directly or over others, by a shared run of words."""
    parent = list(range(len(labelled)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with = {}
    for i, package in enumerate(labelled):
        for run in runs(package["text"]):
            parent[root(i)] = root(first_with.setdefault(run, i))
    groups = {}
    for i, package in enumerate(labelled):
        groups.setdefault(root(i), []).append(package)
    return list(groups.values())


def split(groups):
    """One text of each group, so that every labelled text stands for itself, dealt to the sides in an arbitrary order."""
    texts = sorted((min(group, key=lambda p: order(p["name"])) for group in groups), key=lambda p: order("side " + p["name"]))
    if len(texts) < TRAIN + VALID + TEST:
        sys.exit(f"data: the archive has only {len(texts)} usable labelled texts, {TRAIN + VALID + TEST} are needed")
    return {"test": texts[:TEST], "valid": texts[TEST:TEST + VALID], "train": texts[TEST + VALID:TEST + VALID + TRAIN]}


def choose_unlabelled(packages, sides, sections):
    """Texts of packages in these sections (None: in any), and how many were left out for which reason."""
    held_out = sides["valid"] + sides["test"]
    sources = {package["source"] for package in held_out}
    held_out_runs, seen = (set().union(*(runs(p["text"]) for p in texts)) for texts in (held_out, sides["train"]))
    train = {package["name"] for package in sides["train"]}  # comes with train.csv
    kept, left_out = [], Counter()
    for package in sorted(packages.values(), key=lambda p: order(p["name"])):
        if package["name"] in train or (sections and package["section"] not in sections):
            continue
        own = runs(package["text"])
        if package["source"] in sources:
            left_out["same_source_as_held_out"] += 1
        elif not own.isdisjoint(held_out_runs):
            left_out["shared_run_with_held_out"] += 1
        elif not own.isdisjoint(seen):
            left_out["shared_run_with_another"] += 1
        else:
            kept.append(package["text"])
            seen |= own
    return kept, left_out


def fetch_manuals(apt, packages, folder):
    """The HTML pages of the manuals; a package that only depends on the current version's manual leads to that one."""
    fetched = []
    for name in MANUALS:
        if name not in packages:
            sys.exit(f"data: the package archive has no {name}, whose manual is part of the quick start's text")
        depends = packages[name]["depends"].split(",")[0].split()
        fetched.append(depends[0] if depends and depends[0].startswith(name) else name)
    shutil.rmtree(folder, ignore_errors=True)
    if not apt.run("download", *fetched):
        sys.exit(f"data: the manuals {' '.join(fetched)} could not be fetched")
    for name in fetched:
        unpacked = apt.folder / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        archive = max(apt.folder.glob(f"{name}_*.deb"), key=os.path.getmtime)
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        for page in sorted(unpacked.rglob("*.html")):
            if page.is_file() and not page.is_symlink():
                target = folder / name / page.relative_to(unpacked / "usr/share/doc")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(page, target)
        shutil.rmtree(unpacked)
    return fetched


def fingerprint(folder):
    """Of all names and bytes in the folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def main():
    signal.signal(signal.SIGUSR2, lambda *_: sys.exit("data: stopped; the same command begins this step again"))  # ends apt-get too
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    final = Path(sys.argv[1])
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    if (final / "facts.json").exists():
        if json.loads((final / "facts.json").read_text(encoding="utf-8")).get("script") == script:
            say(f"{final} is there")
            return
        say(f"{final} was made by another version of this script: it is made anew")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        sys.exit("data: this needs apt-get and dpkg-deb, of Debian or Ubuntu")
    apt = Apt(final.with_name(final.name + ".archive"))
    work = final.with_name(final.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)

    say("fetching the archive's list of packages and descriptions (20 MB)")
    apt.update()
    packages = read_packages(apt)
    say(f"fetching the manuals {' '.join(MANUALS)} (10 MB)")
    manuals = fetch_manuals(apt, packages, work / "manuals")

    labelled = choose_labelled(packages, manuals)
    groups = group_by_shared_runs(labelled)
    say(f"{len(packages)} descriptions; {len(labelled)} sources with a topic, {len(groups)} of them without text in common")
    sides = split(groups)
    for side, rows in sides.items():
        with open(work / f"{side}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["label", "text", "group"])
            writer.writerows([p["section"], p["text"], p["source"]] for p in rows)
    unlabelled, left_out = {}, {}
    for name, sections in (("unlabelled", TOPICS), ("all", None)):
        texts, left_out[name] = choose_unlabelled(packages, sides, sections)
        unlabelled[name] = len(texts)
        with open(work / f"{name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)

    facts = {
        "script": script, "index_dates": apt.release_dates(), "manuals": manuals, "manual_pages": len(list(work.rglob("*.html"))),
        "descriptions": len(packages), "usable_sources": len(labelled), "independent_texts": len(groups),
        "unlabelled": unlabelled, "left_out": left_out,
        "classes": {side: dict(sorted(Counter(p["section"] for p in rows).items())) for side, rows in sides.items()},
        "fingerprint": fingerprint(work),
    }
    (work / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    work.rename(final)
    shutil.rmtree(apt.folder)
    say(f"{final}: {TRAIN} + {VALID} + {TEST} labelled texts, {unlabelled['unlabelled']} unlabelled with a topic, "
        f"{unlabelled['all']} in all, {facts['manual_pages']} manual pages")


if __name__ == "__main__":
    main()
