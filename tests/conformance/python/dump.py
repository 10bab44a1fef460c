"""What the simulator itself says that it holds: its dump, read without any XAPI client."""

import re
import urllib.request
import xml.etree.ElementTree as ElementTree

ESCAPES = {".": " ", "t": "\t", "n": "\n", "r": "\r", "%": "%"}
SYMBOL = re.compile(r"\s*(?:(?P<bracket>[()])|'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s()']+))", re.DOTALL)


def read(url, session):
    """Tables by lower-case class; each has rows by reference, with columns as text."""
    with urllib.request.urlopen(f"{url}/pool/xmldbdump?session_id={session}") as answer:
        root = ElementTree.fromstring(answer.read())
    return {
        table.get("name").lower(): {row.get("ref"): columns(row) for row in table.findall("row")}
        for table in root.findall("table")
    }


def columns(row):
    return {
        name.replace("__", "_"): re.sub("%(.)", lambda found: ESCAPES.get(found[1], found[0]), text)
        for name, text in row.items()
        if name not in ("ref", "_ref", "__ctime", "__mtime")
    }


def like(text, value):
    """A column's text as a value of the same kind as `value`, so that the two can be compared."""
    if isinstance(value, bool):
        return text == "true"
    if isinstance(value, float):
        return float(text)
    if isinstance(value, dict):
        return {pair[0]: pair[1] for pair in listed(text)}
    if isinstance(value, list):
        return listed(text)
    return text


def listed(text):
    stack = [[]]
    for symbol in SYMBOL.finditer(text):
        if symbol["bracket"] == "(":
            stack.append([])
        elif symbol["bracket"] == ")":
            inner = stack.pop()
            stack[-1].append(inner)
        else:
            quoted = symbol["quoted"]
            stack[-1].append(symbol["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
    return stack[0][0]
