#!/usr/bin/env python3
"""Each rule of tidy.py, broken once in a small tree, is told with the file's name."""

import pathlib
import tempfile
import unittest

from tidy import Tree

CLEAN = {
    "CMakeLists.txt": "add_subdirectory(src)\nadd_subdirectory(tools)\nadd_subdirectory(tests)\n",
    "include/mmsb/types.hpp": "#include <cstdint>\n",
    "include/mmsb/state.hpp": "#include <mmsb/types.hpp>\n",
    "src/CMakeLists.txt": "add_subdirectory(os)\nadd_subdirectory(log)\nadd_subdirectory(state)\n"
    "add_subdirectory(api)\n",
    "src/base/bytes.hpp": "#include <mmsb/types.hpp>\n",
    "src/os/CMakeLists.txt": "target_sources(mmsb PRIVATE file.cpp)\n",
    "src/os/file.hpp": "",
    "src/os/file.cpp": '#include "os/file.hpp"\n#include <unistd.h>\n#include <sys/stat.h>\n',
    "src/delta/codec.hpp": '#include "base/bytes.hpp"\n',
    "src/log/CMakeLists.txt": "target_sources(mmsb PRIVATE record.cpp segments.cpp)\n",
    "src/log/record.hpp": '#include "delta/codec.hpp"\n',
    "src/log/record.cpp": '#include "record.hpp"\n',
    "src/log/segments.hpp": '#include "log/record.hpp"\n#include "os/file.hpp"\n',
    "src/log/segments.cpp": '#include "log/segments.hpp"\n',
    "src/replay/image.hpp": '#include "log/record.hpp"\n',
    "src/state/CMakeLists.txt": "target_sources(mmsb\n    PRIVATE commit.cpp)\n",
    "src/state/commit.cpp": '#include "log/segments.hpp"\n#include "replay/image.hpp"\n',
    "src/api/CMakeLists.txt": "target_sources(mmsb PRIVATE state.cpp)\n",
    "src/api/state.cpp": "#include <mmsb/state.hpp>\n",
    "tools/CMakeLists.txt": "add_subdirectory(mmsb)\n",
    "tools/mmsb/CMakeLists.txt": "add_executable(tool main.cpp os_signals.cpp)\n",
    "tools/mmsb/table.hpp": "",
    "tools/mmsb/main.cpp": '#include <mmsb/state.hpp>\n#include <CLI/CLI.hpp>\n#include "table.hpp"\n',
    "tools/mmsb/os_signals.cpp": "#include <signal.h>\n",
    "tests/CMakeLists.txt": "foreach(room IN ITEMS log)\nadd_subdirectory(${room})\nendforeach()\n",
    "tests/log/CMakeLists.txt": "mmsb_test(record_test SOURCES record_test.cpp)\n",
    "tests/log/record_test.cpp": '#include "log/record.hpp"\n#include <unistd.h>\n',
    "examples/hello.cpp": "#include <mmsb/state.hpp>\n",
}


class Tidy(unittest.TestCase):
    def breaches_with(self, **changed):
        """What is told of the clean tree with these files changed or added ({path: text})."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in (CLEAN | changed.get("files", {})).items():
                file = pathlib.Path(root, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return Tree(root).check()

    def assert_told(self, rule, path, text):
        breaches = self.breaches_with(files={path: text})
        self.assertEqual(len(breaches), 1, breaches)
        self.assertTrue(breaches[0].startswith(f"{path}: {rule}: "), breaches[0])

    def test_a_clean_tree_has_no_breach(self):
        self.assertEqual(self.breaches_with(), [])

    def test_an_arrow_that_is_not_drawn_is_told(self):
        self.assert_told("arrows", "src/delta/codec.hpp", '#include "log/record.hpp"\n')
        self.assert_told("arrows", "src/base/bytes.hpp", '#include "delta/codec.hpp"\n')
        self.assert_told("arrows", "src/os/file.hpp", '#include "log/record.hpp"\n')

    def test_an_arrow_in_angle_brackets_is_told(self):
        self.assert_told("arrows", "src/delta/codec.hpp", "#  include <log/record.hpp>\n")

    def test_an_arrow_through_a_relative_path_is_told(self):
        self.assert_told("arrows", "src/delta/codec.hpp", '#include "../log/record.hpp"\n')

    def test_the_pure_part_of_the_log_may_not_include_its_os_part(self):
        self.assert_told("arrows", "src/log/record.cpp", '#include "segments.hpp"\n')
        self.assert_told("arrows", "src/log/record.hpp", '#include "os/file.hpp"\n')
        self.assert_told("arrows", "src/replay/image.hpp", '#include "log/segments.hpp"\n')

    def test_a_room_below_the_api_may_not_include_the_facade(self):
        self.assert_told("arrows", "src/state/commit.cpp", "#include <mmsb/state.hpp>\n")

    def test_a_room_that_nobody_drew_is_told(self):
        self.assert_told("arrows", "src/util/util.hpp", "")

    def test_a_source_that_no_cmake_file_names_is_told(self):
        self.assert_told("listed", "src/log/scan.cpp", "")
        self.assert_told("listed", "tests/log/scan_test.cpp", "")

    def test_a_source_named_in_another_folder_only_is_told(self):
        self.assert_told("listed", "src/os/record.cpp", "")

    def test_a_source_named_in_a_comment_only_is_told(self):
        breaches = self.breaches_with(
            files={"src/api/CMakeLists.txt": "target_sources(mmsb PRIVATE) # state.cpp\n"}
        )
        self.assertEqual(breaches, ["src/api/state.cpp: listed: no CMakeLists.txt names it"])

    def test_a_folder_that_no_cmake_file_names_is_told(self):
        self.assert_told("listed", "tests/state/CMakeLists.txt", "mmsb_test(commit_test)\n")

    def test_a_system_header_outside_os_is_told(self):
        for header in ("unistd.h", "sys/mman.h", "fcntl.h", "linux/futex.h", "pthread.h", "signal.h"):
            self.assert_told("system", "src/log/segments.cpp", f"#include <{header}>\n")
            self.assert_told("system", "include/mmsb/types.hpp", f"#include <{header}>\n")
            self.assert_told("system", "tools/mmsb/main.cpp", f"#include <{header}>\n")

    def test_a_file_of_401_lines_is_told_and_one_of_400_is_not(self):
        for path in ("src/base/bytes.hpp", "examples/hello.cpp", "include/mmsb/types.hpp"):
            self.assert_told("length", path, "\n" * 401)
            self.assertEqual(self.breaches_with(files={path: "\n" * 400}), [])

    def test_a_tool_or_an_example_that_looks_into_a_room_is_told(self):
        self.assert_told("facade", "tools/mmsb/main.cpp", '#include "log/record.hpp"\n')
        self.assert_told("facade", "examples/hello.cpp", "#include <delta/codec.hpp>\n")
        self.assert_told("facade", "examples/hello.cpp", '#include "../tools/mmsb/table.hpp"\n')

    def test_a_source_with_steps_that_is_not_compiled_with_them_is_told(self):
        with_steps = {
            "src/base/steps.hpp": "",
            "src/log/record.hpp": '#include "base/steps.hpp"\n',
            "src/CMakeLists.txt": CLEAN["src/CMakeLists.txt"]
            + "set(with_steps log/record.cpp log/segments.cpp state/commit.cpp)\n",
        }
        self.assertEqual(self.breaches_with(files=with_steps), [])
        unlisted = with_steps | {"src/api/state.cpp": '#include "log/record.hpp"\n'}
        self.assertEqual(
            self.breaches_with(files=unlisted),
            ["src/api/state.cpp: steps: src/CMakeLists.txt does not have it in with_steps"],
        )
        idle = with_steps | {"src/log/record.cpp": ""}
        self.assertEqual(
            self.breaches_with(files=idle),
            ["src/log/record.cpp: steps: in with_steps of src/CMakeLists.txt, and has none"],
        )


if __name__ == "__main__":
    unittest.main()
