#!/usr/bin/env python3
"""Writes src/text/html_entities.inc: the named character references of HTML5, with and without semicolon.

The table is Python's html.entities.html5, which is the one of the HTML standard. Sorted by name bytes.
Usage: html_entities.py > src/text/html_entities.inc
"""

import html.entities

ESCAPES = {"\t": r"\t", "\n": r"\n", '"': r"\"", "\\": r"\\"}


def literal(text):
    """A C++ string literal in ASCII."""
    out = ""
    for char in text:
        if char in ESCAPES:
            out += ESCAPES[char]
        elif ord(char) < 0x80:
            out += char
        elif ord(char) < 0x10000:
            out += f"\\u{ord(char):04x}"
        else:
            out += f"\\U{ord(char):08x}"
    return f'"{out}"'


def main():
    print("// Written by tests/reference/html_entities.py; not to be edited.")
    print("// clang-format off")
    line = ""
    for name in sorted(html.entities.html5):
        entry = f"{{{literal(name)}, {literal(html.entities.html5[name])}}},"
        if len(line) + len(entry) > 122:
            print(line.rstrip())
            line = ""
        line += entry + " "
    print(line.rstrip())
    print("// clang-format on")


main()
