#!/usr/bin/env python3
"""What `vortex search` shows on a terminal, through a pseudo-terminal: a screen that is drawn anew, within its width,
after a resize, too; Ctrl-C acknowledged; plain lines where there is no terminal or a dumb one; no colour with NO_COLOR.

usage: terminal_test.py VORTEX SOURCE_DIR
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

VORTEX, SOURCE = sys.argv[1:3]
FAILURES = []


def check(holds, what):
    if not holds:
        FAILURES.append(what)
        print("FAILED:", what, file=sys.stderr)


class Screen:
    """As much of a terminal as is needed: text, carriage return, newline, cursor up, erasing; it wraps and scrolls."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines = [[]]
        self.wrapped = [False]  # does the line go on in the next one?
        self.row = self.column = 0
        self.rest = ""

    def put(self, char):
        if self.column == self.columns:
            self.wrapped[self.row] = True
            self.down()
            self.column = 0
        line = self.lines[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = char
        self.column += 1

    def down(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])
            self.wrapped.append(False)

    def feed(self, text):
        text = self.rest + text
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                found = re.match(r"\x1b\[(\d*)([A-Za-z])", text[at:])
                if not found:
                    if len(text) - at < 16:
                        break
                    raise AssertionError("an escape that no screen here knows: %r" % text[at:at + 16])
                self.escape(found.group(1), found.group(2))
                at += found.end()
                continue
            if char == "\r":
                self.column = 0
            elif char == "\n":
                self.down()
            else:
                check(char >= " ", "a control character on the screen: %r" % char)
                self.put(char)
            at += 1
        self.rest = text[at:]

    def escape(self, number, command):
        count = int(number or 1)
        if command == "A":
            self.row = max(0, self.row - count)
        elif command == "K":
            del self.lines[self.row][self.column:]
        elif command == "J":
            del self.lines[self.row][self.column:]
            del self.lines[self.row + 1:]
            del self.wrapped[self.row + 1:]
        else:
            check(command == "m", "an escape that was not expected: %s" % command)

    def resize(self, columns, rows):
        """Lines that were wrapped are joined, and all are wrapped anew, as terminals do."""
        logical, line = [], ""
        for cells, goes_on in zip(self.lines, self.wrapped):
            line += "".join(cells)
            if not goes_on:
                logical.append(line)
                line = ""
        at_end = self.row == len(self.lines) - 1
        assert at_end, "the cursor stands in the last line between two drawings"
        self.columns, self.rows = columns, rows
        self.lines, self.wrapped, self.row, self.column = [[]], [False], 0, 0
        for i, text in enumerate(logical):
            for char in text:
                self.put(char)
            if i + 1 < len(logical):
                self.down()
                self.column = 0

    def shown(self):
        return ["".join(line).rstrip() for line in self.lines[-self.rows:]]


class Search:
    def __init__(self, columns=100, rows=30, **variables):
        self.folder = tempfile.TemporaryDirectory()
        self.screen = Screen(columns, rows)
        self.raw = ""
        self.bytes = b""
        environment = {"PATH": os.environ["PATH"], "HOME": self.folder.name, "TERM": "xterm", "LANG": "C.UTF-8"}
        environment.update(variables)
        command = [VORTEX, "search", "--model", SOURCE + "/models/chain-4m", "--definitions", "96", "--chain", "10",
                   "--problems", "4", "--rank-speed", "modelled", "--no-confirm", "--for", "10m", "--workspace",
                   self.folder.name + "/w"]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(SOURCE)
            os.execve(VORTEX, command, environment)
        self.set_size(columns, rows)

    def set_size(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.1):
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.bytes += data
        text = self.bytes.decode("utf-8", "ignore")
        fresh, self.raw = text[len(self.raw):], text
        self.screen.feed(fresh)
        return data != b""

    def until(self, what, holds, seconds=90):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if holds(self.screen.shown()):
                return True
            if not self.read():
                break
        check(holds(self.screen.shown()), what + ":\n" + "\n".join(self.screen.shown()))
        return False

    def resize(self, columns, rows):
        while self.read(0.3) and select.select([self.fd], [], [], 0)[0]:
            pass
        self.screen.resize(columns, rows)
        self.set_size(columns, rows)

    def interrupt(self):
        os.write(self.fd, b"\x03")

    def end(self):
        limit = time.monotonic() + 60
        while time.monotonic() < limit and self.read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.folder.cleanup()
        return os.waitstatus_to_exitcode(status)


def has(word):
    return lambda lines: any(word in line for line in lines)


def count(lines, begin):
    return sum(line.startswith(begin) for line in lines)


def watch_a_search():
    search = Search()
    search.until("dense attention is on the front", has("■ dense"))
    search.until("the funnel", has("passed   proposed"))
    search.until("what runs, and for how long", lambda lines: any(re.match(r"now .*#\d+ at \w+ for \d+s", one) for one in lines))
    search.until("what is left", lambda lines: any(re.search(r"9m\d\ds left of 10m00s", one) for one in lines))
    search.until("a policy joins the front, with intervals",
                 lambda lines: any(re.match(r"[●◆▼] #\d+ .*x?\s+\d\.\d+.* \[", one) for one in lines))
    every = ["".join(line).rstrip() for line in search.screen.lines]
    check(any(re.match(r"#1 +dense +pass", line) for line in every), "a line a candidate above it")
    lines = search.screen.shown()
    check(count(lines, "now ") == 1, "one line says what runs:\n" + "\n".join(lines))
    check("\x1b[1m" in search.raw, "colours on a terminal that has them")
    for columns, rows in ((46, 30), (46, 9), (120, 40)):
        search.resize(columns, rows)
        drawn = len(search.raw)
        search.until("drawn anew at %d columns" % columns,
                     lambda _: re.search("now .*\n.*Ctrl-C", search.raw[drawn:]) is not None)
        lines = search.screen.shown()
        check(count(lines, "now ") == 1, "nothing of before stays at %d by %d:\n%s" % (columns, rows, "\n".join(lines)))
        written = re.sub(r"\x1b\[\d*[A-Za-z]", "", search.raw[drawn:]).replace("\r", "").split("\n")
        block = [line for line in written if re.match("now |Ctrl-C|■|◆|passed|──", line)]
        check(all(len(line) < columns for line in block), "lines fit into %d columns: %r" % (columns, block))
    search.interrupt()
    search.until("Ctrl-C is acknowledged", has("stopping: finishing what runs; Ctrl-C again stops now"))
    search.interrupt()
    code = search.end()
    check(code == 130, "interrupted and resumable: exit code %d" % code)
    after = search.screen.shown()
    check(not has("Ctrl-C again")(after), "the moving lines are taken away at the end:\n" + "\n".join(after))
    check(has("--resume")(after), "the command that goes on is shown:\n" + "\n".join(after))


def quick(what, holds, **variables):
    search = Search(**variables)
    search.until(what, holds)
    search.interrupt()
    search.interrupt()
    search.end()
    return search


def other_terminals():
    plain = quick("it runs in ASCII without colours", has("-- search "), NO_COLOR="1", LANG="C")
    check("m" not in re.findall(r"\x1b\[\d*([A-Za-z])", plain.raw) and "\x1b[K" in plain.raw, "no colour with NO_COLOR")
    check(plain.raw.isascii(), "no other characters where the locale has none")
    dumb = quick("it runs on a dumb terminal", has("Ctrl-C once"), TERM="dumb")
    check("\x1b" not in dumb.raw, "no escapes on a dumb terminal")


def no_terminal():
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen([VORTEX, "search", "--model", SOURCE + "/models/chain-4m", "--problems", "4",
                                  "--rank-speed", "modelled", "--workspace", folder + "/w"], cwd=SOURCE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = child.stderr.readline()
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
        check(b"Ctrl-C once" in first, "plain lines where there is no terminal: %r" % first)
        check(b"stopping" in err, "Ctrl-C is acknowledged there, too: %r" % err)
        check(b"\x1b" not in out + first + err, "no escapes where there is no terminal")
        check(b"The front of search" in out, "the front is printed at the end: %r" % out)


watch_a_search()
other_terminals()
no_terminal()
if FAILURES:
    sys.exit("%d checks failed" % len(FAILURES))
print("the terminal shows what it should")
