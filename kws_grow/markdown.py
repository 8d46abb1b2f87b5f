"""The little of Markdown that our reports use, written and as HTML."""

import re
from collections.abc import Iterable
from html import escape

_INLINE = ((re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
           (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
           (re.compile(r"\*\*([^*]+)\*\*"), r"<b>\1</b>"),
           (re.compile(r"\[([^\]]+)\]\((https?://[^)\s]+)\)"), r'<a href="\2">\1</a>'),
           (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"))
_RULE = re.compile(r"\|[\s:|-]+")


def to_html(text: str, level: int = 1) -> str:
    """Headings (one # becomes h`level`), tables, lists, indented code and paragraphs; links to files become their
    text."""
    blocks, block = [], []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            if block and _kind(block[-1]) != _kind(line):
                blocks, block = [*blocks, block], []
            block.append(line)
        elif block:
            blocks, block = [*blocks, block], []
    return "\n".join(_block(lines, level) for lines in blocks)


def _kind(line: str) -> str:
    if line.startswith("    "):
        return "code"
    return {"#": "heading", "|": "table", "- ": "list"}.get(
        next((mark for mark in ("#", "|", "- ") if line.startswith(mark)), ""), "text")


def _block(lines: list[str], level: int) -> str:
    kind = _kind(lines[0])
    if kind == "code":
        return f"<pre>{escape(chr(10).join(line[4:] for line in lines))}</pre>"
    if kind == "table":
        return table([_cells(line) for line in lines if not _RULE.fullmatch(line)])
    if kind == "list":
        return "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>"
    if kind == "heading":
        return "\n".join(_heading(line, level) for line in lines)
    return f"<p>{inline(' '.join(lines))}</p>"


def _heading(line: str, level: int) -> str:
    marks = len(line) - len(line.lstrip("#"))
    depth = min(6, marks + level - 1)
    return f"<h{depth}>{inline(line[marks:].strip())}</h{depth}>"


def _cells(line: str) -> list[str]:
    return [inline(cell.strip()) for cell in line.strip().strip("|").split("|")]


def inline(text: str) -> str:
    """Code, bold, links; everything else is escaped."""
    found = escape(text)
    for pattern, replacement in _INLINE:
        found = pattern.sub(replacement, found)
    return found


def table(rows: list[list[str]]) -> str:
    """Cells are HTML; the first row is the head, left out where it is empty."""
    head, *body = rows
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"] if any(head) else []
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return f"<div class=wide><table>{''.join(lines)}</table></div>"


def markdown_table(head: list[str], rows: Iterable[list[str]]) -> str:
    """As Markdown has it."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
