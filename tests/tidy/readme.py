#!/usr/bin/env python3
"""readme.py ROOT COMPILER...: each ```cpp block of README.md compiles, without a warning.

A block without a main is the inside of one; its includes go before it, and the umbrella header is always there.
"""

import pathlib
import re
import subprocess
import sys


def program_of(block):
    if re.search(r"\bmain\s*\(", block):
        return block
    lines = block.splitlines()
    includes = [line for line in lines if line.lstrip().startswith("#include")]
    rest = [line for line in lines if line not in includes]
    head = ["#include <mmsb/mmsb.hpp>", *includes]
    return "\n".join([*head, "int main() {", *rest, "}", ""])


def main():
    root, compiler = pathlib.Path(sys.argv[1]), sys.argv[2:]
    blocks = re.findall(r"^```cpp\n(.*?)^```", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    if not blocks:
        sys.exit("README.md has no ```cpp block")
    flags = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-unused", f"-I{root}/include", "-xc++", "-"]
    for number, block in enumerate(blocks, 1):
        answer = subprocess.run([*compiler, *flags], input=program_of(block), capture_output=True, text=True)
        if answer.returncode:
            sys.exit(f"README.md, ```cpp block {number} does not compile:\n{block}\n{answer.stderr}")
    print(f"{len(blocks)} blocks compile")


if __name__ == "__main__":
    main()
