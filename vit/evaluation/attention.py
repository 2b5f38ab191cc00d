"""What a Vision Transformer attends to, read by hooks: maps per head, rollout, gradient x attention, distances.

The model stores nothing and may use any attention kernel: maps are recomputed from its q and k.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vit.models.vision_transformer import Attention, VisionTransformer


@dataclass(frozen=True)
class Seen:
    """What hooks recorded in one forward pass: logits (B, classes) and, per block, q, k, v and the mixed values.

    q, k, v and mixed are (B, heads, N, D/heads), where N includes class and distillation tokens.
    """

    logits: Tensor
    blocks: list[tuple[Tensor, Tensor, Tensor]]
    mixed: list[Tensor]

    def attention(self) -> list[Tensor]:
        """Softmax of q k^T / sqrt(D/heads) in float32, (B, heads, N, N) per block; rows sum to 1."""
        return [
            (q.float() * q.shape[-1] ** -0.5 @ k.float().transpose(-2, -1)).softmax(dim=-1) for q, k, _ in self.blocks
        ]


def observe(model: VisionTransformer, x: Tensor) -> Seen:
    """One forward pass of normalized x (B, C, H, W) in eval mode, recorded at every block.

    Hooks are on a copy that shares the weights, so that other threads can use `model` meanwhile.
    """
    twin = copy.deepcopy(model, {id(value): value for value in (*model.parameters(), *model.buffers())}).eval()
    projected: list[Tensor] = []
    mixed: list[Tensor] = []
    attentions = [module for module in twin.modules() if isinstance(module, Attention)]
    for attention in attentions:
        attention.qkv.register_forward_hook(lambda module, inputs, output: projected.append(output))
        attention.proj.register_forward_pre_hook(lambda module, inputs: mixed.append(inputs[0]))
    logits = twin(x)
    B, N, D = mixed[0].shape
    heads = attentions[0].num_heads
    blocks = []
    for qkv in projected:
        q, k, v = qkv.reshape(B, N, 3, heads, D // heads).permute(2, 0, 3, 1, 4)
        blocks.append((q, k, v))
    return Seen(logits, blocks, mixed)


def attention_maps(model: VisionTransformer, x: Tensor) -> Tensor:
    """Attention of every block and head, (depth, B, heads, N, N); one row per query, summing to 1."""
    with torch.no_grad():
        return torch.stack(observe(model, x).attention())


def rollout(maps: Tensor) -> Tensor:
    """Attention accumulated over all blocks, (depth, B, heads, N, N) to (B, N, N); rows sum to 1.

    Heads are averaged; the residual counts as half of every block. Abnar & Zuidema 2020, "Quantifying Attention Flow
    in Transformers", section 3.
    """
    identity = torch.eye(maps.shape[-1], device=maps.device)
    flow = identity.expand(maps.shape[1], -1, -1)
    for block in maps.mean(dim=2):
        flow = (0.5 * block + 0.5 * identity) @ flow
    return flow


def gradient_relevance(model: VisionTransformer, x: Tensor, labels: Tensor) -> Tensor:
    """How much each token (column) supports `labels` (B,) through each other token (row), (B, N, N), >= 0.

    R = I, then per block R += mean over heads of max(0, A * dlogit/dA) R; here R - I. Chefer, Gur & Wolf 2021,
    "Generic Attention-Model Explainability", equations 5 and 6. A mixes the values, so dlogit/dA = dlogit/d(A v) v^T,
    which needs no A in the graph and therefore no particular kernel.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x, labels = x.clone(), labels.clone()  # a server may have created them in inference mode
        seen = observe(model, x.requires_grad_())
        gradients = torch.autograd.grad(seen.logits.gather(1, labels[:, None]).sum(), seen.mixed)
    with torch.no_grad():
        identity = torch.eye(gradients[0].shape[1], device=x.device)
        relevance = identity.expand(len(x), -1, -1)
        for attention, gradient, (q, _, v) in zip(seen.attention(), gradients, seen.blocks, strict=True):
            by_head = gradient.reshape(len(x), -1, q.shape[1], q.shape[3]).transpose(1, 2)  # (B, heads, N, D/heads)
            support = attention * (by_head.float() @ v.float().transpose(-2, -1))
            relevance = relevance + support.clamp(min=0).mean(dim=1) @ relevance
        return relevance - identity


def pooled(matrix: Tensor, model: VisionTransformer) -> Tensor:
    """The row that the head reads, restricted to the patches' columns: (..., N, N) to (..., patches).

    For a distilled model it is the mean over both heads, because the prediction is their mean. Attention pooling reads
    patches with weights of its own; here all count alike.
    """
    patches = matrix[..., model.prefix :]
    read = patches[..., 0, :] if model.pool == "cls" else patches[..., model.prefix :, :].mean(dim=-2)
    return (read + patches[..., model.dist_index, :]) / 2 if model.distilled else read


def patch_distances(grid: tuple[int, int], patch_size: int) -> Tensor:
    """Pixels between the centres of any two patches of a grid (rows, columns), (N, N)."""
    centres = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1])).float() * patch_size
    return torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")


def attention_distance(maps: Tensor, distances: Tensor) -> Tensor:
    """Mean distance in pixels between a patch and what it attends to, (depth, B, heads, N, N) to (depth, heads).

    Averaged over patches and images; only attention between patches counts, renormalized so that rows sum to 1.
    Dosovitskiy et al. 2020, figure 7 and appendix D.7.
    """
    between = maps[..., -len(distances) :, -len(distances) :]
    weights = between / between.sum(dim=-1, keepdim=True)
    return (weights * distances.to(maps.device)).sum(dim=-1).mean(dim=(1, 3))


def position_similarity(model: VisionTransformer, grid: tuple[int, int]) -> Tensor:
    """Cosine similarity of the position embeddings of any two patches, (rows, columns, rows, columns), in [-1, 1].

    Zero if the model has no position embedding. Dosovitskiy et al. 2020, figure 7.
    """
    positions = model.pos_embed.detach().float()[0, -grid[0] * grid[1] :]
    unit = torch.nn.functional.normalize(positions, dim=-1)
    return (unit @ unit.T).reshape(*grid, *grid)


def filter_components(model: VisionTransformer) -> tuple[Tensor, Tensor]:
    """Principal components of the first filters, (K, C, P, P), and the share of variance of each, (K,).

    The filters are those of the patch embedding, or of a stem's first convolution with kernel size P. Components are
    sorted by size, each with a positive sign at its largest value. Dosovitskiy et al. 2020, figure 7.
    """
    first = next(module for module in model.patch_embed.modules() if isinstance(module, nn.Conv2d))
    weight = first.weight.detach().float()  # (D, C, P, P)
    flat = weight.flatten(1)
    _, values, components = torch.linalg.svd(flat - flat.mean(dim=0), full_matrices=False)
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    shares = values.square() / values.square().sum()
    return (components * largest.sign()).reshape(-1, *weight.shape[1:]), shares
