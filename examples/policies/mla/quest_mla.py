"""Quest on the latent: an upper bound on every logit of a page.

Idea: keep the elementwise maximum M and minimum m of a page's rows. A logit is one dot product with such a row, so
sum_d max(q_d M_d, q_d m_d) bounds it for every token of the page; the heads share the pages, so the largest bound over
them counts. Two summaries as wide as a token make it the dearest of these policies.
Source: Quest (arXiv:2406.10774), on the latent of DeepSeek-V2 (arXiv:2405.04434).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlowMLA, register
from vortex_torch.indexer import Max, Maximum, Multiply, Sum, topK
from vortex_torch.cache import Max as CMax, Min as CMin


@register("quest_mla")
class QuestMla(vFlowMLA):
    def __init__(self):
        super().__init__()
        self.with_max = Multiply()
        self.with_min = Multiply()
        self.bound = Maximum()
        self.over_channels = Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.select = topK()
        self.highest = CMax(dim=1)
        self.lowest = CMin(dim=1)

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int):
        width = kv_lora_rank + qk_rope_head_dim
        return {"highest": (1, width), "lowest": (1, width)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.highest(cache["latent"], cache["highest"], loc=loc, ctx=ctx)
        self.lowest(cache["latent"], cache["lowest"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        upper = self.with_max(q, cache["highest"], ctx=ctx)        # [S, heads, rank + rope]
        lower = self.with_min(q, cache["lowest"], ctx=ctx)
        bound = self.over_channels(self.bound(upper, lower, ctx=ctx), ctx=ctx)
        self.select(self.over_heads(bound, ctx=ctx), o, ctx=ctx)
