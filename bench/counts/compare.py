#!/usr/bin/env python3
"""compare.py PROGRAM [--accept]: counts the instructions of each hot path, and compares with counts.json.

PROGRAM is bench_counts; valgrind counts, and emulates a processor with AVX2, so the figures are of that path on every
machine. They belong to a compiler and a C library, which counts.json names: with another one there is nothing to compare
with, and the exit code is 77. 1: a path takes more than before. --accept writes the figures of now into counts.json.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

COUNTS = pathlib.Path(__file__).with_name("counts.json")
ALLOWED = 0.03  # Between two runs: under 0.1 % of any path on a quiet machine, and up to 2.2 % more on a busy one.
# A record holds its writer's process id: from 16,384 on, one of three bytes, which a record's reader takes 70 instructions
# more for. The recorded figures are of such a one.
# Time leaves traces: commits that lie further apart have longer times in their records, and waiting looks again. It only
# ever adds, so what is too much is counted again, and the least counts.
AGAIN = 4
SKIPPED = 77


def valgrind(*words):
    return subprocess.run(["valgrind", *words], check=True, capture_output=True, text=True, timeout=300).stdout


def environment(program):
    return valgrind("-q", "--tool=none", program, "--environment").strip()


def count(program, path):
    """Instructions of the thread that does the work: the first one."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        valgrind("--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={out}", program, path)
        return int(re.search(r"^totals: (\d+)$", pathlib.Path(out + "-01").read_text(), re.MULTILINE)[1])


def operations_of(program):
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout
    return {name: int(operations) for name, operations in (line.split() for line in listed.splitlines())}


def measure(program, before):
    """Instructions an operation, by path; none counts more than it must."""
    now = {}
    for path, operations in operations_of(program).items():
        limit = before.get(path, 0) * (1 + ALLOWED)
        for _ in range(1 + AGAIN):
            counted = round(count(program, path) / operations, 1)
            now[path] = min(counted, now.get(path, counted))
            if now[path] <= limit:
                break
    return now


def compare(before, now, allowed=ALLOWED):
    """What to print, and whether a path takes more than is allowed."""
    lines, worse = [], False
    for path in sorted(before.keys() | now.keys()):
        if path not in before or path not in now:
            worse = True
            lines.append(f"{path}: {'not in counts.json' if path in now else 'in counts.json, and not measured'}")
            continue
        change = now[path] / before[path] - 1
        line = f"{path}: {before[path]:,} instructions before, {now[path]:,} now ({change:+.1%})"
        if change > allowed:
            worse = True
            line += f": MORE than the {allowed:.0%} that are allowed"
        elif change < -allowed:
            line += ": less; record it, so that it stays"
        lines.append(line)
    return lines, worse


def main():
    program, accept = sys.argv[1], "--accept" in sys.argv[2:]
    recorded = json.loads(COUNTS.read_text())
    here = environment(program)
    if here != recorded["environment"] and not accept:
        print(f"counts.json is of {recorded['environment']}; here is {here}: nothing to compare with")
        return SKIPPED
    now = measure(program, {} if accept else recorded["instructions"])
    if accept:
        COUNTS.write_text(json.dumps({"environment": here, "instructions": now}, indent=2) + "\n")
        print(f"{COUNTS.name}: {len(now)} paths")
        return 0
    lines, worse = compare(recorded["instructions"], now)
    print("\n".join(lines))
    if worse:
        print(f"\nIf it has to be so, say why in the commit, with the figures of: {sys.argv[0]} {program} --accept")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
