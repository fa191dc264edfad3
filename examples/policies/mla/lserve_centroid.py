"""The best part of a page, for its most interested head.

Idea: a mean over a whole page hides one token among many. Means of 16 tokens each stay closer to what they stand for,
so pages may be large, which attention likes, while choosing stays fine; a page counts as much as its best part.
Source: the hierarchical pages of LServe (arXiv:2502.14866), with centroids for bounds, on the latent of DeepSeek-V2
(arXiv:2405.04434).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlowMLA, register
from vortex_torch.indexer import GeMM, Max, topK
from vortex_torch.cache import MeanInterleave as CMeanInterleave


@register("lserve_centroid")
class LServeCentroid(vFlowMLA):
    PART = 16  # tokens

    def __init__(self):
        super().__init__()
        self.score = GeMM()
        self.over_parts = Max(dim=1)
        self.over_heads = Max(dim=2)
        self.select = topK()

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int):
        assert block_size % self.PART == 0, f"block size {block_size} is no multiple of {self.PART}"
        self.part_mean = CMeanInterleave(dim=1, k=self.PART)
        return {"parts": (block_size // self.PART, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.part_mean(cache["latent"], cache["parts"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        scores = self.score(q, cache["parts"], ctx=ctx)            # [S, parts, heads]
        best = self.over_parts(scores, ctx=ctx)                    # [S, 1, heads]
        self.select(self.over_heads(best, ctx=ctx), o, ctx=ctx)
