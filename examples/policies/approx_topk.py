"""Quest with an approximate selection.

Idea: which of two nearly equal pages is kept hardly matters, so the selection may stop once 85 % of the best pages
are certain. The bound is Quest's; the saving is in the selection.
Source: the radix approximation of Vortex (arXiv:2606.06453); Quest (arXiv:2406.10774).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import Max, Maximum, Multiply, Sum, approxTopK
from vortex_torch.cache import Max as CMax, Min as CMin


@register("approx_topk")
class ApproxTopK(vFlow):
    def __init__(self, tolerate_ratio: float = 0.15):
        super().__init__()
        self.with_max = Multiply()
        self.with_min = Multiply()
        self.bound = Maximum()
        self.over_dims = Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.select = approxTopK(tolerate_ratio=tolerate_ratio)
        self.key_max = CMax(dim=1)
        self.key_min = CMin(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        return {"key_max": (1, head_dim), "key_min": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.key_max(cache["k"], cache["key_max"], loc=loc, ctx=ctx)
        self.key_min(cache["k"], cache["key_min"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        upper = self.with_max(q, cache["key_max"], ctx=ctx)
        lower = self.with_min(q, cache["key_min"], ctx=ctx)
        bound = self.over_dims(self.bound(upper, lower, ctx=ctx), ctx=ctx)
        self.select(self.over_heads(bound, ctx=ctx), o, ctx=ctx)
