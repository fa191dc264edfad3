"""Many small means a page, the best of them decides.

Idea: a needle is a few keys long, and the mean of a whole page dilutes it. Keep a mean of every two keys; a page counts
as much as its best pair does for its most interested head. Finer summaries cost bytes, fewer pages give them back:
compare PARTS = 2, 4 and 8 at equal bytes, not at equal budgets.
Source: our own measurements (docs/benchmarks/selection.md); sub-page summaries as in LServe (arXiv:2502.14866).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import GeMM, Max, topK
from vortex_torch.cache import MeanInterleave as CMeanInterleave


@register("fine_means")
class FineMeans(vFlow):
    PARTS = 8

    def __init__(self):
        super().__init__()
        self.match = GeMM()
        self.over_parts = Max(dim=1)
        self.over_heads = Max(dim=2)
        self.select = topK()

    def create_cache(self, block_size: int, head_dim: int):
        assert block_size % self.PARTS == 0, f"block size {block_size} does not split into {self.PARTS} parts"
        self.part_mean = CMeanInterleave(dim=1, k=block_size // self.PARTS)
        return {"part_mean": (self.PARTS, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.part_mean(cache["k"], cache["part_mean"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        match = self.match(q, cache["part_mean"], ctx=ctx)         # [S, parts, heads]
        best = self.over_parts(match, ctx=ctx)                     # [S, 1, heads]
        self.select(self.over_heads(best, ctx=ctx), o, ctx=ctx)
