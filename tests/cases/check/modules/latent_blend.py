r"""Latent attention: content and position weighted apart.

.. math:: s_p = a \langle q_{nope}, c_p \rangle + b \langle q_{pe}, c_p \rangle
"""
from __future__ import annotations

from typing import Dict

from vortex_torch.flow import vFlowMLA, register
from vortex_torch.indexer import GeMM, MaskSlice, Max, Mean, Multiply, topK
from vortex_torch.cache import MeanInterleave as CMeanInterleave


class _Blend(vFlowMLA):
    A, B = 0.5, 0.5

    def __init__(self):
        super().__init__()
        assert abs((self.A + self.B) - 1.0) < 1e-6, (
            f"{type(self).__name__}: weights must add up to 1, "
            f"got {self.A} and {self.B}"
        )
        self.mean = Mean(dim=1)
        self.scale = Multiply()
        self.gemm = GeMM()
        self.best = Max(dim=1)
        self.select = topK()

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int) -> Dict[str, tuple]:
        width = kv_lora_rank + qk_rope_head_dim
        self.weights = MaskSlice(0, kv_lora_rank, 2, alpha=self.A, beta=self.B)
        self.parts = CMeanInterleave(dim=1, k=block_size // 2)
        return {"parts": (2, width)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: "ContextBase"):
        self.parts(cache["latent"], output=cache["parts"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: "ContextBase"):
        q_mean = self.mean(q, ctx=ctx)
        query = self.scale(q_mean, self.weights(q_mean, ctx=ctx), ctx=ctx)
        score = self.gemm(query, cache["parts"], ctx=ctx)      # [S, 2, 1]
        self.select(self.best(score, ctx=ctx), o, ctx=ctx)


@register("latent_blend_25")
class LatentBlend25(_Blend):
    A, B = 0.75, 0.25
