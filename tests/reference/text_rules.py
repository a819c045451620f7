#!/usr/bin/env python3
"""Writes what the text rules of fastai make of tricky inputs: of 2.8.12 for tests/unit/text/rules_test.cpp, of 1.0.61 for
fastai1_rules_test.cpp.

fastai is fetched with `pip install --no-deps` into a temporary folder; its rules are taken out of fastai/text/core.py (v1:
transform.py) by their syntax tree and run with Python's own `re` and `html`, so torch is not needed.

Lines: first {"fastai", "python", "unicode"}; then, of v2, {"word_ranges"}: what \\w takes, as first and last code points in turn;
then cases {"text", RULE: output where it differs from the text ..., "all": output of all rules in order}; of v1, "tokens" too:
what its rules for tokens make of "all", split at white space.

Usage: text_rules.py 2 > text_rules.jsonl; text_rules.py 1 > text_rules_v1.jsonl
"""

import ast
import html
import json
import pathlib
import platform
import random
import re
import subprocess
import sys
import tempfile
import typing
import unicodedata

VERSIONS = {"1": "1.0.61", "2": "2.8.12"}
FILES = {"1": "transform.py", "2": "core.py"}
RULES = {"1": ["fix_html", "replace_rep", "replace_wrep", "spec_add_spaces", "rm_useless_spaces"],
         "2": ["fix_html", "replace_rep", "replace_wrep", "spec_add_spaces", "rm_useless_spaces", "replace_all_caps",
               "replace_maj", "lowercase"]}
TOKEN_RULES = {"1": ["replace_all_caps", "deal_caps"], "2": []}

CASES = [
    # the ones everybody quotes
    "", " ", "\n", "a", "I LOVE it!!! ... good good good good.", "AAAA BBB (HELLO)", "NASA's NASA, I'VE",
    "This is a Test. I am HERE", "1000", "10000 dollars", "cccc", "word word word word", "it's so so so so cool!!!!!",
    "Fix HTML: #39; amp; #146; nbsp; #36; \\n quot; <br /> \\\" <unk>  @.@  @-@  @,@ ...",
    # repeated characters
    "aa", "aaa", "aaaa", "aaab", "baaa", "aaabbb", "aaa bbb", "aaabbbccc", "AAAaaa", "   ", "\n\n\n\n", "\t\t\t", "a   b",
    "...",
    "....", ". . .", "-----", "\u00e9\u00e9\u00e9", "e\u0301e\u0301e\u0301", "\u4e00\u4e00\u4e00\u4e00", "\U0001f600" * 3,
    "\u00a0\u00a0\u00a0",
    "\u3000\u3000\u3000", "\u200b\u200b\u200b", "\u0000\u0000\u0000", "\x1c\x1c\x1c", "xxx xxxx", "\ufffd\ufffd\ufffd",
    "aaaaaaaaaaaa",
    "\u2028\u2028\u2028", "a\u0301\u0301\u0301", "\\\\\\", "///", "###", "www.example.org", "Hmmm", "HMMM", "HMMMM!",
    # repeated words
    "a a", "a a a", "a a a a", " a a a", "a a a ", "a  a \n a", "a a a.", "a a, a a", "a a a b b b", "a a a  b b b",
    "a a a\n\nb b b",
    "ab ab abc", "ab ab ab abc", "abc ab ab ab", "ab ab abc ab ab ab", "A a a a", "A A a", "a.a a a a", ".a a a a",
    "a a a, a a a",
    "_ _ _", "1 1 1", "\u4e00 \u4e00 \u4e00", "\u00e9 \u00e9 \u00e9", "e\u0301 e\u0301 e\u0301", "don't don't don't",
    "x\u00a0x\u00a0x",
    "x\u3000x\u3000x", "x\u200bx\u200bx", "the the the end", "no no no no no!", "no, no, no, no", "a a a\u0301",
    "a a\u0301 a a a",
    "\u00bd \u00bd \u00bd", "\u0663 \u0663 \u0663", "\u2167 \u2167 \u2167", "\u00b2 \u00b2 \u00b2",
    "\u0bf0 \u0bf0 \u0bf0", "\ud55c \ud55c \ud55c",
    "a\x1ca\x1da\x1ea", "a a a a a a a a a a a a", "\na a a", "\n\na a a", "a a a a\tb",
    "word word word word word, word word word",
    # blanks and marks
    "a/b", "a / b", "a//b", "#hashtag", "c:\\dir\\name", "C# and F#", "http://a.b/c#d", "\\", "/", "a  b   c    d",
    "a\n\nb", "a \n b",
    "  a  ", "\u00a0 a \u00a0", "a\u3000\u3000b", "\ufeffa", "a\u0085b", "\u0085a\u0085",
    # capitals
    "A", "I", "I I", "AB", "Ab", "aB", "ABc", "AbC", "A1", "A-B", "A-b", "a-B", "HELLO,", "(HELLO)", "HELLO)", "USA's",
    "U.S.A.", "U.s.a.",
    "O'Neil", "O'NEIL", "McDonald", "MCDONALD", "iPhone", "IPhone", "B2B", "B2b", "3D", "3d", "D3", "d3", "X\u00c9",
    "X\u00e9", "\u00c9X",
    "\u00c9x", "\u00c9COLE \u00c9cole", "HELLO\u00a0WORLD", "HELLO\u200bWORLD", "Hello\u200bworld", "\u0130 A\u0130",
    "A\u03a3", "A\u03a3 B",
    "AB\u03a3\u0391", "A\u039f\u0394\u039f\u03a3", "\u039f\u0394\u039f\u03a3", "\u039f\u0394\u039f\u03a3.",
    "\u039f\u0394\u039f\u03a3\u0391", "\u03a3", "\u03a3\u03a3\u03a3", "A\u03a3\u00ad\u0391",
    "\u01c4 \u01c5 \u01c6", "STRASSE Stra\u00dfe STRA\u1e9eE", "\u212a \u212b \u2126", "\U00010400",
    "\U0001f170 A\U0001f170", "N\u00ba1",
    "HELLO\nWORLD", "HELLO\x1cWORLD", "Hello\u2028World", "A\nB\nC", "A.", "A!", "AB!", "Ab!", "\nA", "\n\nAB",
    "NBA\u7403\u5458", "Ab\u4e2dC",
    # HTML
    "&amp;", "&amp;amp;", "&amp;lt;", "&lt;b&gt;", "&lt", "&ltb", "&notit;", "&notin;", "&notin", "&nosuch;", "&;", "&",
    "&&", "& b", "&a",
    "&#62;", "&#62", "&#062;", "&#x3e;", "&#X3E", "&#x3eg", "&#", "&#;", "&#x", "&#x;", "&#xg", "&#0;", "&#1;", "&#9;",
    "&#10;", "&#11;",
    "&#12;", "&#13;", "&#31;", "&#32;", "&#127;", "&#128;", "&#129;", "&#150;", "&#159;", "&#160;", "&#xD7FF;",
    "&#xD800;", "&#xDFFF;",
    "&#xE000;", "&#xFDCF;", "&#xFDD0;", "&#xFDEF;", "&#xFDF0;", "&#xFFFD;", "&#xFFFE;", "&#x1FFFF;", "&#x10FFFD;",
    "&#x10FFFF;",
    "&#x110000;", "&#4294967297;", "&#99999999999999999999;", "&#39;", "&#36;", "&#146;", "&quot;", "&nbsp;", "&eacute;",
    "&eacute",
    "caf&eacutes", "&AElig&aelig;", "&NotEqualTilde;", "&bne;", "&fjlig;", "&Tab;", "&NewLine;", "&ZeroWidthSpace;",
    "&hellip;",
    "&CounterClockwiseContourIntegral;", "&CounterClockwiseContourIntegralx;", "&\u00e9amp;", "&am\u00e9p;", "&copy2024",
    "&COPY;",
    "&Copy;", "&gtr;", "&gt;&gt;&gt;", "&lt;&lt", "<br /><br />", "<br/>", "<BR />", "&lt;br /&gt;", "a<unk>b <unk> <UNK>",
    "a @.@ b @-@ c @,@ d", " @.@ @.@ ", " @-@  @-@ ", "3 @.@ 14 , 1 @,@ 000", "......", "a...b", "\\n\\n", "\\\\n",
    "\\\"q\\\"", "\\'",
    "#39;#39;s", "##39;", "aamp;b", "&amp;quot;", "quot;x quot;", "#146;t", "nbsp;nbsp;", "\\nbsp;", "xnbsp;x&nbsp;",
    # odd bytes
    "\u00ad", "\u200d", "a\u0000b", "\u0007", "\u001b[1m", "\U0010ffff", "\ue000", "\ufdd0", "\u0600", "\ufffc",
]

CASES_OF_V1 = [
    "a a a a ", "a a a a b", "no, no, no, no, yes", "no,no,no,no,no", "no,no,no,no,", "no no no no", "no no no no no", "no no no no  x",
    "no  no  no  no  no  x", "no - no - no - no - no - x", "a no no no no b", "no no no noo no", "n-n-n-n-n-n", "a\na\na\na\na\na",
    "a. a. a. a. a. b. b. b. b. b.", ".a.a.a.a.a", "_ _ _ _ _ ", "\u00e9 \u00e9 \u00e9 \u00e9 \u00e9 ", "\u4e00\u3002\u4e00\u3002\u4e00\u3002\u4e00\u3002",
    "cccc ccc", "!!!!", "\\ \\\\", "a\\b", "\\n\\n\\n", "a  b", "&nbsp;&nbsp; x", "# / #/", "\u00c9COLE \u00c9cole \u00e9COLE", "\u01c5 \u01c5a A\u01c5",
    "\u2163 A\u2163 A\u2173 \u24b6\u24b7 \u24b6\u24d1", "A1 A1B 1A 1a A-b A-B a-B \u00aaB B\u00aa", "xxup XXUP", "\u0130I \u0130\u0131", "\U00010400\U00010401 \U00010400\U00010428",
    "\U0001d400NO \U0001d400no \U0001d400\U0001d401",
]

FRAGMENTS = ["a", "b", "A", "Ab", "AB", "HELLO", "word", "Word", "\u0130", "\u0391\u03a3", "\u00df", "\u00c9", "A\u00c9",
             "\u01c5", "_", "1", "\u0663", "\u00bd", "\u4e2d\u6587",
             "e\u0301", "don't", "N\u2019T", "\U0001f600", ".", "...", "!!!", "\u2026", "/", "#", "\\", "\\n", "\\\"",
             "@.@", "@-@", "<unk>",
             "<br />", "&amp;", "&lt", "&notit;", "&#62;", "&#x3e", "&#0;", "&#13;", "&#150;", "&#x110000;", "amp;",
             "#39;", "nbsp;",
             "quot;", "xxunk", "aaa", "AAA", "\u00e9\u00e9\u00e9\u00e9", "&&&", "\u200b", "\ufeff", "\u00ad", "x", "y"]
BLANKS = [" ", " ", " ", "  ", "   ", "\n", "\t", "\n\n", "\u00a0", "\u3000", "\x1c", "\x85", "\u2028", "\r", "", ""]


def fastai_rules(folder, version):
    """The rules as functions: those for text, by name, and those for tokens."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"fastai=={VERSIONS[version]}"]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    path = pathlib.Path(folder, "fastai", "text", FILES[version])
    kept = []
    for node in ast.parse(path.read_text(encoding="utf8")).body:
        if isinstance(node, ast.FunctionDef) and node.name in RULES[version] + TOKEN_RULES[version]:
            kept.append(node)
        elif isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            if target.startswith("_re_") or "TK_REP" in target or "UNK" in target:  # special tokens
                kept.append(node)
    scope = {"re": re, "html": html, "Collection": typing.Collection}
    exec(compile(ast.Module(kept, []), str(path), "exec"), scope)
    return [(name, scope[name]) for name in RULES[version]], [scope[name] for name in TOKEN_RULES[version]]


def composed_cases(count):
    draw = random.Random(2018)
    for _ in range(count):
        words = draw.sample(FRAGMENTS, draw.randint(1, 5))
        blanks = draw.sample(BLANKS, draw.randint(1, 3))
        yield "".join(draw.choice(words) + draw.choice(blanks) for _ in range(draw.randint(2, 10)))


def code_points():
    return (chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)


def word_ranges():
    ranges = []
    for char in code_points():
        if not re.match(r"\w", char):
            continue
        if ranges and ranges[-1] == ord(char) - 1:
            ranges[-1] = ord(char)
        else:
            ranges += [ord(char), ord(char)]
    return ranges


def main():
    version = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        rules, token_rules = fastai_rules(folder, version)
    print(json.dumps({"fastai": VERSIONS[version], "python": platform.python_version(), "unicode": unicodedata.unidata_version}))
    if version == "2":
        print(json.dumps({"word_ranges": word_ranges()}, separators=(",", ":")))
    with_lower_case = " ".join(char for char in code_points() if char.lower() != char)
    for text in CASES + (CASES_OF_V1 if version == "1" else []) + [with_lower_case] + list(composed_cases(250)):
        case = {"text": text}
        everything = text
        for name, rule in rules:
            everything = rule(everything)
            if rule(text) != text:
                case[name] = rule(text)
        case["all"] = everything
        if token_rules:
            tokens = everything.split()
            for rule in token_rules:
                tokens = rule(tokens)
            case["tokens"] = tokens
        print(json.dumps(case))


if __name__ == "__main__":
    main()
