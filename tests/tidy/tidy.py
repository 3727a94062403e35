#!/usr/bin/env python3
"""tidy.py [ROOT]: the rules of the tree that no compiler knows; prints each breach, exits 1 if there is one.

arrows   a room includes only the rooms that ARCHITECTURE.md says it may
listed   each source file, and each folder with a CMakeLists.txt, is named in a CMakeLists.txt
system   system headers only in src/os (command line: only in files named os_*)
length   no file over 400 lines
facade   tools and examples see <mmsb/...> only
steps    src/CMakeLists.txt compiles for mmsb_steps what includes base/steps.hpp, also through others, and nothing else
"""

import pathlib
import re
import sys

LINES_MAX = 400

# Who may include whom, besides itself, src/base and the vocabulary. `log` is the pure part of that room.
ARROWS = {
    "base": set(),
    "os": set(),
    "delta": set(),
    "log": {"delta"},
    "log (os part)": {"log", "delta", "os"},
    "arena": {"os", "delta"},
    "graph": set(),
    "replay": {"delta", "log"},
    "state": {"delta", "log", "log (os part)", "arena", "graph", "os", "replay"},
    "observe": {"log", "os"},
    "device": {"delta"},
    "replicate": {"log", "log (os part)"},
    "api": None,  # the composition root: everything
}
VOCABULARY = {"types.hpp", "error.hpp", "delta.hpp", "diagnosis.hpp", "event.hpp"}
LOG_OS_PART = ("ring", "segment", "flush", "blobs", "new_file")

SYSTEM = re.compile(
    r"(sys|linux|arpa|net|netinet|asm)/.*"
    r"|(unistd|fcntl|pthread|signal|poll|sched|semaphore|dirent|dlfcn|spawn|termios|ftw|glob|pwd|grp)\.h"
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
CODE = {".hpp", ".cpp", ".h", ".c", ".inc"}
TEXT = CODE | {".py", ".sh", ".cmake"}
LISTED = {".cpp", ".c"}
# Programs that must not compile, and a project of its own: nobody's CMakeLists.txt names them.
NOT_LISTED = ("tests/acceptance/negative", "tests/install")


def room_of(path):
    """The room of a path below src/, such as log/ring.hpp."""
    room = path.parts[0]
    if room == "log" and path.name.startswith(LOG_OS_PART):
        return "log (os part)"
    return room


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.breaches = []

    def breach(self, rule, path, text):
        self.breaches.append(f"{path.relative_to(self.root)}: {rule}: {text}")

    def files(self, *folders, suffixes):
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*")):
                if path.is_file() and path.suffix in suffixes:
                    yield path

    def includes(self, path):
        """(quoted, name) of each include; a quoted name is made relative to src/ where it lies there."""
        for bracket, name in INCLUDE.findall(path.read_text()):
            beside = (path.parent / name).resolve()
            src = (self.root / "src").resolve()
            if bracket == '"' and beside.is_file() and src in beside.parents:
                name = beside.relative_to(src).as_posix()
            yield bracket == '"', name

    def into_room(self, name):
        return "/" in name and (self.root / "src" / name.split("/")[0]).is_dir()

    def check_arrows(self):
        for path in self.files("src", suffixes=CODE):
            room = room_of(path.relative_to(self.root / "src"))
            if room not in ARROWS:
                self.breach("arrows", path, f"{room} is not a room; ARCHITECTURE.md lists them")
                continue
            allowed = ARROWS[room]
            for _, name in self.includes(path):
                if name.startswith("mmsb/"):
                    if allowed is not None and name[5:] not in VOCABULARY:
                        self.breach("arrows", path, f"{room} may not include the facade, <{name}>")
                elif self.into_room(name):
                    other = room_of(pathlib.PurePath(name))
                    if allowed is not None and other not in allowed | {room, "base"}:
                        self.breach("arrows", path, f"{room} may not include {other}, {name}")

    def check_listed(self):
        named = {}
        for cmake in [self.root / "CMakeLists.txt", *self.root.glob("*/**/CMakeLists.txt")]:
            text = re.sub(r"#.*", "", cmake.read_text())
            named[cmake.parent] = set(re.findall(r"[\w./+-]+", text))

        def is_named(path):
            return any(
                path.relative_to(folder).as_posix() in named.get(folder, ())
                for folder in path.parents
                if folder == self.root or self.root in folder.parents
            )

        for path in self.files("src", "tools", "tests", "bench", suffixes=LISTED):
            if not path.relative_to(self.root).as_posix().startswith(NOT_LISTED) and not is_named(path):
                self.breach("listed", path, "no CMakeLists.txt names it")
        for path in self.files("src", "tools", "tests", "bench", suffixes={".txt"}):
            alone = re.search(r"^\s*project\(", path.read_text(), re.MULTILINE)
            if path.name == "CMakeLists.txt" and not alone and not is_named(path.parent):
                self.breach("listed", path, "no CMakeLists.txt names its folder")

    def check_system(self):
        for path in self.files("include", "src", "tools", "examples", suffixes=CODE):
            top, room = path.relative_to(self.root).parts[:2]
            if (top, room) == ("src", "os") or (top == "tools" and path.name.startswith("os_")):
                continue
            for quoted, name in self.includes(path):
                if not quoted and (SYSTEM.fullmatch(name) or (name == "csignal" and top != "tools")):
                    where = "tools/*/os_*" if top == "tools" else "src/os"
                    self.breach("system", path, f"<{name}> belongs into {where}")

    def check_length(self):
        folders = ("src", "include", "tools", "tests", "bench", "examples")
        for path in self.files(*folders, suffixes=TEXT | {".txt", ""}):
            if path.suffix == ".txt" and path.name != "CMakeLists.txt":
                continue
            content = path.read_bytes()
            if path.suffix == "" and not content.startswith(b"#!"):
                continue
            lines = content.count(b"\n")
            if lines > LINES_MAX:
                self.breach("length", path, f"{lines} lines, more than {LINES_MAX}")

    def check_facade(self):
        for path in self.files("tools", "examples", suffixes=CODE):
            for quoted, name in self.includes(path):
                if (self.root / "src" / name).is_file() or self.into_room(name):
                    self.breach("facade", path, f"{name} is not public; include <mmsb/...> only")
                elif quoted and not self.own_header(path, name):
                    self.breach("facade", path, f'"{name}" is not a header of its own')

    def reaches(self, path, wanted, seen):
        """Does it include that, also through other headers of src? `seen`: where it was looked already."""
        for quoted, name in self.includes(path):
            header = self.root / "src" / name
            if not quoted or name in seen or not header.is_file():
                continue
            seen.add(name)
            if name == wanted or self.reaches(header, wanted, seen):
                return True
        return False

    def check_steps(self):
        src = self.root / "src"
        listed = re.search(r"set\(with_steps([^)]*)\)", (src / "CMakeLists.txt").read_text())
        listed = set(listed[1].split()) if listed else set()
        for path in self.files("src", suffixes=LISTED):
            name = path.relative_to(src).as_posix()
            has_steps = self.reaches(path, "base/steps.hpp", set())
            if has_steps and name not in listed:
                self.breach("steps", path, "src/CMakeLists.txt does not have it in with_steps")
            if not has_steps and name in listed:
                self.breach("steps", path, "in with_steps of src/CMakeLists.txt, and has none")

    def own_header(self, path, name):
        program = self.root / pathlib.Path(*path.relative_to(self.root).parts[:2])
        if program.is_file():
            program = program.parent
        bases = (path.parent, program, program.parent)
        candidates = [(base / name).resolve() for base in bases]
        return any(c.is_file() and program.resolve() in c.parents for c in candidates)

    def check(self):
        for rule in ("arrows", "listed", "system", "length", "facade", "steps"):
            getattr(self, f"check_{rule}")()
        return self.breaches


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    breaches = Tree(root).check()
    print("\n".join(breaches) if breaches else "tidy: no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
