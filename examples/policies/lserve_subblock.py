"""Quest on sub-blocks.

Idea: the bound of a page gets loose when its keys differ much. Keeping the extremes of every quarter of a page makes
it tighter without smaller pages; a page counts as much as its best quarter for its most interested head.
Source: the hierarchical pages of LServe (arXiv:2502.14866), with Quest's bound (arXiv:2406.10774).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Kron, Max, Maximum, Sum, topK
from vortex_torch.cache import MaxInterleave as CMaxInterleave, MinInterleave as CMinInterleave


@register("lserve_subblock")
class LServeSubBlock(vFlow):
    PARTS = 4

    def __init__(self):
        super().__init__()
        self.with_max = Kron(dim=1)
        self.with_min = Kron(dim=1)
        self.bound = Maximum()
        self.over_dims = Sum(dim=2)
        self.over_heads_and_parts = Max(dim=1)
        self.select = topK()

    def create_cache(self, block_size: int, head_dim: int):
        assert block_size % self.PARTS == 0, f"block size {block_size} does not split into {self.PARTS} parts"
        self.part_max = CMaxInterleave(dim=1, k=block_size // self.PARTS)
        self.part_min = CMinInterleave(dim=1, k=block_size // self.PARTS)
        return {"part_max": (self.PARTS, head_dim), "part_min": (self.PARTS, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.part_max(cache["k"], cache["part_max"], loc=loc, ctx=ctx)
        self.part_min(cache["k"], cache["part_min"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        upper = self.with_max(q, cache["part_max"], ctx=ctx)       # [S, heads * parts, head_dim]
        lower = self.with_min(q, cache["part_min"], ctx=ctx)
        bound = self.over_dims(self.bound(upper, lower, ctx=ctx), ctx=ctx)
        self.select(self.over_heads_and_parts(bound, ctx=ctx), o, ctx=ctx)
