#!/usr/bin/env python3
"""Splits texts by patterns of tokenizer.json, ours beside npm's @anush008/tokenizers 0.6.0 (the Rust library with its
Oniguruma). Needs npm and the target pattern_split.

usage: scripts/compare_patterns.py [--build build/cuda] [--keep FOLDER] [--count 300] [--seed 1]
       scripts/compare_patterns.py --cases [--keep FOLDER]   prints tests/cases/model/patterns.json anew
"""
import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PACKAGE = "@anush008/tokenizers@0.6.0"

REFERENCE = r"""
import { Tokenizer } from '@anush008/tokenizers';
import readline from 'readline';
const bytes = [];
for (const [from, to] of [[33, 127], [161, 173], [174, 256]]) for (let i = from; i < to; i++) bytes.push(i);
const letters = bytes.map(b => String.fromCodePoint(b));
for (let b = 0; b < 256; b++) if (!bytes.includes(b)) letters.push(String.fromCodePoint(256 + letters.length - 188));
const all = bytes.concat([...Array(256).keys()].filter(b => !bytes.includes(b)));
const byteOf = new Map(letters.map((letter, at) => [letter, all[at]]));
const vocab = Object.fromEntries(letters.map((letter, id) => [letter, id]));
const level = {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false};
const made = new Map();
function make(asked) {
  const key = JSON.stringify([asked.pattern, asked.behavior, asked.invert]);
  if (!made.has(key)) made.set(key, Tokenizer.fromString(JSON.stringify({
    version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, post_processor: null,
    decoder: level,
    pre_tokenizer: {type: 'Sequence', pretokenizers: [
      {type: 'Split', pattern: {Regex: asked.pattern}, behavior: asked.behavior, invert: asked.invert}, level]},
    model: {type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
            fuse_unk: false, byte_fallback: false, vocab, merges: []}})));
  return made.get(key);
}
for await (const line of readline.createInterface({input: process.stdin})) {
  const asked = JSON.parse(line);
  let out;
  try {
    const encoding = await make(asked).encode(asked.text, null, {addSpecialTokens: false});
    const words = encoding.getWordIds();
    const text = Buffer.from(encoding.getTokens().map(letter => byteOf.get(letter)));
    const pieces = [];
    for (let begin = 0; begin < words.length;) {
      let end = begin;
      while (end < words.length && words[end] === words[begin]) end++;
      pieces.push(text.subarray(begin, end).toString());
      begin = end;
    }
    out = {pieces};
  } catch (e) { out = {error: String(e.message)}; }
  console.log(JSON.stringify(out));
}
"""

# Patterns that published tokenizers use, in kind, and those whose reading differs between engines.
PATTERNS = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\p{N}{1,3}+", r"\d{2}+", r"\d{1,2}?", r"\d{3}?", r"\d{,3}", r"a{,2}b", r"a{,}", r"x{2,1", r"\d{2,}+?", r"\d{2}??",
    r"^.", r".$", r"^\s*", r"(?m:.+)", r"(?m).+", r".+", r"a.b", r"(?im:A.B)", r"(?i)b|c", r"(?i-m:x)y",
    r"\d*", r"a*", r"(?=b)", r"x?", r"\b", r"\w+", r"\h", r"\R", r"\K", r"\Aa", r"a\z", r"(?<!a)b", r"(?<=a)b", r"(?>a+)b",
    r"a++b", r"a*+", r"a?+", r"a**", r"a+*", r"(a)(b)", r"(?<n>a)", r"\1", r"(?#x)a", r"(?x) a", r"*a", r"a|*", r"(", r")",
    r"[a", r"[]a]", r"[^]a]", r"[a-c&&b]", r"[[:alpha:]]", r"[\s-x]", r"[a\-c]", r"[-a]", r"[a-]", r"[\p{L}\d]+", r"[^\S]",
    r"\P{L}+", r"\p{^L}+", r"\pL", r"\p{Han}+", r"\p{Alpha}", r"[\P{L}]", r"\p{P}+", r"\p{S}+", r"\p{M}+", r"\p{Cn}", r"\p{Z}",
    r"\x41", r"\x{1F600}", r"\xe9", r"\u00e9", r"\x", r"\u12", r"\D+", r"\S+", r"]", r"}", r"a{b}", r"\-", r"\é", r"(?i:é)",
    r"(?i:ss)", r"(?i:k)", r"(?i:[a-z]+)", r"a(?i)b|c", r"(?:a{2})+", r"(?:a|b){2}+", r"(?=a)*", r"^*",
]
TEXTS = ["1234567", "12 345", "hello", "aab abb ab b aaab", "a\nb\n\nc\n", "\n", "line one\nline two", "ba ca BC bc",
         "a1b22c333d4444", "x{2,1 a{,} a{b}", "It's I'LL 'S 'ſ K k ſs ß ss", "日本語 テスト 한국어", "  two  spaces \r\n\r\n x ",
         "é\u0301 e\u0301\u0327 \u0897 \u0cf3", "😀👍🏽 👨‍👩‍👧", "\u2167 \u24d0\u200d \u00bd\u00b2", "\U00031350's \U0002ebf0\U0001e4d0's",
         "\U0001f6dc\U0001faea\U00010d40\U0001e5f1 \U00011f50", "\u2028\u0085\u00a0\u3000x\u1680", "", "]}-[a-c]", "Aa-A\u0041"]
BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def answers(command, asked, folder):
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    done = subprocess.run(command, input=lines, text=True, capture_output=True, cwd=folder)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def install(folder):
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE], cwd=folder,
                   check=True)
    with open(os.path.join(folder, "reference.mjs"), "w") as file:
        file.write(REFERENCE)


def random_texts(count, seed):
    rng = random.Random(seed)
    alphabet = [c for text in TEXTS for c in text]
    every = [chr(c) for c in range(0x20, 0x32400) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Co"]
    return ["".join(rng.choice(alphabet if rng.random() < 0.7 else every) for _ in range(rng.randrange(1, 25)))
            for _ in range(count)]


def compare(build, folder, count, seed):
    asked = [{"pattern": pattern, "behavior": behavior, "invert": invert, "text": text}
             for pattern in PATTERNS for text in TEXTS for behavior in BEHAVIORS for invert in (False, True)]
    asked += [{"pattern": pattern, "behavior": "Isolated", "invert": False, "text": text}
              for pattern in PATTERNS for text in random_texts(count, seed)]
    ours = answers([os.path.join(build, "bin", "pattern_split")], asked, folder)
    theirs = answers(["node", "reference.mjs"], asked, folder)
    counts = collections.Counter()
    refused = {}
    shown = set()
    for one, got, right in zip(asked, ours, theirs):
        if "error" in got:
            kind = "both refuse" if "error" in right else "refused by us"
            refused[one["pattern"]] = got["error"]
        else:
            kind = "same pieces" if got == right else "OTHER PIECES"
        counts[kind] += 1
        if kind.isupper() and (one["pattern"], one["behavior"]) not in shown:
            shown.add((one["pattern"], one["behavior"]))
            print(f"{kind}: {one}\n  reference: {right}\n  ours:      {got}")
    for pattern, why in refused.items():
        print(f"refused: {why}")
    for kind, number in sorted(counts.items()):
        print(f"{number:8d} {kind}")
    return 1 if any(kind.isupper() for kind in counts) else 0


def print_cases(build, folder):
    asked = [{"pattern": pattern, "behavior": "Isolated", "invert": False, "text": text}
             for pattern in PATTERNS for text in TEXTS]
    ours = answers([os.path.join(build, "bin", "pattern_split")], asked, folder)
    kept = []
    refused = {}
    for one, right, got in zip(asked, answers(["node", "reference.mjs"], asked, folder), ours):
        few = sum(case["pattern"] == one["pattern"] for case in kept) < 3
        if "error" in got:
            refused[one["pattern"]] = got["error"].split(" uses ")[-1]
        elif few and len(right.get("pieces", [])) > 1:
            kept.append({"pattern": one["pattern"], "text": one["text"], "pieces": right["pieces"]})
    kept += [{"pattern": pattern, "error": why} for pattern, why in refused.items()]
    print("[\n" + ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in kept) + "\n]")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "cuda"))
    parser.add_argument("--keep", default=None)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.abspath(arguments.keep or temporary)
        install(folder)
        if arguments.cases:
            return print_cases(os.path.abspath(arguments.build), folder)
        sys.exit(compare(os.path.abspath(arguments.build), folder, arguments.count, arguments.seed))


main()
