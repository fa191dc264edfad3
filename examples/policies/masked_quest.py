"""Quest without the fastest rotary channels.

Idea: the first channels of a head turn fastest under rotary position embedding, so their extremes over a page say
little about content. Masking them out of the query removes their part of the bound.
Source: Quest (arXiv:2406.10774); masking as in the policies published with Vortex (arXiv:2606.06453).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import MaskSlice, Max, Maximum, Multiply, Sum, topK
from vortex_torch.cache import Max as CMax, Min as CMin


@register("masked_quest")
class MaskedQuest(vFlow):
    MASKED_SHARE = 8  # one eighth of the channels

    def __init__(self):
        super().__init__()
        self.keep = Multiply()
        self.with_max = Multiply()
        self.with_min = Multiply()
        self.bound = Maximum()
        self.over_dims = Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.select = topK()
        self.key_max = CMax(dim=1)
        self.key_min = CMin(dim=1)

    def create_cache(self, block_size: int, head_dim: int):
        self.mask = MaskSlice(start=0, end=head_dim // self.MASKED_SHARE, dim=2, alpha=0.0, beta=1.0)
        return {"key_max": (1, head_dim), "key_min": (1, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.key_max(cache["k"], cache["key_max"], loc=loc, ctx=ctx)
        self.key_min(cache["k"], cache["key_min"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.keep(q, self.mask(q, ctx=ctx), ctx=ctx)
        upper = self.with_max(query, cache["key_max"], ctx=ctx)
        lower = self.with_min(query, cache["key_min"], ctx=ctx)
        bound = self.over_dims(self.bound(upper, lower, ctx=ctx), ctx=ctx)
        self.select(self.over_heads(bound, ctx=ctx), o, ctx=ctx)
