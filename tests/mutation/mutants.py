"""The mutants of C++ files: small changes, each of which makes a program that is wrong nearly always.

The code is formatted by clang-format, which lets a line stand for a token: binary operators have a space on each side
(template brackets have none), and a call that stands alone is a line that ends with `);`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

OPERATORS = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ",
    " == ": " != ", " != ": " == ", " && ": " || ", " || ": " && ",
    " + ": " - ", " - ": " + ", " += ": " -= ", " -= ": " += ",
    "return true;": "return false;", "return false;": "return true;",
    "continue;": "break;",
}
TOKEN = re.compile("|".join(re.escape(token) for token in sorted(OPERATORS, key=len, reverse=True)))
CONDITION = re.compile(r"\b(?:if|while) \(")
# A call or an assignment that can be left away; a declaration or a `return` cannot.
STATEMENT = re.compile(r"^\s+(?:(?:\(void\))?[\w.\->:\[\]()*]+\(.*\)|[\w.\->:\[\]()*]+ [+|&]?= .*|\+\+[\w.\->]+);$")
# What no test can tell: where code asks for memory early, what a step is called, and what is asserted.
NO_MUTANT = re.compile(r"^\s*(?:#|template|using |static_assert|MMSB_STEP|MMSB_ASSERT|namespace|constexpr )|\.reserve\(|prefetch")


@dataclass(frozen=True)
class Mutant:
    file: Path
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before.strip()}  =>  {self.after.strip() or '(nothing)'}"


def blanked(text: str) -> str:
    """The text with comments, strings and character literals as blanks of the same length."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", "\x01", m.group()), text, flags=re.DOTALL)


def closing(code: str, opening: int) -> int:
    """The place of the bracket that closes the one at `opening`, or -1 where it is on another line."""
    depth = 0
    for place in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if depth == 0:
            return place
    return -1


def says_the_same(condition: str) -> bool:
    """Its operator alone, turned round, is its negation."""
    return condition.count(" == ") + condition.count(" != ") == 1 and " && " not in condition and " || " not in condition


def of_line(code: str, line: str, begins: bool):
    """Each changed form of `line`; `code` is the same line, blanked; `begins`: a statement does there."""
    for match in TOKEN.finditer(code):
        yield line[: match.start()] + OPERATORS[match.group()] + line[match.end():]
    for match in CONDITION.finditer(code):
        start, end = match.end(), closing(code, match.end() - 1)
        if end > 0 and ";" not in code[start:end] and not says_the_same(code[start:end]):
            yield f"{line[:start]}!({line[start:end]}){line[end:]}"
    if begins and STATEMENT.match(code) and not re.match(r"^\s+(?:return|throw|co_|case|delete|else)\b", code):
        yield ""


def of_file(root: Path, file: Path) -> list[Mutant]:
    """All mutants of one file, in the order of its lines."""
    text = (root / file).read_text()
    found = []
    begins = True
    for number, (code, line) in enumerate(zip(blanked(text).split("\n"), text.split("\n")), 1):
        if NO_MUTANT.search(code):
            continue
        for after in dict.fromkeys(of_line(code, line, begins)):
            if "[[" in after or after == line:
                continue
            found.append(Mutant(file, number, line, after))
        if spoken := code.replace("\x01", " ").rstrip():
            begins = spoken[-1] in ";{}:" or spoken.endswith(")") and re.match(r"\s*(?:if|for|while) \(", spoken)
    return found
