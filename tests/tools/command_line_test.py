#!/usr/bin/env python3
"""command_line_test.py PROGRAM: the commands do what their --help says, on real files."""

import json
import os
import random
import subprocess
import time

import tool


class Capture(tool.Tool):
    def test_what_is_exported_is_what_was_captured(self):
        contents = {"a.txt": b"hello\n", "sub/b.bin": bytes(range(256)) * 40, "empty": b""}
        for name, data in contents.items():
            self.write(name, data)
        self.mmsb("capture", "x.bus", *contents)
        self.mmsb("export", "x.bus", "out")
        for name, data in contents.items():
            self.assertEqual(self.read(f"out/{name}"), data)

    def test_each_sequence_exports_the_bytes_of_that_moment(self):
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        past = {}
        data = b""
        for _ in range(30):
            cut = rng.randrange(len(data) + 1)
            data = data[:cut] + rng.randbytes(rng.randrange(5000)) + data[cut + rng.randrange(3000) :]
            self.write("f", data)
            (answer,) = self.json("capture", "x.bus", "f")
            past[answer["sequence"]] = data
        for sequence, data in past.items():
            self.mmsb("export", "x.bus", "--at", sequence, f"out{sequence}")
            self.assertEqual(self.read(f"out{sequence}/f"), data, f"seed {seed}, sequence {sequence}")
        self.mmsb("verify", "x.bus")

    def test_an_unchanged_file_commits_nothing(self):
        self.write("a", "one")
        self.write("b", "two")
        (first,) = self.json("capture", "x.bus", "a", "b")
        self.assertTrue(first["changed"])
        self.assertEqual([f["fate"] for f in first["files"]], ["made", "made"])
        (second,) = self.json("capture", "x.bus", "a", "b")
        self.assertFalse(second["changed"])
        self.assertEqual(second["sequence"], first["sequence"])
        self.write("b", "owt")
        (third,) = self.json("capture", "x.bus", "a", "b")
        self.assertEqual([f["fate"] for f in third["files"]], ["unchanged", "changed"])
        self.assertEqual(third["sequence"], first["sequence"] + 1)
        self.assertEqual(third["changed_bytes"], 2)

    def test_a_missing_file_is_an_error_and_commits_nothing(self):
        self.write("a", "one")
        self.run_mmsb("capture", "x.bus", "a", "gone", code=8)
        self.assertFalse((self.folder / "x.bus").exists())

    def test_prune_deletes_the_page_of_a_file_that_is_gone(self):
        self.write("a", "one")
        self.write("b", "two")
        (first,) = self.json("capture", "x.bus", "a", "b")
        (self.folder / "b").unlink()
        (second,) = self.json("capture", "x.bus", "a", "b", "--prune")
        self.assertEqual([f["fate"] for f in second["files"]], ["unchanged", "deleted"])
        self.assertEqual([p["name"] for p in self.json("pages", "x.bus")], ["a"])
        self.mmsb("export", "x.bus", "--at", first["sequence"], "out")
        self.assertEqual(self.read("out/b"), b"two")
        for bus in ("x.bus", "y.bus"):
            self.assertIn("no page to delete of b", self.run_mmsb("capture", bus, "b", "--prune", code=8).stderr)
        self.assertFalse((self.folder / "y.bus").exists())
        self.assertEqual(len(self.json("log", "x.bus")), 2)

    def test_a_thousand_files_are_one_commit(self):
        names = [f"d/{i}" for i in range(1000)]
        for name in names:
            self.write(name, f"contents of {name}" * 10)
        self.mmsb("capture", "x.bus", *names)
        self.assertEqual(len(self.json("log", "x.bus")), 1)
        self.mmsb("export", "x.bus", "out")
        for name in names:
            self.assertEqual(self.read(f"out/{name}"), self.read(name))

    def test_a_folder_and_a_pipe_are_refused(self):
        (self.folder / "d").mkdir()
        self.run_mmsb("capture", "x.bus", "d", code=2)
        os.mkfifo(self.folder / "pipe")
        self.run_mmsb("capture", "x.bus", "pipe", code=2)

    def test_a_file_over_a_gibibyte_is_refused_by_name(self):
        with open(self.write("large", ""), "r+b") as file:
            file.truncate(2**30 + 1)
        answer = self.run_mmsb("capture", "x.bus", "large", code=2)
        self.assertIn("large", answer.stderr)
        self.assertIn("1 GiB", answer.stderr)

    def test_a_file_that_never_stands_still_is_said_so(self):
        with open(self.write("busy", ""), "r+b") as file:
            file.truncate(2**28)  # So large that it cannot be read between two writes.
        script = "import os\nf = os.open('busy', os.O_RDWR)\nprint(flush=True)\nwhile True: os.pwrite(f, b'x', 0)"
        with subprocess.Popen(["python3", "-c", script], cwd=self.folder, stdout=subprocess.PIPE) as writer:
            try:
                writer.stdout.readline()
                self.assertIn("busy", self.run_mmsb("capture", "x.bus", "busy", code=6).stderr)
            finally:
                writer.kill()


class Export(tool.Tool):
    def test_names_with_dots_and_roots_stay_below_the_folder(self):
        self.write("up", "up")
        self.write("abs", "abs")
        deep = self.folder / "deep" / "er"
        deep.mkdir(parents=True)
        absolute = self.folder / "abs"
        subprocess.run(
            [tool.PROGRAM, "capture", "x.bus", "../../up", str(absolute), "./.././../abs"], cwd=deep, check=True,
            capture_output=True,
        )
        self.mmsb("export", "deep/er/x.bus", "out")
        self.assertEqual(self.read("out/__/__/up"), b"up")
        self.assertEqual(self.read(f"out/{absolute}"), b"abs")
        self.assertEqual(self.read("out/__/__/abs"), b"abs")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["abs", "deep", "out", "up"])

    def test_two_names_for_one_place_are_refused_and_nothing_is_written(self):
        self.write("a", "one")
        self.mmsb("capture", "x.bus", "a", "./a")
        answer = self.run_mmsb("export", "x.bus", "out", code=2)
        self.assertIn("--page", answer.stderr)
        self.assertFalse((self.folder / "out").exists())
        self.mmsb("export", "x.bus", "out", "--page", "./a")
        self.assertEqual(self.read("out/a"), b"one")

    def test_a_page_that_would_be_the_folder_of_another_is_refused(self):
        self.write("a", "file")
        self.mmsb("capture", "x.bus", "a")
        (self.folder / "a").unlink()
        self.write("a/b", "below")
        self.mmsb("capture", "x.bus", "a/b")
        self.run_mmsb("export", "x.bus", "out", code=2)

    def test_symbolic_links_below_the_folder_are_not_followed(self):
        self.write("d/f", "new")
        self.mmsb("capture", "x.bus", "d/f")
        (self.folder / "elsewhere").mkdir()
        (self.folder / "out").mkdir()
        (self.folder / "out" / "d").symlink_to("../elsewhere")
        self.run_mmsb("export", "x.bus", "out", code=8)
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])
        (self.folder / "out" / "d").unlink()
        (self.folder / "out" / "d").mkdir()
        victim = self.write("victim", "old")
        (self.folder / "out" / "d" / "f").symlink_to(victim)
        self.mmsb("export", "x.bus", "out")
        self.assertEqual(victim.read_bytes(), b"old")
        self.assertEqual(self.read("out/d/f"), b"new")


class Looking(tool.Tool):
    """log, show, diff, pages, info, stats, verify."""

    def setUp(self):
        super().setUp()
        self.write("a", b"hello world, this is a page\n")
        self.write("b", b"x" * 100)
        self.mmsb("capture", "x.bus", "a", "b", "--label", "first one", "--tag", "7")
        self.write("a", b"hello WORLD, this is a page\n")
        self.mmsb("capture", "x.bus", "a", "--label", "second", "--source", "editor")
        self.write("b", b"x" * 50)
        self.write("c", b"new")
        self.mmsb("capture", "x.bus", "b", "c")

    def sequences(self, *filters):
        return [record["sequence"] for record in self.json("log", "x.bus", *filters)]

    def test_log_filters_narrow(self):
        every = self.sequences()
        self.assertEqual(len(every), 3)
        first, second, third = every
        self.assertEqual(self.sequences("--page", "a"), [first, second])
        self.assertEqual(self.sequences("--page", "a", "--page", "c"), every)
        self.assertEqual(self.sequences("--source", "editor"), [second])
        self.assertEqual(self.sequences("--label", "first"), [first])
        self.assertEqual(self.sequences("--tag", "7"), [first])
        self.assertEqual(self.sequences("--structure"), [first, third])
        self.assertEqual(self.sequences("--from", second), [second, third])
        self.assertEqual(self.sequences("--to", second), [first, second])
        self.assertEqual(self.sequences("--since", "1h"), every)
        self.assertEqual(self.sequences("--until", "1h"), [])
        self.assertEqual(self.sequences("--since", "2001-01-01", "--until", "2001-01-02T00:00:00Z"), [])
        self.assertEqual(self.sequences("--reverse"), every[::-1])
        for limit in range(1, len(every) + 3):
            self.assertEqual(self.sequences("--reverse", "--limit", limit), every[::-1][:limit])
            self.assertEqual(self.sequences("--reverse", "--limit", limit, "--to", second, "--from", first),
                             [s for s in every[::-1] if first <= s <= second][:limit])
        self.assertEqual(self.sequences("--limit", "1"), [first])

    def test_log_says_who_and_why(self):
        record = self.json("log", "x.bus")[1]
        self.assertEqual((record["source"], record["label"]), ("editor", "second"))
        self.assertEqual([(d["name"], d["changed_bytes"]) for d in record["deltas"]], [("a", 5)])
        self.assertIn("a +5 bytes", self.mmsb("log", "x.bus"))

    def test_log_of_a_page_that_is_gone_is_still_there(self):
        (self.folder / "c").unlink()
        made = self.json("log", "x.bus", "--page", "c")[0]
        self.mmsb("capture", "x.bus", "c", "--prune", "--tag", "9")
        self.assertEqual(len(self.sequences("--page", "c")), 2)
        (number,) = [page["id"] for page in made["pages"] if page["name"] == "c"]
        self.assertEqual(self.sequences("--page", number), self.sequences("--page", "c"))
        self.assertEqual(self.sequences("--page", f"#{number}"), self.sequences("--page", "c"))
        self.run_mmsb("log", "x.bus", "--page", number + 1, code=3)

    def test_log_calls_pages_what_they_were_called_whatever_else_a_filter_hides(self):
        (self.folder / "a").unlink()
        self.mmsb("capture", "x.bus", "a", "--prune")
        (record,) = self.json("log", "x.bus", "--source", "editor")
        self.assertEqual([d["name"] for d in record["deltas"]], ["a"])
        self.write("a", "another page of that name")
        self.mmsb("capture", "x.bus", "a", "--tag", "9")
        self.assertIn("a +5 bytes", self.mmsb("log", "x.bus", "--source", "editor"))
        self.assertIn("a +25 bytes", self.mmsb("log", "x.bus", "--tag", "9"))

    def test_show_marks_what_the_commit_changed(self):
        second = self.sequences()[1]
        shown = self.mmsb("show", "x.bus", "a", "--at", second)
        self.assertIn("[57 4f 52 4c 44]", shown)
        self.assertIn("|hello WORLD, thi|", shown)
        (answer,) = self.json("show", "x.bus", "a", "--at", second)
        self.assertEqual(answer["last_change"]["runs"], [{"offset": 6, "size": 5}])
        self.assertEqual(bytes.fromhex(answer["bytes"]), b"hello WORLD, this is a page\n")

    def test_show_raw_gives_the_bytes(self):
        first = self.sequences()[0]
        self.assertEqual(self.mmsb("show", "x.bus", "a", "--at", first, "--raw"), "hello world, this is a page\n")

    def test_show_takes_a_page_by_its_id(self):
        number = self.json("pages", "x.bus")[0]["id"]
        self.assertEqual(self.mmsb("show", "x.bus", f"#{number}"), self.mmsb("show", "x.bus", "a"))

    def test_a_page_that_is_not_there_is_an_error_of_its_own(self):
        self.run_mmsb("show", "x.bus", "nobody", code=3)
        self.run_mmsb("show", "x.bus", "c", "--at", self.sequences()[0], code=3)

    def test_diff_tells_added_removed_and_changed(self):
        first, second, third = self.sequences()
        self.assertEqual(self.mmsb("diff", "x.bus", second, second), "")
        (answer,) = self.json("diff", "x.bus", first, third, code=1)
        self.assertEqual([p["name"] for p in answer["added"]], ["c"])
        self.assertEqual([(p["name"], p["changed_bytes"], p["size_before"]) for p in answer["changed"]],
                         [("a", 5, 28), ("b", 0, 100)])
        (back,) = self.json("diff", "x.bus", third, first, code=1)
        self.assertEqual([p["name"] for p in back["removed"]], ["c"])
        self.assertIn("+ c", self.mmsb("diff", "x.bus", first, "newest", code=1))
        self.assertEqual(len(self.json("diff", "x.bus", 0, first, code=1)[0]["added"]), 2)

    def test_pages_info_stats_and_verify_agree(self):
        pages = self.json("pages", "x.bus")
        self.assertEqual([(p["name"], p["size"]) for p in pages], [("a", 28), ("b", 50), ("c", 3)])
        self.assertEqual(len(self.json("pages", "x.bus", "--at", self.sequences()[0])), 2)
        (info,) = self.json("info", "x.bus")
        self.assertEqual((info["pages"], info["page_bytes"]), (3, 81))
        self.assertEqual(info["sequence"], self.sequences()[-1])
        self.assertEqual((info["oldest"], info["retention"]["records"], info["retention"]["age_suspended"]), (0, 0, False))
        (stats,) = self.json("stats", "x.bus")
        self.assertEqual((stats["total_pages"], stats["total_page_bytes"]), (3, 81))
        self.assertEqual((stats["graph_nodes"], stats["propagation_count"], stats["bytes_to_device"]), (0, 0, 0))
        (report,) = self.json("verify", "x.bus")
        self.assertTrue(report["good"])
        for command in ("info", "pages", "stats", "verify"):
            self.assertTrue(self.mmsb(command, "x.bus"))

    def test_watch_prints_each_commit_as_it_happens(self):
        command = [tool.PROGRAM, "watch", "x.bus", "--json", "--count", "2", "--for", "60s"]
        watch = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        # A commit that comes before it watches is not seen: go on until it has two.
        while watch.poll() is None:
            self.write("a", f"{time.monotonic_ns()}\n")
            self.mmsb("capture", "x.bus", "a", "--label", "again")
        lines = [json.loads(line) for line in watch.communicate()[0].splitlines()]
        self.assertEqual((watch.returncode, [r["label"] for r in lines]), (0, ["again", "again"]))
        self.assertEqual(lines[0]["sequence"] + 1, lines[1]["sequence"])
        self.assertEqual(self.mmsb("watch", "x.bus", "--for", "10ms"), "")

    def test_watch_goes_on_while_the_past_is_let_go_of(self):
        self.write("large", os.urandom(200_000))
        self.mmsb("capture", "x.bus", "large")
        command = [tool.PROGRAM, "watch", "x.bus", "--json", "--tag", "9", "--count", "3", "--for", "60s"]
        watch = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        while watch.poll() is None:
            self.write("large", os.urandom(200_000))
            self.mmsb("capture", "x.bus", "large")
            (newest,) = self.json("checkpoint", "x.bus")
            self.mmsb("compact", "x.bus", "--before", newest["sequence"])
            self.write("a", f"{time.monotonic_ns()}\n")
            self.mmsb("capture", "x.bus", "a", "--tag", "9")
        lines = [json.loads(line) for line in watch.communicate()[0].splitlines()]
        self.assertEqual((watch.returncode, [r["deltas"][0]["name"] for r in lines]), (0, ["a"] * 3))

    def test_the_past_is_checkpointed_and_let_go_of(self):
        first, second = self.sequences()[:2]
        (answer,) = self.json("checkpoint", "x.bus")
        self.assertEqual(answer, {"sequence": self.sequences()[-1], "file": None})
        (answer,) = self.json("checkpoint", "x.bus", "outside.chk")
        self.assertEqual(answer["file"], "outside.chk")
        self.assertTrue((self.folder / "outside.chk").stat().st_size > 0)
        (kept,) = self.json("compact", "x.bus", "--keep", "all")
        self.assertEqual((kept["oldest"], kept["retention"]), (0, {"bytes": 0, "records": 0, "age_seconds": 0, "age_suspended": False}))
        before = self.json("pages", "x.bus", "--at", second)
        (kept,) = self.json("compact", "x.bus", "--before", second)
        self.assertEqual(kept["oldest"], second)
        self.assertEqual(self.json("pages", "x.bus", "--at", second), before)
        gone = self.run_mmsb("show", "x.bus", "a", "--at", first, code=3)
        self.assertIn("no longer kept", gone.stderr)
        self.assertIn(f"the oldest commit is {second + 1}", self.run_mmsb("log", "x.bus", "--from", second, code=3).stderr)
        self.assertEqual(self.sequences("--from", second + 1), [second + 1])
        self.assertEqual(self.sequences("--reverse", "--limit", 1), [second + 1])
        self.assertEqual(self.sequences("--reverse", "--limit", 100), [second + 1])
        self.assertEqual(self.sequences("--to", first, "--reverse", "--limit", 1), [])
        self.assertEqual(self.json("compact", "x.bus", "--keep", "7d")[0]["retention"]["age_seconds"], 604800)
        self.assertIn("no amount", self.run_mmsb("compact", "x.bus", "--keep", "much", code=2).stderr)
        self.assertTrue(self.json("verify", "x.bus")[0]["good"])

    def test_a_bus_is_removed_and_nothing_else(self):
        self.assertIn("removed x.bus", self.mmsb("remove", "x.bus"))
        self.assertFalse((self.folder / "x.bus").exists())
        self.assertIn("x.bus", self.run_mmsb("remove", "x.bus", code=4).stderr)
        self.mmsb("capture", "y.bus", "a")
        self.write("y.bus/mine", "other")
        self.write("y.bus/large", b"x" * 50_000_000)
        (gone,) = self.json("remove", "y.bus")
        self.assertEqual((gone["path"], gone["folder_left"]), ("y.bus", True))
        self.assertLess(gone["disk_bytes"], 50_000_000)
        self.assertEqual(self.read("y.bus/mine"), b"other")
        self.mmsb("capture", "z.bus", "a")
        within = subprocess.run([tool.PROGRAM, "remove", ".", "--json"], cwd=self.folder / "z.bus", capture_output=True, check=True)
        self.assertFalse(json.loads(within.stdout)["folder_left"])
        self.assertFalse((self.folder / "z.bus").exists())

    def test_a_reader_that_leaves_early_is_no_error_message(self):
        for command in (["log", "x.bus"], ["show", "x.bus", "a"], ["log", "--help"]):
            read, write = os.pipe()
            os.close(read)
            answer = subprocess.run([tool.PROGRAM, *command], cwd=self.folder, stdout=write, stderr=subprocess.PIPE)
            os.close(write)
            self.assertEqual((answer.returncode, answer.stderr), (141, b""))
        line = subprocess.run(
            ["bash", "-c", f"'{tool.PROGRAM}' log x.bus | head -n 1"], cwd=self.folder, capture_output=True, check=True
        )
        self.assertEqual((line.stdout.count(b"\n"), line.stderr), (1, b""))

    def test_a_full_disk_behind_stdout_is_an_error(self):
        with open("/dev/full", "w") as full:
            answer = subprocess.run([tool.PROGRAM, "log", "x.bus"], cwd=self.folder, stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(answer.returncode, 8)
        self.assertIn(b"cannot write the output", answer.stderr)

    def test_colours_come_only_where_they_are_wanted(self):
        script = f"script -qec \"'{tool.PROGRAM}' log x.bus\" /dev/null"

        def on_terminal(**env):
            base = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
            return subprocess.run(["bash", "-c", script], cwd=self.folder, capture_output=True, env=base | env).stdout

        self.assertNotIn("\x1b", self.mmsb("log", "x.bus"))
        self.assertIn("\x1b", self.mmsb("log", "x.bus", "--color", "always"))
        self.assertIn(b"\x1b", on_terminal())
        self.assertNotIn(b"\x1b", on_terminal(NO_COLOR="1"))

    def test_a_label_cannot_command_the_terminal(self):
        self.write("a", "again")
        self.mmsb("capture", "x.bus", "a", "--label", "\x1b[2Jred\nfake line")
        shown = self.mmsb("log", "x.bus")
        self.assertNotIn("\x1b", shown)
        self.assertEqual(shown.count("\n"), 4)

    def test_a_name_that_is_not_utf8_is_still_json(self):
        name = os.fsdecode(b"caf\xe9")
        self.write(name, "x")
        self.mmsb("capture", "x.bus", name)
        self.assertIn("caf\ufffd", [p["name"] for p in self.json("pages", "x.bus")])
        self.mmsb("export", "x.bus", "out", "--page", name)
        self.assertEqual(self.read(f"out/{name}"), b"x")


if __name__ == "__main__":
    tool.main()
