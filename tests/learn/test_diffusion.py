"""The Diffusion Transformer starts as nothing, and the flow leads where a derivation by hand says."""

import pytest
import torch

from learn.diffusion import CLASSES, NO_CLASS, DiT, DiTBlock, fit_flow, flow_loss, noised, sample

IMAGES = torch.linspace(-1, 1, 20 * 64).reshape(20, 1, 8, 8)
LABELS = torch.arange(20) % CLASSES


def reached(model: DiT) -> set[str]:
    """The parameters with a gradient other than 0."""
    model.zero_grad()
    noise = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(0))
    flow_loss(model, IMAGES, LABELS, torch.linspace(0.1, 0.9, 20), noise).backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()}


def test_a_fresh_block_with_gates_is_the_identity_and_one_without_is_not():
    x, c = torch.randn(2, 5, 16), torch.randn(2, 16)
    assert torch.equal(DiTBlock(16, zero=True)(x, c), x)
    assert not torch.allclose(DiTBlock(16, zero=False)(x, c), x, atol=0.1)


def test_a_fresh_block_without_gates_ignores_its_condition():
    block, x = DiTBlock(16, zero=False), torch.randn(2, 5, 16)
    assert torch.equal(block(x, torch.randn(2, 16)), block(x, torch.randn(2, 16)))


@pytest.mark.parametrize("conditioning", ["adaLN-Zero", "adaLN", "in-context"])
def test_a_fresh_model_predicts_no_velocity_and_gradients_reach_every_parameter_after_two_steps(conditioning):
    model = DiT(conditioning, dim=16, depth=2)
    assert not model(IMAGES, torch.rand(20), LABELS).any()
    # The head is 0, so nothing before it gets a gradient; then the gates are 0, so nothing within a block does.
    assert reached(model) == {"head.weight", "head.bias"}
    fit_flow(model, IMAGES, LABELS, steps=2)
    assert reached(model) == {name for name, _ in model.named_parameters()}


def test_patches_return_to_their_places():
    model = DiT(dim=4, depth=1)
    with torch.no_grad():
        model.patch_embed.proj.weight.copy_(torch.eye(4).reshape(4, 1, 2, 2))  # each feature is one pixel of the patch
        model.patch_embed.proj.bias.zero_()
        assert torch.equal(model._unpatchified(model.patch_embed(IMAGES)), IMAGES)


def test_noised_images_have_the_variance_of_the_mixture():
    generator = torch.Generator().manual_seed(0)
    x = 4.0 * torch.randint(0, 2, (20, 1, 100, 100), generator=generator) - 2  # 2 or -2: variance 4
    noise = torch.randn(x.shape, generator=generator)
    mixed = noised(x, noise, torch.full((20,), 0.25))
    assert mixed.var().item() == pytest.approx(0.75**2 * 4 + 0.25**2, rel=0.02)  # independent, so variances add
    assert torch.equal(noised(x, noise, torch.zeros(20)), x) and torch.equal(noised(x, noise, torch.ones(20)), noise)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_sampler_leads_any_noise_to_the_only_image_there_is(steps):
    # x_t = (1 - t) image + t noise, so noise - image = (x_t - image) / t: a straight line, exact in any number of
    # steps.
    image = IMAGES[:1]
    path = sample(lambda x, t, _: (x - image) / t[:, None, None, None], torch.randn(20, 1, 8, 8), LABELS, steps=steps)
    assert path.shape == (steps + 1, 20, 1, 8, 8)
    assert torch.allclose(path[-1], image.expand(20, -1, -1, -1), atol=1e-5)


def test_the_sampler_turns_noise_of_variance_1_into_images_of_theirs():
    # Normal images of variance s^2: V = Var x_t = (1 - t)^2 s^2 + t^2, and the mean of noise - x given x_t is
    # (t - (1 - t) s^2) x_t / V = x_t d/dt log(root of V). So x_t = noise * root of V, which is s * noise at t = 0.
    s = 0.5

    def velocity(x, t, _):
        t = t[:, None, None, None]
        return (t - (1 - t) * s**2) / ((1 - t) ** 2 * s**2 + t**2) * x

    noise = torch.randn(20, 1, 8, 8)
    assert torch.allclose(sample(velocity, noise, LABELS, steps=2000)[-1], s * noise, rtol=0.01, atol=1e-3)


def test_guidance_goes_further_in_the_direction_from_no_class_to_the_class():
    noise = torch.zeros(20, 1, 8, 8)
    ends = sample(lambda x, t, labels: labels[:, None, None, None].expand_as(x) / 1.0, noise, LABELS, 3.0, 5)[-1]
    expected = -(NO_CLASS + 3 * (LABELS - NO_CLASS)).float()  # velocity 10 without a class, and the class with one
    assert torch.allclose(ends, expected[:, None, None, None].expand_as(ends), atol=1e-4)


def test_training_repeats_itself_and_learns():
    ends = []
    for _ in range(2):
        torch.manual_seed(0)
        losses = fit_flow(DiT(dim=32, depth=1), IMAGES, LABELS, steps=100, seed=3)
        assert sum(losses[-20:]) < 0.7 * sum(losses[:20])
        ends.append(losses[-1])
    assert ends[0] == ends[1]
