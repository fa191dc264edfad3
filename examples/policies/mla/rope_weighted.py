"""Content and position weighted apart.

Idea: score = (1 - ROPE) content + ROPE position. The mean of a page's rotated channels says less about its keys than
the mean of its latents does, because rotations of one page's positions partly cancel; how much it is to count is a
number to search for.
Source: the weighted routing of Vortex (arXiv:2606.06453).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlowMLA, register
from vortex_torch.indexer import GeMM, MaskSlice, Mean, Multiply, topK
from vortex_torch.cache import Mean as CMean


@register("rope_weighted")
class RopeWeighted(vFlowMLA):
    ROPE = 0.6

    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.weighted = Multiply()
        self.score = GeMM()
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int):
        self.weights = MaskSlice(0, kv_lora_rank, 2, alpha=1.0 - self.ROPE, beta=self.ROPE)
        return {"centroid": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["latent"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)
        weighted = self.weighted(query, self.weights(query, ctx=ctx), ctx=ctx)
        self.select(self.score(weighted, cache["centroid"], ctx=ctx), o, ctx=ctx)
