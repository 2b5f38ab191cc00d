"""Students learn from what a teacher says, by the pipeline's own loss."""

import torch
import torch.nn.functional as F

from learn.digits import digits, new_classifier
from learn.teaching import as_teacher, heads, teach, token_cosines
from learn.training import recipe
from vit.data.batches import Packed
from vit.evaluation.explain import model_input, require_attention

SHAPE = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 1.0}


def a_few(count: int) -> Packed:
    return Packed(digits().train.images[:count], digits().train.labels[:count])


def test_a_teacher_answers_as_the_model_it_was_made_of():
    cnn = new_classifier(1, name="cnn")
    cnn.model.eval()
    x = model_input(cnn, a_few(5).images)
    assert torch.equal(as_teacher(cnn, new_classifier(**SHAPE))(x), cnn.model(x).detach())


def test_a_student_of_the_teacher_alone_says_what_the_teacher_says_whatever_the_labels_are():
    teacher, student, few = new_classifier(1, **SHAPE), new_classifier(2, **SHAPE), a_few(64)
    teacher.model.head.weight.data *= 10  # an untrained model that is sure of itself
    wrong = Packed(few.images, torch.zeros_like(few.labels))
    plain = dict.fromkeys(recipe().augment.model_dump(), 0.0)
    train = recipe(augment=plain, teacher="weights/any", distillation="soft", lr=5e-3)
    train = train.model_copy(update={"distillation_alpha": 1.0})

    def apart():
        said, meant = (model.logits(few.images).log_softmax(dim=1) for model in (student, teacher))
        return F.kl_div(said, meant, reduction="batchmean", log_target=True)

    before = apart()
    teach(student, wrong, train, 60, as_teacher(teacher, student))
    assert apart() < before / 5
    assert not student.model.training


def test_the_prediction_of_a_student_is_the_mean_of_both_heads():
    student = new_classifier(**SHAPE, distilled=True)
    images = a_few(5).images
    assert torch.allclose(heads(student, images).mean(dim=0), student.logits(images), atol=1e-6)


def test_equal_tokens_have_a_cosine_of_one_before_and_after_each_block():
    model = require_attention(new_classifier(**SHAPE, distilled=True))
    model.dist_token.data = model.cls_token.data + model.pos_embed.data[:, :1] - model.pos_embed.data[:, 1:2]
    cosines = token_cosines(model, torch.randn(3, 1, 8, 8))
    assert len(cosines) == 3 and torch.allclose(torch.tensor(cosines), torch.ones(3))
