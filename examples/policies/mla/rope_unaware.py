"""Block top-k on the content alone: what positions are worth.

Idea: leave the rotated channels out of the query, so that a page scores by what it says and not by where it lies. A
policy to measure others against: published runs lose much by it.
Source: the ablation of rope-aware routing in Vortex (arXiv:2606.06453).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlowMLA, register
from vortex_torch.indexer import GeMM, MaskSlice, Mean, Multiply, topK
from vortex_torch.cache import Mean as CMean


@register("rope_unaware")
class RopeUnaware(vFlowMLA):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.masked = Multiply()
        self.score = GeMM()
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int):
        self.content = MaskSlice(0, kv_lora_rank, 2, alpha=1.0, beta=0.0)
        return {"centroid": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["latent"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        content = self.masked(query, self.content(query, ctx=ctx), ctx=ctx)
        self.select(self.score(content, cache["centroid"], ctx=ctx), o, ctx=ctx)
