"""Quest: an upper bound on every key of a page.

Idea: keep the elementwise maximum M and minimum m of a page's keys. For one query head, sum_d max(q_d M_d, q_d m_d)
is at least the dot product with any key of the page, so no page that matters is scored low. The heads of a group
share pages, so the largest bound over them counts.
Source: Quest (arXiv:2406.10774).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Max, Maximum, Multiply, Sum, topK
from vortex_torch.cache import Max as CMax, Min as CMin


@register("quest")
class Quest(vFlow):
    def __init__(self):
        super().__init__()
        self.with_max = Multiply()
        self.with_min = Multiply()
        self.bound = Maximum()
        self.over_dims = Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.select = topK()
        self.key_max = CMax(dim=1)
        self.key_min = CMin(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"key_max": (1, head_dim), "key_min": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.key_max(cache["k"], cache["key_max"], loc=loc, ctx=ctx)
        self.key_min(cache["k"], cache["key_min"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        upper = self.with_max(q, cache["key_max"], ctx=ctx)        # [S, heads, head_dim]
        lower = self.with_min(q, cache["key_min"], ctx=ctx)
        bound = self.bound(upper, lower, ctx=ctx)
        score = self.over_heads(self.over_dims(bound, ctx=ctx), ctx=ctx)
        self.select(score, o, ctx=ctx)
