#!/usr/bin/env python3
"""Compares our logits with those of Hugging Face transformers on random checkpoints that transformers writes.

  cmake --build BUILD --target model_logits
  scripts/compare_transformers.py --program BUILD/bin/model_logits [--device cpu|cuda] [--layers 4] [--ranks 1,2] [--json FILE]

Geometries: Qwen3 0.6B and 1.7B, Llama 3.2 1B with its rope scaling, SmolLM2 360M, Qwen2.5 0.5B (what runs by default);
with latent attention or experts DeepSeek-V2-Lite with its YaRN, Moonlight, GLM-4.7-Flash, Qwen3-30B-A3B and MiniMax-M2
(by --models). Widths, heads, experts and rotary settings are those of the models, the vocabulary is cut, and so are the
layers (--layers 0 keeps them all); MiniMax-M2 has 32 of its 256 experts. Norms have an eps of 1e-6 where transformers
builds the inner ones with that, whatever the configuration says. Weights are random and rounded to bfloat16 before
anything runs, so that both sides see the same numbers. --ranks asks our engine on each of these numbers of ranks.
transformers computes in float32 with eager attention. --json keeps every figure of the table.

What is compared, at prompts of several lengths: log-probabilities after the prompt (prefill) and at each of 16
teacher-forced decode steps, and greedy continuations of 256 tokens.

Tolerance. Our weights and activations carry the same values as theirs; K and V are kept in bfloat16 (8 bits of mantissa,
relative error up to 2^-9 a value), theirs in float32. So besides the plain reference ("exact"), the same model runs with
K and V (or the latent and the rotated key behind it) rounded to bfloat16 as ours are ("rounded"): against that one only the order of float32 sums is left, and a sum
that lands on the other side of a rounding step. The limits are --tolerance for "rounded" and 4 x the distance between
"rounded" and "exact" plus --tolerance for "exact". The CUDA engine rounds activations to bfloat16 as well: there only
the second limit is applied, with the distance to a transformers run in bfloat16 in the place of the first.
Greedy continuations are compared with "rounded" token by token; at the first difference the reference's own margin
between the two tokens decides: below twice the tolerance it is a tie, otherwise a failure.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

COMMON = dict(max_position_embeddings=8192, vocab_size=4096, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3_ROPE = dict(rope_type='llama3', factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=1024)  # 8192 in the model; less, so that short prompts meet it
# As one release or another spells it.
HALF_ROTATED = dict(rope_theta=5e6, partial_rotary_factor=0.5,
                    rope_parameters=dict(rope_type='default', rope_theta=5e6, partial_rotary_factor=0.5))
MODELS = {
    'Qwen3-0.6B': ('Qwen3', 28, dict(hidden_size=1024, intermediate_size=3072, num_attention_heads=16, num_key_value_heads=8,
                                 head_dim=128, rope_theta=1e6, tie_word_embeddings=True)),
    'Qwen3-1.7B': ('Qwen3', 28, dict(hidden_size=2048, intermediate_size=6144, num_attention_heads=16, num_key_value_heads=8,
                                 head_dim=128, rope_theta=1e6, tie_word_embeddings=True)),
    'Llama-3.2-1B': ('Llama', 16, dict(hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
                                   head_dim=64, rope_theta=5e5, tie_word_embeddings=True, rope_scaling=LLAMA3_ROPE)),
    'SmolLM2-360M': ('Llama', 32, dict(hidden_size=960, intermediate_size=2560, num_attention_heads=15, num_key_value_heads=5,
                                   rope_theta=1e5, tie_word_embeddings=True)),
    'Qwen2.5-0.5B': ('Qwen2', 24, dict(hidden_size=896, intermediate_size=4864, num_attention_heads=14, num_key_value_heads=2,
                                   rope_theta=1e6, tie_word_embeddings=False)),
}
YARN = dict(rope_type='yarn', rope_theta=1e4, factor=40, beta_fast=32, beta_slow=1, mscale=0.707, mscale_all_dim=0.707,
            original_max_position_embeddings=4096)
LATENT = dict(hidden_size=2048, kv_lora_rank=512, qk_rope_head_dim=64, rms_norm_eps=1e-6, tie_word_embeddings=False)
LARGE = {  # latent attention, experts, or both
    'DeepSeek-V2-Lite': ('DeepseekV2', 27, dict(
        **LATENT, intermediate_size=10944, moe_intermediate_size=1408, num_attention_heads=16, num_key_value_heads=16,
        q_lora_rank=None, qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=64, num_experts_per_tok=6,
        n_shared_experts=2, first_k_dense_replace=1, norm_topk_prob=False, routed_scaling_factor=1.0,
        topk_method='greedy', n_group=1, topk_group=1, rope_parameters=YARN)),
    'Moonlight': ('DeepseekV3', 27, dict(
        **LATENT, intermediate_size=11264, moe_intermediate_size=1408, num_attention_heads=16, num_key_value_heads=16,
        q_lora_rank=None, qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=64, num_experts_per_tok=6,
        n_shared_experts=2, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.446, n_group=1,
        topk_group=1, rope_parameters=dict(rope_type='default', rope_theta=5e4))),
    'GLM-4.7-Flash': ('Glm4MoeLite', 47, dict(
        **LATENT, intermediate_size=10240, moe_intermediate_size=1536, num_attention_heads=20, num_key_value_heads=20,
        q_lora_rank=768, qk_nope_head_dim=192, v_head_dim=256, n_routed_experts=64, num_experts_per_tok=4,
        n_shared_experts=1, norm_topk_prob=True, routed_scaling_factor=1.8, n_group=1, topk_group=1,
        rope_parameters=dict(rope_type='default', rope_theta=1e6))),
    'Qwen3-30B-A3B': ('Qwen3Moe', 48, dict(
        hidden_size=2048, intermediate_size=6144, moe_intermediate_size=768, num_attention_heads=32,
        num_key_value_heads=4, head_dim=128, num_experts=128, num_experts_per_tok=8, norm_topk_prob=True,
        decoder_sparse_step=1, mlp_only_layers=[], rms_norm_eps=1e-6, tie_word_embeddings=False,
        rope_parameters=dict(rope_type='default', rope_theta=1e6))),
    'MiniMax-M2': ('MiniMaxM2', 62, dict(
        hidden_size=3072, intermediate_size=1536, num_attention_heads=48, num_key_value_heads=8, head_dim=128,
        rotary_dim=64, num_local_experts=32, num_experts_per_tok=8, tie_word_embeddings=False, **HALF_ROTATED)),
}
STEPS = 16


def write_model(name, layers, folder, where):
    family, depth, sizes = (MODELS | LARGE)[name]
    config = getattr(transformers, family + 'Config')(num_hidden_layers=layers or depth, **COMMON, **sizes)
    config._attn_implementation = 'eager'
    torch.manual_seed(1)
    with torch.device(where if name in LARGE else 'cpu'):  # where large ones are made sooner
        model = getattr(transformers, family + 'ForCausalLM')(config).eval()
    with torch.no_grad():
        for key, value in model.named_buffers():
            if 'correction_bias' in key:  # of a router: it changes who is chosen
                value.normal_(0, 0.1)
                value.copy_(value.to(torch.bfloat16).float())
        for key, value in model.named_parameters():
            if 'correction_bias' in key:
                value.normal_(0, 0.1)
            elif value.dim() >= 2:  # with experts in one tensor
                # Logits of standard deviation 2, and layers that outweigh the token's own embedding: with a tied head a
                # heavier embedding makes every position predict its own token, whatever attention does.
                value.normal_(0, (2 if 'embed' in key or 'lm_head' in key else 1) * value.shape[-1] ** -0.5)
            elif 'bias' in key:
                value.normal_(0, 0.5)
            else:
                value.uniform_(0.7, 1.3)
            value.copy_(value.to(torch.bfloat16).float())
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    if 'rotary_dim' in sizes:  # however this release spells it, the checkpoints say it so
        written = json.loads((folder / 'config.json').read_text())
        written.update(rotary_dim=sizes['rotary_dim'], rope_theta=sizes['rope_theta'])
        (folder / 'config.json').write_text(json.dumps(written))
    # Read back, not cast back: casting to bfloat16 rounds the rotary frequencies, too, and they would stay rounded.
    return type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').eval()


def as_bfloat16(values):
    return values.to(torch.bfloat16).to(values.dtype)


class RoundedCache(transformers.DynamicCache):
    """Keeps K and V as bfloat16 would."""
    def update(self, key_states, value_states, *args, **kwargs):
        return super().update(as_bfloat16(key_states), as_bfloat16(value_states), *args, **kwargs)


class RoundedLatents(transformers.DynamicCache):
    """Keeps the rotated part of latent attention's keys as bfloat16 would. The rest comes out of the latents, which
    round_latents rounds."""
    def __init__(self, rotated):
        super().__init__()
        self.rotated = rotated

    def update(self, key_states, value_states, *args, **kwargs):
        plain, rotated = key_states[..., :-self.rotated], key_states[..., -self.rotated:]
        return super().update(torch.cat([plain, as_bfloat16(rotated)], -1), value_states, *args, **kwargs)


def round_latents(model):
    """Until what it returns is called."""
    norms = [module for name, module in model.named_modules() if name.endswith('kv_a_layernorm')]
    hooks = [norm.register_forward_hook(lambda module, inputs, output: as_bfloat16(output)) for norm in norms]
    return lambda: [hook.remove() for hook in hooks]


def rounded_cache(model):
    rotated = getattr(model.config, 'qk_rope_head_dim', None)
    return RoundedLatents(rotated) if rotated else RoundedCache()


@torch.no_grad()
def forced(model, prompt, continuation, cache):
    logits = model(torch.tensor([prompt], device=model.device), past_key_values=cache, use_cache=True).logits[0, -1:]
    rows = [logits]
    for token in continuation[:-1]:
        rows.append(model(torch.tensor([[token]], device=model.device), past_key_values=cache, use_cache=True).logits[0])
    return torch.log_softmax(torch.cat(rows).float(), -1).cpu()


@torch.no_grad()
def greedy(model, prompt, ours, cache):
    """The first position where the reference, fed our tokens, would choose otherwise, and its margin there."""
    feed, ties = prompt, 0
    for i, token in enumerate(ours):
        logits = model(torch.tensor([feed], device=model.device), past_key_values=cache, use_cache=True).logits[0, -1]
        best = int(logits.argmax())
        if best != token:
            return i, float(logits[best] - logits[token])
        feed = [token]
    return len(ours), 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--program', required=True)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--layers', type=int, default=4)
    parser.add_argument('--lengths', default='1,17,300,1500')
    parser.add_argument('--greedy', type=int, default=256)
    parser.add_argument('--tolerance', type=float, default=0.01)
    parser.add_argument('--models', default=','.join(MODELS))
    parser.add_argument('--ranks', default='1')
    parser.add_argument('--json')
    arguments = parser.parse_args()
    where = 'cuda' if torch.cuda.is_available() else 'cpu'
    transformers.utils.logging.disable_progress_bar()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision('highest')
    print(f'transformers {transformers.__version__}, torch {torch.__version__}, reference on {where}, ours on '
          f'{arguments.device}, {arguments.layers or "all"} layers')
    print('model            prompt   to rounded   to exact  rounded-exact  bf16-exact   argmax   greedy', flush=True)
    failures, records = 0, []
    for name in arguments.models.split(','):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            try:
                model = write_model(name, arguments.layers, scratch, where).to(where)
            except (AttributeError, TypeError, ValueError) as error:
                print(f'{name}: this transformers cannot make it: {error}')
                failures += 1
                continue
            generator = torch.Generator().manual_seed(2)
            jobs = []
            for length in map(int, arguments.lengths.split(',')):
                ids = torch.randint(3, COMMON['vocab_size'], (length + STEPS,), generator=generator).tolist()
                jobs.append(dict(model=str(scratch), prompt=ids[:length], continuation=ids[length:],
                                 greedy=arguments.greedy))
            answers = []  # ranks, job, line
            for ranks in map(int, arguments.ranks.split(',')):
                asked = [dict(job, out=str(scratch / f'{len(job["prompt"])}-{ranks}.f32')) for job in jobs]
                ran = subprocess.run([arguments.program, arguments.device, str(ranks)],
                                     input='\n'.join(map(json.dumps, asked)) + '\n', capture_output=True, text=True)
                if ran.returncode != 0:
                    print(f'{name} on {ranks} ranks: {ran.stderr.strip()}')
                    failures += 1
                answers += [(ranks, job, line) for job, line in zip(asked, ran.stdout.splitlines())]
            half = None
            for ranks, job, line in answers:
                ours = torch.frombuffer(bytearray(open(job['out'], 'rb').read()), dtype=torch.float32).view(STEPS, -1)
                exact = forced(model, job['prompt'], job['continuation'], transformers.DynamicCache())
                as_it_was = round_latents(model)
                rounded = forced(model, job['prompt'], job['continuation'], rounded_cache(model))
                as_it_was()
                # The reference in bfloat16 throughout: what a bfloat16 engine may differ by.
                half = half or type(model).from_pretrained(scratch, dtype=torch.bfloat16,
                                                           attn_implementation='eager').to(where).eval()
                coarse = forced(half, job['prompt'], job['continuation'], transformers.DynamicCache())
                # The likely tokens decide; far below the best, log-probabilities differ without meaning.
                likely = exact > exact.max(-1, keepdim=True).values - 10
                distance = lambda a, b: float((a - b).abs()[likely].max())
                to_rounded, to_exact, spread, half_spread = (distance(ours, rounded), distance(ours, exact),
                                                             distance(rounded, exact), distance(coarse, exact))
                distinct = len(set(json.loads(line)['tokens']))  # a loop of few tokens would prove little
                same = int((ours.argmax(-1) == rounded.argmax(-1)).sum())
                as_it_was = round_latents(model)
                at, margin = greedy(model, job['prompt'], json.loads(line)['tokens'], rounded_cache(model))
                as_it_was()
                limit = 4 * spread + arguments.tolerance
                good = to_rounded <= arguments.tolerance and to_exact <= limit
                tie = 2 * arguments.tolerance
                if arguments.device == 'cuda':
                    good = to_exact <= 4 * half_spread + arguments.tolerance
                    tie = 8 * half_spread + tie
                good = good and margin <= tie
                failures += not good
                records.append(dict(model=name, ranks=ranks, layers=model.config.num_hidden_layers, prompt=len(job['prompt']),
                                    decode_steps=STEPS - 1, to_rounded=to_rounded, to_exact=to_exact, rounded_exact=spread,
                                    bf16_exact=half_spread, argmax_same=same, argmax_of=STEPS, greedy_same=at,
                                    greedy_of=arguments.greedy, greedy_distinct=distinct, greedy_margin=margin,
                                    passed=bool(good)))
                print(f'{name + (f" x{ranks}" if ranks > 1 else ""):16} {len(job["prompt"]):6}   {to_rounded:10.5f} {to_exact:10.5f} {spread:14.5f} {half_spread:11.5f} '
                      f'{same:5}/{STEPS}   {at}/{arguments.greedy} ({distinct} distinct)' + (f' (margin {margin:.5f})' if margin else '') +
                      ('' if good else '  FAILED'), flush=True)
    if arguments.json:
        json.dump(dict(transformers=transformers.__version__, torch=torch.__version__, reference=where,
                       ours=arguments.device, tolerance=arguments.tolerance, results=records),
                  open(arguments.json, 'w'), indent=1)
    print(f'{failures} failures')
    sys.exit(failures > 0)


if __name__ == '__main__':
    main()
