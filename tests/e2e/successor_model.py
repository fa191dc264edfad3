#!/usr/bin/env python3
"""Writes a model that answers every token by the one that follows it in a given text, byte by byte.

  successor_model.py TOKENIZER_JSON FOLDER TEXT [cycle]

The bytes of TEXT must differ. Behind its last one comes the stop token, or, with "cycle", the first one again; a prompt
ends with a byte of TEXT. Attention and MLP add nothing: the head's row of a token is the embedding of the one before it,
and embeddings are random signs.
"""
import json
import pathlib
import random
import shutil
import struct
import sys

HIDDEN, HEAD_DIM, INNER = 128, 64, 64
tokenizer_path, folder, text = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
cycle = sys.argv[4:] == ['cycle']
tokenizer = json.load(open(tokenizer_path))
vocabulary = tokenizer['model']['vocab']
size = len(vocabulary) + len(tokenizer['added_tokens'])
stop = next(t['id'] for t in tokenizer['added_tokens'] if t['content'] == '<|end|>')
itself = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
others = [b for b in range(256) if b not in itself]
letter = {b: chr(b) for b in itself} | {b: chr(256 + i) for i, b in enumerate(others)}
chain = [vocabulary[letter[b]] for b in text.encode()]
assert len(set(chain)) == len(chain), 'bytes must differ'
before = dict(zip(chain[1:], chain))  # the token that each one follows
before[stop if not cycle else chain[0]] = chain[-1]

rng = random.Random(1)
embedding = [[rng.choice((1.0, -1.0)) for _ in range(HIDDEN)] for _ in range(size)]
head = [[0.0] * HIDDEN for _ in range(size)]
for token, previous in before.items():
    head[token] = list(embedding[previous])

tensors = {'model.embed_tokens.weight': embedding, 'lm_head.weight': head, 'model.norm.weight': [1.0] * HIDDEN}
zeros = lambda rows, cols: [[0.0] * cols for _ in range(rows)]
layer = 'model.layers.0.'
for name, value in {'input_layernorm': [1.0] * HIDDEN, 'post_attention_layernorm': [1.0] * HIDDEN,
                    'self_attn.q_norm': [1.0] * HEAD_DIM, 'self_attn.k_norm': [1.0] * HEAD_DIM,
                    'self_attn.q_proj': zeros(2 * HEAD_DIM, HIDDEN), 'self_attn.k_proj': zeros(HEAD_DIM, HIDDEN),
                    'self_attn.v_proj': zeros(HEAD_DIM, HIDDEN), 'self_attn.o_proj': zeros(HIDDEN, 2 * HEAD_DIM),
                    'mlp.gate_proj': zeros(INNER, HIDDEN), 'mlp.up_proj': zeros(INNER, HIDDEN),
                    'mlp.down_proj': zeros(HIDDEN, INNER)}.items():
    tensors[layer + name + '.weight'] = value

header, data = {}, b''
for name, value in tensors.items():
    rows = value if isinstance(value[0], list) else [value]
    flat = [struct.pack('<f', x)[2:] for row in rows for x in row]  # bf16 is the upper half of float32
    shape = [len(value), len(value[0])] if isinstance(value[0], list) else [len(value)]
    header[name] = dict(dtype='BF16', shape=shape, data_offsets=[len(data), len(data) + 2 * len(flat)])
    data += b''.join(flat)
head_text = json.dumps(header).encode()
head_text += b' ' * (-len(head_text) % 8)
folder.mkdir(parents=True)
(folder / 'model.safetensors').write_bytes(struct.pack('<Q', len(head_text)) + head_text + data)
(folder / 'config.json').write_text(json.dumps(dict(
    architectures=['Qwen3ForCausalLM'], model_type='qwen3', hidden_size=HIDDEN, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=1, head_dim=HEAD_DIM, intermediate_size=INNER, vocab_size=size,
    rope_theta=10000, rms_norm_eps=1e-6, tie_word_embeddings=False, hidden_act='silu', attention_bias=False,
    max_position_embeddings=400000, torch_dtype='bfloat16', eos_token_id=stop)))
shutil.copy(tokenizer_path, folder / 'tokenizer.json')
