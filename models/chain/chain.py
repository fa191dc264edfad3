"""The synthetic task `chain`: problems, their solutions and the tokenizer.

A prompt lists N definitions in random order, `v d0 d1 u ;` (v = u + d0 + 10*d1) or `v d0 d1 # ;` (a literal), and asks for
one variable: `? q ?`. The solution copies the definitions from q down to its literal (C of them), computes the C values
back up to q modulo 1000 (`w d0 d1 d2 ;`, least significant digit first) and states the answer: `? h t o </s>`.
"""
import json

import torch

LITERAL, SEMICOLON, ASK, BOS, EOS, PAD, FIRST_VARIABLE = 10, 11, 12, 13, 14, 15, 16
WORDS = [str(i) for i in range(10)] + ["#", ";", "?", "<s>", "</s>", "<pad>"]


def prompt_length(definitions):
    return 5 * definitions + 4


def solution_length(chain):
    return 10 * chain + 5


def sample(batch, definitions, chain, rng, chain_first=False, vocabulary=1024):
    """Returns tokens [batch, prompt + solution] on rng's device.

    Variables are numbered in topological order: number i may refer only to a smaller number. The chain takes a random
    subset of the numbers, or the first ones with chain_first (its variables are then referred to more often).
    """
    device = rng.device

    def uniform(*shape):
        return torch.rand(*shape, generator=rng, device=device)

    def integers(high, *shape):
        return torch.randint(0, high, shape, generator=rng, device=device)

    names = uniform(batch, vocabulary - FIRST_VARIABLE).argsort(1)[:, :definitions] + FIRST_VARIABLE
    if chain_first:
        members = torch.arange(chain, device=device).expand(batch, chain)
    else:
        members = uniform(batch, definitions).argsort(1)[:, :chain].sort(1).values
    parent = (uniform(batch, definitions) * torch.arange(definitions, device=device)).long()
    parent.scatter_(1, members[:, 1:], members[:, :-1])
    literal = uniform(batch, definitions) < 0.15
    literal[:, 0] = True
    literal.scatter_(1, members, torch.arange(chain, device=device).expand(batch, chain) == 0)
    constant = integers(100, batch, definitions)

    source = torch.where(literal, torch.full_like(names, LITERAL), names.gather(1, parent))
    semicolons = torch.full_like(names, SEMICOLON)
    lines = torch.stack([names, constant % 10, constant // 10, source, semicolons], 2)
    order = uniform(batch, definitions).argsort(1)
    shuffled = lines.gather(1, order[..., None].expand(-1, -1, 5)).reshape(batch, -1)

    walk = lines.gather(1, members.flip(1)[..., None].expand(-1, -1, 5)).reshape(batch, -1)
    values = constant.gather(1, members).cumsum(1) % 1000
    digits = [values % 10, values // 10 % 10, values // 100]
    variables = names.gather(1, members)
    sums = torch.stack([variables, *digits, semicolons[:, :chain]], 2).reshape(batch, -1)

    def column(token):
        return torch.full((batch, 1), token, dtype=torch.long, device=device)

    query = variables[:, -1:]
    answer = [digit[:, -1:] for digit in reversed(digits)]
    return torch.cat([column(BOS), shuffled, column(ASK), query, column(ASK), walk, sums, column(ASK), *answer,
                      column(EOS)], 1)


def write_tokenizer(path, size):
    """Writes a Hugging Face WordLevel tokenizer of `size` words; a text is words separated by single spaces."""
    words = WORDS + [f"v{i}" for i in range(size - FIRST_VARIABLE)]
    special = [{"id": i, "content": WORDS[i], "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i in (BOS, EOS, PAD)]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
                 "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
                 "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": WORDS[PAD]}}
    with open(path, "w") as file:
        json.dump(tokenizer, file, indent=0)
        file.write("\n")
