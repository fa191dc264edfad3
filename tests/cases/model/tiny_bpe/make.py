#!/usr/bin/env python3
"""Makes the tokenizer.json beside this file: a byte-level BPE of 300 merges, trained on the project's README, with added
tokens of every kind. golden.json holds ids that an independent implementation (the npm package @huggingface/tokenizers)
gives for it, but for 'maelstroms amaelstrom maelstrom': that package has no single_word, so these ids are worked out by
hand. Another README gives another tokenizer: golden.json must then be made anew, too."""
import collections
import json
import pathlib
import re

here = pathlib.Path(__file__).parent
text = (here / '../../../../README.md').read_text() + ' caf\u00e9 \u65e5\u672c\u8a9e\u65e5\u672c \U0001F600\U0001F600 ' * 9
itself = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
others = [b for b in range(256) if b not in itself]
letter = {b: chr(b) for b in itself} | {b: chr(256 + i) for i, b in enumerate(others)}

words = collections.Counter(tuple(letter[b] for b in w.encode()) for w in re.findall(r' ?[^\W\d_]+| ?\d| ?[^\s\w]+|\s+', text))
vocabulary = [letter[b] for b in itself + others]
merges = []
while len(merges) < 300:
    pairs = collections.Counter()
    for word, count in words.items():
        for pair in zip(word, word[1:]):
            pairs[pair] += count
    best = max(pairs, key=lambda p: (pairs[p], p))
    merges.append(best)
    vocabulary.append(''.join(best))
    merged = collections.Counter()
    for word, count in words.items():
        out, i = [], 0
        while i < len(word):
            joined = word[i:i + 2] == best
            out.append(''.join(best) if joined else word[i])
            i += 2 if joined else 1
        merged[tuple(out)] += count
    words = merged


def added(content, **flags):
    global vocabulary
    assert content not in vocabulary  # the reference would give it the id that it has
    token = dict(id=len(vocabulary), content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    vocabulary = vocabulary + [content]
    return token | flags


size = len(vocabulary)
tokens = [added('<|begin|>', special=True), added('<|end|>', special=True), added('<think>'), added('</think>'),
          added('<|left|>', lstrip=True, special=True), added('<|right|>', rstrip=True, special=True),
          added('maelstrom', single_word=True), added('d\u00e9j\u00e0', normalized=True), added('<|end|>of')]
pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
byte_level = dict(type='ByteLevel', add_prefix_space=False, trim_offsets=False, use_regex=False)
begin = tokens[0]
tokenizer = dict(version='1.0', truncation=None, padding=None, added_tokens=tokens, normalizer=dict(type='NFC'),
                 pre_tokenizer=dict(type='Sequence', pretokenizers=[
                     dict(type='Split', pattern=dict(Regex=pattern), behavior='Isolated', invert=False), byte_level]),
                 post_processor=dict(type='TemplateProcessing', single=[
                     dict(SpecialToken=dict(id='<|begin|>', type_id=0)), dict(Sequence=dict(id='A', type_id=0))],
                     pair=[], special_tokens={'<|begin|>': dict(id='<|begin|>', ids=[begin['id']], tokens=['<|begin|>'])}),
                 decoder=byte_level,
                 model=dict(type='BPE', dropout=None, unk_token=None, continuing_subword_prefix='', end_of_word_suffix='',
                            fuse_unk=False, byte_fallback=False, ignore_merges=False,
                            vocab={t: i for i, t in enumerate(vocabulary[:size])}, merges=[list(m) for m in merges]))
(here / 'tokenizer.json').write_text(json.dumps(tokenizer, separators=(',', ':')) + '\n')
