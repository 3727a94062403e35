#!/usr/bin/env python3
"""doctor_test.py PROGRAM: doctor and copy, on real buses with each kind of damage; no byte of them is changed."""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import unittest

import tool


class Doctor(tool.Tool):
    """A bus of three segments, a checkpoint and a blob; commit n has n lines in the page a."""

    made = None  # The bus of all tests, and its past: each gets a copy.

    def setUp(self):
        super().setUp()
        if Doctor.made is None:
            Doctor.made = pathlib.Path(tempfile.mkdtemp(prefix="mmsb-tool-"))
            unittest.addModuleCleanup(shutil.rmtree, Doctor.made, ignore_errors=True)
            self.make()
            Doctor.past, Doctor.pages = self.past, self.pages
            shutil.copytree(self.folder / "x.bus", Doctor.made / "x.bus")
            self.forget_memory()
            shutil.rmtree(self.folder / "x.bus")
        self.past, self.pages = dict(Doctor.past), dict(Doctor.pages)
        shutil.copytree(Doctor.made / "x.bus", self.folder / "x.bus")
        self.segments = sorted((self.folder / "x.bus" / "log").glob("*.seg"))
        self.assertEqual(len(self.segments), 3)
        (self.blob,) = (self.folder / "x.bus" / "log").glob("*.blob")
        (self.checkpoint,) = (self.folder / "x.bus" / "checkpoints").glob("*.chk")
        self.before = self.bytes_of("x.bus")

    def make(self):
        self.past = {}
        self.pages = {}
        for n in range(1, 17):
            self.capture("a", f"line {n}\n".encode() * n)
            if n == 5:
                self.mmsb("checkpoint", "x.bus")
            if n in (7, 11):
                self.tear()  # The log goes on in a new segment.
        self.capture("large", random.Random(1).randbytes(5 << 20))
        self.capture("a", b"the last\n")
        self.lose_memory()

    def capture(self, name, contents):
        self.pages[name] = contents
        self.write(name, contents)
        (answer,) = self.json("capture", "x.bus", name)
        self.past[answer["sequence"]] = dict(self.pages)

    def lose_memory(self):
        """As a reboot does."""
        arena = self.folder / (self.folder / "x.bus" / "arena").read_text()
        arena.unlink()

    def tear(self):
        self.lose_memory()
        last = sorted((self.folder / "x.bus" / "log").glob("*.seg"))[-1]
        last.write_bytes(last.read_bytes()[:-3])  # Of the close record: no commit is lost.

    def bytes_of(self, name):
        return {p: p.read_bytes() for p in (self.folder / name).rglob("*") if p.is_file()}

    def flip(self, path, at):
        data = bytearray(path.read_bytes())
        data[at] ^= 0x40
        path.write_bytes(data)

    def doctor(self, *arguments, code=1):
        """The diagnosis; nothing was changed by it."""
        before = self.bytes_of("x.bus")
        (found,) = self.json("doctor", "x.bus", *arguments, code=code)
        self.assertEqual(self.bytes_of("x.bus"), before)
        self.assertEqual(found["good"], code == 0)
        return found

    def health(self, found, path):
        (file,) = (f for f in found["files"] if f["file"].endswith(path.name))
        return file

    def rescue(self, found):
        """Writes what is good as a new bus, and compares that with what was captured."""
        before = self.bytes_of("x.bus")
        (again,) = self.json("doctor", "x.bus", "--write", "new.bus", code=0 if found["good"] else 1)
        self.assertEqual(self.bytes_of("x.bus"), before)
        written = again["written"]
        self.assertEqual((written["sequence"], written["oldest"]), (found["sequence"], found["oldest"]))
        self.assertTrue(self.json("verify", "new.bus")[0]["good"])
        steps = [s for s in self.past if found["oldest"] <= s <= found["sequence"]]
        sequence = random.choice(steps)
        self.mmsb("export", "new.bus", "--at", sequence, "out")
        for name, data in self.past[sequence].items():
            self.assertEqual(self.read(f"out/{name}"), data, f"as of {sequence}")
        self.write("a", "and on")
        (on,) = self.json("capture", "new.bus", "a")
        self.assertEqual(on["sequence"], found["sequence"] + 1)

    def test_a_good_bus_is_well(self):
        found = self.doctor(code=0)
        self.assertEqual((found["opens"], found["oldest"], found["damage"]), (True, 0, None))
        self.assertEqual(found["sequence"], max(self.past))
        self.assertEqual({f["health"] for f in found["files"]}, {"good"})
        self.assertEqual([f["kind"] for f in found["files"]], ["header", *["segment"] * 3, "blob", "checkpoint"])
        self.assertIn("all is well", self.mmsb("doctor", "x.bus"))
        self.rescue(found)
        self.assertTrue(self.json("doctor", "new.bus")[0]["good"])

    def test_a_flipped_bit_in_the_last_segment_ends_what_is_safe(self):
        self.flip(self.segments[2], 4096 + 600)
        found = self.doctor()
        file = self.health(found, self.segments[2])
        self.assertEqual(file["health"], "damaged")
        self.assertLessEqual(file["offset"], 4096 + 600)
        self.assertEqual(found["damage"]["good_until"], found["sequence"])
        self.assertGreater(found["damage"]["bytes"], 0)
        self.assertTrue(11 <= found["sequence"] < 18, found["sequence"])
        text = self.mmsb("doctor", "x.bus", code=1)
        self.assertIn(f"damaged  log/{self.segments[2].name}  at {file['offset']}: expected ", text)
        self.assertIn(f"safe       every moment from sequence 0 to {found['sequence']}, of 2", text)
        self.assertIn("--write NEWBUS", text)
        self.rescue(found)

    def test_damage_in_the_middle_cuts_off_what_is_behind(self):
        self.flip(self.segments[1], 4096 + 300)
        (self.folder / "x.bus" / "checkpoints" / self.checkpoint.name).unlink()
        found = self.doctor()
        self.assertEqual(self.health(found, self.segments[0])["health"], "good")
        self.assertEqual(self.health(found, self.segments[1])["health"], "damaged")
        self.assertEqual(self.health(found, self.segments[2])["health"], "cut off")
        self.assertEqual(found["damage"]["segments"], 1)
        self.assertTrue(7 <= found["sequence"] < 11, found["sequence"])
        self.rescue(found)

    def test_damage_of_the_past_only_leaves_the_present(self):
        self.flip(self.segments[0], 4096 + 200)
        found = self.doctor()
        self.assertEqual(self.health(found, self.segments[0])["health"], "damaged")
        self.assertEqual((found["sequence"], found["damage"]), (max(self.past), None))
        self.assertEqual((found["kept_from"], found["oldest"]), (0, 5))
        self.assertIn("the past from 0 to 5", self.mmsb("doctor", "x.bus", code=1))
        self.rescue(found)

    def test_a_damaged_copy_of_the_header_is_told_and_two_are_the_end(self):
        bus = self.folder / "x.bus" / "bus"
        self.flip(bus, 30)
        found = self.doctor()
        self.assertEqual(self.health(found, bus)["health"], "damaged")
        self.assertIn("mends it", self.health(found, bus)["note"])
        self.assertEqual(found["sequence"], max(self.past))
        self.rescue(found)
        self.flip(bus, 512 + 30)
        found = self.doctor()
        self.assertFalse(found["opens"])
        self.assertIn("safe       nothing", self.mmsb("doctor", "x.bus", code=1))
        self.run_mmsb("doctor", "x.bus", "--write", "other.bus", code=5)
        self.assertFalse((self.folder / "other.bus").exists())

    def test_a_damaged_checkpoint_is_done_without(self):
        self.flip(self.checkpoint, 80)
        found = self.doctor()
        self.assertEqual(self.health(found, self.checkpoint)["health"], "damaged")
        self.assertEqual((found["sequence"], found["oldest"], found["damage"]), (max(self.past), 0, None))
        self.rescue(found)

    def test_a_missing_segment_is_told(self):
        self.segments[1].unlink()
        found = self.doctor()
        self.assertEqual(self.health(found, self.segments[1])["health"], "missing")
        self.assertEqual(self.health(found, self.segments[2])["health"], "cut off")
        self.assertEqual((found["sequence"], found["oldest"]), (7, 0))
        self.rescue(found)

    def test_a_missing_blob_ends_what_is_safe(self):
        self.blob.unlink()
        found = self.doctor()
        self.assertEqual(self.health(found, self.blob)["health"], "missing")
        self.assertEqual(found["sequence"], 16)
        self.assertIn(self.blob.name, found["damage"]["file"])
        self.rescue(found)

    def test_a_torn_tail_is_harmless(self):
        last = self.segments[2]
        last.write_bytes(last.read_bytes()[:-3])
        found = self.doctor(code=0)
        self.assertEqual(self.health(found, last)["health"], "torn")
        self.assertGreater(found["torn_bytes"], 0)
        self.assertIn("harmless", self.mmsb("doctor", "x.bus"))
        self.assertEqual(found["sequence"], max(self.past))
        self.rescue(found)

    def test_what_nobody_uses_is_told_and_left(self):
        self.write("x.bus/log/00000000000000aa.blob", self.blob.read_bytes())
        self.write("x.bus/log/0123456789abcdef.new", "half")
        found = self.doctor(code=0)
        self.assertEqual([f["health"] for f in found["files"]].count("unused"), 2)

    def test_memory_that_has_more_than_the_files_is_told_of(self):
        self.capture("a", b"memory 1")
        end = self.segments[2].stat().st_size
        self.capture("a", b"memory 2")
        self.capture("a", b"memory 3")
        self.flip(self.segments[2], end + 20)
        (found,) = self.json("doctor", "x.bus", code=1)
        live = found["shared_memory"]
        self.assertEqual((live["good"], live["sequence"]), (False, max(self.past)))
        self.assertEqual(found["sequence"], max(self.past) - 2)
        self.assertIn("mmsb checkpoint x.bus FILE", self.mmsb("doctor", "x.bus", code=1))
        self.mmsb("checkpoint", "x.bus", "now.chk")
        self.assertGreater((self.folder / "now.chk").stat().st_size, 5 << 20)

    def test_memory_that_is_not_as_the_log_says_is_told_and_the_log_is_written(self):
        self.capture("a", b"bytes to be found")
        arena = self.folder / (self.folder / "x.bus" / "arena").read_text()
        with open(arena, "r+b") as file:
            heap = 64 << 30  # src/arena/layout.hpp
            file.seek(heap)
            at = heap + file.read(16 << 20).index(b"bytes to be found")
            file.seek(at)
            file.write(b"B")
        (found,) = self.json("doctor", "x.bus", code=1)
        self.assertTrue(found["good"])
        self.assertIn("differs from its log at offset 0", found["shared_memory"]["problem"])
        text = self.mmsb("doctor", "x.bus", code=1)
        self.assertNotIn("all is well", text)
        self.assertIn("mmsb checkpoint x.bus FILE", text)
        self.assertIn("mmsb doctor x.bus --write NEWBUS", text)
        self.mmsb("doctor", "x.bus", "--write", "new.bus", code=1)
        self.assertEqual(self.mmsb("show", "new.bus", "a", "--raw"), "bytes to be found")

    def test_the_new_bus_needs_a_free_name_and_the_bus_must_be_one(self):
        self.write("file", "x")
        for name in ("x.bus", "file"):
            self.run_mmsb("doctor", "x.bus", "--write", name, code=2)
        self.run_mmsb("doctor", "nowhere", code=4)
        self.run_mmsb("doctor", "nowhere", "--write", "new.bus", code=4)
        self.assertFalse((self.folder / "new.bus").exists())
        self.assertEqual(self.bytes_of("x.bus"), self.before)

    def wait_for(self, path):
        end = time.monotonic() + 100
        while not path.exists():
            self.assertLess(time.monotonic(), end)

    def test_killed_while_it_writes_it_leaves_no_bus(self):
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        command = [tool.PROGRAM, "doctor", "x.bus", "--write", "new.bus"]
        new = self.folder / "new.bus"
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for(new)
        started = time.monotonic()
        self.wait_for(new / "bus")
        took = time.monotonic() - started
        self.assertEqual(process.wait(), 0)
        whole = self.json("pages", "new.bus")
        self.mmsb("remove", "new.bus")
        unfinished = 0
        self.write("a", "a file")
        rounds = 100 if "MMSB_LONG" in os.environ else 5
        for _ in range(rounds):
            process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.wait_for(new)
            time.sleep(rng.random() * took)
            process.kill()
            process.wait()
            if (new / "bus").exists():  # It is one only once all of it is there.
                self.assertEqual(self.json("pages", "new.bus"), whole, f"seed {seed}")
                self.mmsb("remove", "new.bus")
            elif new.exists() and not (new / "bus.copying").exists():  # Killed before it had claimed the folder.
                self.assertEqual(list(new.iterdir()), [], f"seed {seed}")
            elif new.exists():
                unfinished += 1
                self.run_mmsb("info", "new.bus", code=4)
                self.run_mmsb("capture", "new.bus", "a", code=4)
                self.run_mmsb("doctor", "x.bus", "--write", "new.bus", code=2)
            subprocess.run(["rm", "-rf", "new.bus"], cwd=self.folder, check=True)
        print(f"seed {seed}: {unfinished} of {rounds} were cut short while they wrote")
        self.assertEqual(self.bytes_of("x.bus"), self.before)

    def test_a_copy_is_a_bus_of_its_own_with_its_past(self):
        (answer,) = self.json("copy", "x.bus", "copy.bus")
        self.assertEqual(answer, {"path": "copy.bus", "sequence": max(self.past)})
        self.assertEqual(self.json("log", "copy.bus"), self.json("log", "x.bus"))
        self.assertEqual(self.json("pages", "copy.bus"), self.json("pages", "x.bus"))
        self.mmsb("verify", "copy.bus")
        self.run_mmsb("copy", "x.bus", "copy.bus", code=2)
        self.flip(self.segments[1], 4096 + 300)
        self.assertIn(self.segments[1].name, self.run_mmsb("copy", "x.bus", "second.bus", code=5).stderr)
        self.assertFalse((self.folder / "second.bus").exists())


if __name__ == "__main__":
    tool.main()
