#!/usr/bin/env python3
"""Is `check` linear? Doubles one dimension of a hostile policy at a time, up to the limit that the check names, and
compares instruction counts: twice as much may take at most twice as many, and a little more for what grows with it
(hash tables, vectors). Counted by the processor where it may be asked, else by callgrind.

usage: linear.py CHECK_WORK [quick|DIMENSION...]     quick: the last doubling of each, for the counter alone
exit code 77: there is no counter, and quick, or no valgrind either
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ALLOWED = 2.3  # of the work for the part that grew; tables double at times
HEAD = "from vortex_torch.flow import vFlow, register\n"
CONFIG = '{"vortex_module_name": "p"}'


def schedule(text):
    return '{"vortex_module_name": "p", "vortex_schedule_policy": "%s"}' % text


# name -> sizes, and what makes (module, configuration) of a size. The largest size is just below the limit, or beyond it.
DIMENSIONS = {
    "bytes of a comment": (20000, 200000, lambda n: ("#" * n, CONFIG)),
    "lines": (1000, 30000, lambda n: ("x = 1\n" * n, CONFIG)),
    "names": (1000, 16000, lambda n: ("".join(f"a{i} = 1\n" for i in range(n)), CONFIG)),
    "names that are read": (500, 8000, lambda n: (
        "".join(f"a{i} = 1\n" for i in range(n)) + "".join(f"b = a{i}\n" for i in range(n)), CONFIG)),
    "unknown names": (200, 6400, lambda n: ("".join(f"a{i} = 1\nmissing{i}\n" for i in range(n)), CONFIG)),
    "the same mistake": (1000, 60000, lambda n: (f"y = [missing for i in range({n})]\n", CONFIG)),
    "a mistake at the end of a long line": (500, 16000, lambda n: (
        f"x = '{'a' * 20000}'; y = [missing for i in range({n})]\n", CONFIG)),
    "digits of a number": (2000, 200000, lambda n: ("x = " + "9" * n + "\n", CONFIG)),
    "letters of a name": (2000, 100000, lambda n: ("x" * n + " = 1\n" + "y" * n + "\n", CONFIG)),
    "terms of a sum": (10, 320, lambda n: ("x = 1" + "+1" * n + "\n", CONFIG)),
    "open brackets": (10, 20000, lambda n: ("x = " + "[" * n + "\n", CONFIG)),
    "items of a list": (1000, 60000, lambda n: ("x = [" + "1," * n + "]\n", CONFIG)),
    "keys of a dict": (500, 16000, lambda n: ("x = {" + "".join(f"'k{i}': 1," for i in range(n)) + "}\n", CONFIG)),
    "numbers as keys": (500, 16000, lambda n: (f"x = {{i: 1 for i in range({n})}}\n", CONFIG)),
    "rounds of a loop": (1000, 100000, lambda n: (f"x = 0\nfor i in range({n}):\n  x = x + 1\n", CONFIG)),
    "classes": (100, 6400, lambda n: ("".join(f"class A{i}:\n  pass\n" for i in range(n)), CONFIG)),
    "a chain of classes": (8, 4096, lambda n: (
        "class A0:\n  pass\n" + "".join(f"class A{i + 1}(A{i}):\n  pass\n" for i in range(n)), CONFIG)),
    "parents of a class": (8, 4096, lambda n: (
        "".join(f"class A{i}:\n  pass\n" for i in range(n)) + "class B(" + "".join(f"A{i}, " for i in range(n)) + "):\n  pass\n",
        CONFIG)),
    "functions": (100, 6400, lambda n: ("".join(f"def f{i}():\n  return 1\n" for i in range(n)), CONFIG)),
    "a chain of closures": (50, 3200, lambda n: (
        "def f(g):\n  def h():\n    return 1\n  return h\ny = f\n" + "y = f(y)\n" * n + "y()\n", CONFIG)),
    "parameters": (100, 6400, lambda n: ("def f(" + "".join(f"a{i}=1, " for i in range(n)) + "):\n  return 1\nf()\n", CONFIG)),
    "attributes": (100, 6400, lambda n: (
        "class A:\n  def __init__(self):\n" + "".join(f"    self.a{i} = 1\n" for i in range(n)) + "x = A()\n", CONFIG)),
    "policies": (4, 2048, lambda n: (
        HEAD + "".join(f"@register('p{i}')\nclass P{i}(vFlow):\n  pass\n" for i in range(n)), CONFIG)),
    "strings side by side": (500, 16000, lambda n: ("x = " + "'a' " * n + "\n", CONFIG)),
    "letters that are joined": (500, 16000, lambda n: (f"x = ''\nfor i in range({n}):\n  x = 'a' + 'b'\n", CONFIG)),
    "keys of a configuration": (50, 1600, lambda n: (HEAD, "{" + "".join(f'"k{i}": 1, ' for i in range(n)) + '"z": 1}')),
    "layers to skip": (100, 6400, lambda n: (HEAD, '{"vortex_layers_skip": [' + ", ".join(["1"] * n) + "]}")),
    "bytes of a schedule": (100, 6400, lambda n: (HEAD, schedule("return 40" + " " * n + ";"))),
    "terms of a schedule": (10, 320, lambda n: (HEAD, schedule("return 40" + " + 1" * n + ";"))),
    "locals of a schedule": (5, 160, lambda n: (
        HEAD, schedule("".join(f"int a{i} = 1; " for i in range(n)) + "return 40;"))),
}


class Counter:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.valgrind = shutil.which("valgrind")
        self.direct = int(self.ask([program], "x = 1\n", CONFIG)[0].split()[1]) >= 0

    def ask(self, command, module, config):
        paths = []
        for name, text in (("policy.py", module), ("policy.json", config)):
            paths.append(os.path.join(self.folder, name))
            with open(paths[-1], "w") as file:
                file.write(text)
        done = subprocess.run(command + paths, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            sys.exit(f"{command} failed: {done.stderr[-2000:]}")
        return done.stdout, done.stderr

    def count(self, module, config):
        """(the first error, instructions)"""
        if self.direct:
            code, number = self.ask([self.program], module, config)[0].split()
            return code, int(number)
        out, log = self.ask([self.valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
                             "--toggle-collect=vortex::vflow::check_policy*", self.program], module, config)
        return out.split()[0], int(re.search(r"Collected\s*:\s*(\d+)", log).group(1))


def follow(counter, name, quick):
    """Counts at doubled sizes; the faults found."""
    first, last, make = DIMENSIONS[name]
    sizes = [first]
    while 2 * sizes[-1] <= last:
        sizes.append(2 * sizes[-1])
    sizes = sizes[-2:] if quick else sizes
    base = counter.count(*make(0))[1]
    counts = [counter.count(*make(size)) for size in sizes]
    faults = []
    for (size, (code, small)), (_, large) in zip(zip(sizes, counts), counts[1:]):
        grown, before = large - base, max(small - base, base)
        if grown > ALLOWED * before:
            faults.append(f"{name}: {2 * size} took {grown} instructions, {size} took {small - base} ({code})")
    tail = " ".join(f"{code}:{number / 1e6:.2f}M" for code, number in counts)
    print(f"{name}: {sizes[0]} to {sizes[-1]}: {tail}", flush=True)
    return faults


def main():
    folder = tempfile.mkdtemp(prefix="vortex-linear-")
    try:
        counter = Counter(os.path.abspath(sys.argv[1]), folder)
        quick = sys.argv[2:] == ["quick"]
        if not counter.direct and (quick or counter.valgrind is None):
            print("skipped: the processor's counters cannot be read here" + ("" if quick else ", and there is no valgrind"))
            return 77
        names = [] if quick else sys.argv[2:]
        faults = [fault for name in names or DIMENSIONS for fault in follow(counter, name, quick)]
    finally:
        shutil.rmtree(folder)
    for fault in faults:
        print("FAILED:", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
