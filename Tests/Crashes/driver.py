"""Kills processes under load and keeps count of what they were in the middle of.

A process that is to be killed is told by an environment variable to keep a file of *points*: records of 40 bytes, a name padded
with zeros to 32 and how many messages stand at that point now, as a little-endian integer. The file is shared memory, so it says
where the process stood when it was killed.
"""

import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RECORD = struct.Struct("<32sq")


class Failed(Exception):
    """What the test was to find out: the message says what is wrong."""


class Member:
    """One process that is started, killed and started again."""

    def __init__(self, name, command, folder, variable=None):
        self.name = name
        self.command = command
        self.points_file = os.path.join(folder, f"points-{name}")
        self.output_file = os.path.join(folder, f"output-{name}")
        self.environment = {**os.environ, variable: self.points_file} if variable else None
        self.process = None
        self.lives = 0

    def start(self):
        if os.path.exists(self.points_file):
            os.unlink(self.points_file)
        self.lives += 1
        with open(self.output_file, "wb") as output, open(self.output_file + ".errors", "ab") as errors:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=self.environment
            )

    def ended(self):
        """The exit status, or None while it runs."""
        return self.process.poll()

    def points(self):
        """How many messages stand at each point, by its name."""
        try:
            with open(self.points_file, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return {}
        found = {}
        for place in range(0, len(data) - RECORD.size + 1, RECORD.size):
            name, count = RECORD.unpack_from(data, place)
            # A file that was only just made has no names yet.
            if name.rstrip(b"\0"):
                found[name.rstrip(b"\0").decode()] = count
        return found

    def kill(self):
        """Ends it without a word, and returns the points at which it stood."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return {name for name, count in self.points().items() if count > 0}

    def stop(self, seconds=60):
        """Asks it to end in order, and returns its exit status."""
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{self.name} did not end within {seconds} s of SIGTERM")

    def output(self):
        with open(self.output_file, "rb") as file:
            return file.read().decode(errors="replace")

    def errors(self, most=2000):
        with open(self.output_file + ".errors", "rb") as file:
            return file.read().decode(errors="replace")[-most:]


class Driver:
    """Kills members at random, and aims at the points that were hit least."""

    def __init__(self, seed, kills, hits_of_each):
        self.random = random.Random(seed)
        self.kills_wanted = kills
        self.hits_wanted = hits_of_each
        self.kills = 0
        self.stalls = 0
        self.hits = {}

    def is_done(self):
        return self.kills >= self.kills_wanted and all(count >= self.hits_wanted for count in self.hits.values())

    def wait_for_load(self, member, seconds=60, unless=lambda: False):
        """Waits until the member has something in hand. False if it ended by itself first, or if something else is so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if member.ended() is not None or unless():
                return False
            points = member.points()
            for name in points:
                self.hits.setdefault(name, 0)
            if any(points.values()):
                return True
            time.sleep(0.002)
        return True

    def kill_once(self, member, longest_life, unless=lambda: False):
        """Lets a member work for a moment and kills it. False if it ended by itself first, or if something else is so."""
        if not self.wait_for_load(member, unless=unless):
            return False
        target = None
        if self.hits and self.random.random() < 0.7:
            least = min(self.hits.values())
            target = self.random.choice([name for name, count in self.hits.items() if count == least])
        time.sleep(self.random.random() * longest_life)
        deadline = time.monotonic() + 1
        while target and time.monotonic() < deadline and member.points().get(target, 0) == 0:
            if member.ended() is not None:
                return False
        if member.ended() is not None:
            return False
        for name in member.kill():
            self.hits[name] = self.hits.get(name, 0) + 1
        self.kills += 1
        return True

    def kill_at_random(self, member, longest_life):
        """Lets a member work for a moment and kills it, wherever it stands. False if it ended by itself first."""
        time.sleep(self.random.random() * longest_life)
        if member.ended() is not None:
            return False
        member.kill()
        self.kills += 1
        return True

    def stall_once(self, member, seconds, unless=lambda: False):
        """Suspends a member for longer than its leases, as a machine that swaps or a paused virtual machine would."""
        if not self.wait_for_load(member, unless=unless):
            return False
        time.sleep(self.random.random() * 0.3)
        if member.ended() is not None:
            return False
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.process.send_signal(signal.SIGCONT)
        self.stalls += 1
        return True

    def report(self):
        lines = [f"{self.kills} kills, {self.stalls} suspensions; at the moment of death there was something at the point"]
        lines += [f"  {name}: {count} times" for name, count in sorted(self.hits.items())]
        return "\n".join(lines)


def build(product, traits):
    """Builds a program, and returns the path to it."""
    command = ["swift", "build", "--traits", ",".join(traits), "--scratch-path", ".build-services"]
    subprocess.run(command + ["--product", product], cwd=ROOT, check=True, stdout=sys.stderr)
    shown = subprocess.run(command + ["--show-bin-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    return os.path.join(shown.stdout.strip(), product)


def play_rounds(options, open_books, play_round, promise, trouble=None):
    """Plays rounds until there were kills and hits enough, and ends the script by what they came to.

    `open_books(folder, number)` makes the databases of a round; `play_round(driver, folder, books, number)` returns what is wrong
    with them, and what the program printed. With `--without` the first round whose books are wrong is what was wanted. With `trouble`
    it is that which is made until it is enough, and nobody is killed.
    """
    driver = Driver(options.seed, options.kills, options.hits)
    are_stalls = getattr(options, "stalls", False)
    is_done = trouble.is_done if trouble else driver.is_done
    print(f"seed {options.seed}", flush=True)
    started = time.monotonic()
    failed_audits = 0
    rounds = 0
    while rounds < options.rounds and not is_done():
        rounds += 1
        folder = tempfile.mkdtemp(prefix="dovetail-crashes-")
        books = open_books(folder, rounds)
        try:
            wrong, output = play_round(driver, folder, books, rounds)
        except Failed as failure:
            print(f"FAILED in round {rounds} (kept in {folder}): {failure}\n{driver.report()}")
            sys.exit(1)
        so_far = f"{trouble.count()} troubles" if trouble else f"{driver.kills} kills"
        print(f"round {rounds}: {so_far} so far; {output.strip() or 'no report'}", flush=True)
        if wrong:
            failed_audits += 1
            print("  " + "\n  ".join(wrong[:5]), flush=True)
            if not options.without:
                print(f"FAILED: the books of round {rounds} are wrong (kept in {folder})\n{driver.report()}")
                sys.exit(1)
        books.remove()
        shutil.rmtree(folder)
        if options.without and wrong:
            break
    print(f"The server had trouble:\n{trouble.report()}" if trouble else driver.report())
    print(f"{rounds} rounds in {time.monotonic() - started:.0f} s")
    if options.without:
        if not failed_audits:
            print(f"FAILED: without {options.without} every audit was clean, so the kills prove nothing about it")
            sys.exit(1)
        print(f"As expected: without {options.without} the books are wrong.")
        return
    if not are_stalls and not is_done():
        print("FAILED: not enough kills, or a point that was not hit often enough")
        sys.exit(1)
    print(promise)
