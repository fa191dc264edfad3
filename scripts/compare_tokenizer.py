#!/usr/bin/env python3
"""Compares our token ids with those of the reference `tokenizers` package, string by string.

  scripts/compare_tokenizer.py strings [--count 10000] [--seed 1] > strings.jsonl    JSON strings, one a line
  vortex tokenize --model DIR --json-lines < strings.jsonl > ours.jsonl               our ids
  scripts/compare_tokenizer.py compare DIR/tokenizer.json strings.jsonl ours.jsonl    needs the package `tokenizers`

Strings cover ASCII, many scripts, emoji with joiners, combining marks in any order, code, LaTeX, runs of white space,
special tokens, U+FFFD, controls and noncharacters. The comparison also decodes every id list and reports a difference.
"""
import argparse
import json
import random
import sys
import unicodedata

WORDS = ("the quick brown fox's jumps over lazy dogs; I'm you're we've they'll he'd it's DON'T don\u2019t naive na\u00efve "
         "caf\u00e9 cafe\u0301 Stra\u00dfe STRASSE \u017fharp \u212aelvin 1234567890 3.14159 1,000,000 \u00bd \u2167 x\u00b2 "
         "supercalifragilistic antidisestablishment http://example.org/a?b=c&d=%20 user@example.org C++20 __init__ "
         "camelCase snake_case kConstant 0xDEADBEEF 1e-12").split()
CODE = ['for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\n}\n', 'def f(x):\n    return {"a": [x, None]}\n',
        'SELECT * FROM t WHERE x >= 3 AND y LIKE \'%z\';\n', '#include <vector>\r\n\r\nint main() { return 0; }\r\n',
        '<div class="a">&nbsp;</div>', 'fn main() { println!("{:?}", vec![1, 2]); }', '// ===== section =====\n']
LATEX = [r'\frac{a+b}{2} \le \sqrt{x^2 + y^2}', r'$$\sum_{n=1}^{\infty} \frac{1}{n^2} = \frac{\pi^2}{6}$$',
         r'\begin{align*} x &= 1 \\ y &= 2 \end{align*}', r'\boxed{\dfrac{3}{4}}', r'\(\lfloor x \rfloor\) \text{ mod } 7']
EMOJI = ['\U0001F600', '\U0001F468\u200d\U0001F469\u200d\U0001F467', '\U0001F44D\U0001F3FD', '\u2764\ufe0f',
         '\U0001F1EB\U0001F1F7', '\U0001F9D1\u200d\U0001F680', '\u270c\U0001F3FF']
SPECIAL = ['<|im_start|>', '<|im_end|>', '<|endoftext|>', '<think>', '</think>', '<tool_call>', '<|im_start|', '|im_end|>',
           '<|begin_of_text|>', '<|eot_id|>', '<|start_header_id|>']
SPACES = [' ', '  ', '\n', '\n\n', '\t', '\r\n', '\u00a0', '\u3000', '\u2009', '\u2028', '\u0085', '\v', '\f', '\u180e',
          '\u200b', '\ufeff', '\u202f', '\u205f', '\u1680']
# First and last code point of blocks of many scripts, of symbols and of combining marks.
BLOCKS = [(0x20, 0x7e), (0xa1, 0xff), (0x100, 0x24f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x5f4), (0x620, 0x6ff),
          (0x900, 0x97f), (0xb80, 0xbff), (0xe01, 0xe5b), (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2010, 0x2060),
          (0x2070, 0x209c), (0x20a0, 0x20bf), (0x2100, 0x218b), (0x2190, 0x22ff), (0x2460, 0x24ff), (0x3041, 0x30ff),
          (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xf900, 0xfad9), (0xfb00, 0xfb06), (0xff01, 0xff5e), (0x10330, 0x1034a),
          (0x1d400, 0x1d7ff), (0x1f300, 0x1f64f), (0x20000, 0x2a6df), (0x2f800, 0x2fa1d), (0xe000, 0xe0ff)]
MARKS = [(0x300, 0x36f), (0x483, 0x487), (0x591, 0x5bd), (0x64b, 0x65f), (0x93c, 0x94d), (0x3099, 0x309a), (0x20d0, 0x20f0)]


def characters(rng, blocks, count):
    # Code points that a recent Unicode version added may be unassigned for one side only: they are left out.
    text = ''
    while len(text) < count:
        low, high = rng.choice(blocks)
        c = chr(rng.randint(low, high))
        if unicodedata.category(c) != 'Cn':
            text += c
    return text


def sentence(rng):
    return ''.join(rng.choice(WORDS) + rng.choice([' ', ' ', ' ', ', ', '. ', '\n', '-', '']) for _ in range(rng.randint(1, 20)))


def marked(rng):
    return ''.join(characters(rng, BLOCKS, 1) + characters(rng, MARKS, rng.randint(0, 4)) for _ in range(rng.randint(1, 12)))


def spaces(rng):
    return ''.join(rng.choice(SPACES) * rng.randint(1, 9) + rng.choice(['', 'x', '1', '.', 'a b']) for _ in range(rng.randint(1, 10)))


def mixed(rng):
    return ''.join(rng.choice([sentence, marked, spaces, lambda r: r.choice(EMOJI), lambda r: r.choice(SPECIAL),
                               lambda r: r.choice(CODE), lambda r: r.choice(LATEX),
                               lambda r: characters(r, BLOCKS, 5)])(rng) for _ in range(rng.randint(1, 8)))


KINDS = [sentence, marked, spaces, mixed, lambda r: characters(r, [(0x20, 0x7e)], r.randint(1, 60)),
         lambda r: characters(r, [r.choice(BLOCKS)], r.randint(1, 40)),
         lambda r: ''.join(r.choice(EMOJI) for _ in range(r.randint(1, 9))), lambda r: r.choice(CODE) * r.randint(1, 3),
         lambda r: ' '.join(r.choice(LATEX) for _ in range(r.randint(1, 4))),
         lambda r: ''.join(r.choice(SPECIAL + [' ', 'a', '\n']) for _ in range(r.randint(1, 8))),
         lambda r: r.choice('a0 .\n\u4e00\u0301') * r.randint(1, 300),
         lambda r: ''.join(chr(r.choice([r.randint(0, 31), 0x7f, 0xfffd, 0xfffe, 0x10ffff, 0xa0])) for _ in range(r.randint(1, 9)))]


def strings(count, seed):
    rng = random.Random(seed)
    return ['', ' ', '\n'] + [rng.choice(KINDS)(rng) for _ in range(count - 3)]


def compare(tokenizer_path, strings_path, ours_path):
    import tokenizers
    reference = tokenizers.Tokenizer.from_file(tokenizer_path)
    texts = [json.loads(line) for line in open(strings_path, encoding='utf-8')]
    ours = [json.loads(line) for line in open(ours_path, encoding='utf-8')]
    if len(texts) != len(ours):
        sys.exit(f'{len(texts)} strings but {len(ours)} lists of ids')
    differences = tokens = 0
    for text, ids in zip(texts, ours):
        expected = reference.encode(text, add_special_tokens=False).ids
        tokens += len(expected)
        if ids != expected:
            differences += 1
            if differences <= 10:
                print(f'differs: {text!r}\n  reference {expected}\n  ours      {ids}')
    print(f'tokenizers {tokenizers.__version__}: {len(texts)} strings, {tokens} tokens, {differences} differ')
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    make = commands.add_parser('strings')
    make.add_argument('--count', type=int, default=10000)
    make.add_argument('--seed', type=int, default=1)
    check = commands.add_parser('compare')
    for name in ('tokenizer', 'strings', 'ours'):
        check.add_argument(name)
    arguments = parser.parse_args()
    if arguments.command == 'strings':
        for text in strings(arguments.count, arguments.seed):
            print(json.dumps(text))
    elif compare(arguments.tokenizer, arguments.strings, arguments.ours) > 0:
        sys.exit(1)


if __name__ == '__main__':
    main()
