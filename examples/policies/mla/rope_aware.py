"""Block top-k on the latent: one centroid a page, positions included.

Idea: under latent attention one dot product with a token's latent and its rotated part is the whole logit, so the mean
of a page's rows stands for its keys as the mean key does elsewhere. The rotated part is a ninth of the channels and
decides far more than a ninth of the choice.
Source: the rope-aware routing of Vortex (arXiv:2606.06453); latent attention is DeepSeek-V2's (arXiv:2405.04434).
"""
import torch
from typing import Dict

from vortex_torch.abs import ContextBase
from vortex_torch.flow import vFlowMLA, register
from vortex_torch.indexer import GeMM, Mean, topK
from vortex_torch.cache import Mean as CMean


@register("rope_aware")
class RopeAware(vFlowMLA):
    def __init__(self):
        super().__init__()
        self.query_mean = Mean(dim=1)
        self.score = GeMM()
        self.select = topK()
        self.centroid = CMean(dim=1)

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int):
        return {"centroid": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.centroid(cache["latent"], cache["centroid"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        query = self.query_mean(q, ctx=ctx)                        # [1, 1, rank + rope]
        score = self.score(query, cache["centroid"], ctx=ctx)      # [S, 1, 1]
        self.select(score, o, ctx=ctx)
