"""How often the test images were used stands beside the score."""

from dataclasses import replace

import pytest

from vit.registry.looks import count_looks, digest_of_test_images
from vit.registry.overview import versions_of
from vit.registry.publish import publish
from vit.tracking.store import open_store

pytestmark = pytest.mark.long


def with_test(publisher, number: int, test: slice):
    """A content that is tested on some of the images."""
    rows = [row | {"part": "test"} for row in publisher.rows[test]]
    return publisher.content(number, right=50, images=publisher.parts(train=slice(120, None)) + rows)


def test_runs_on_the_same_test_images_are_counted_and_others_are_not(publisher, client):
    same, other = slice(100, 120), slice(100, 119)
    contents = [with_test(publisher, 1, same), with_test(publisher, 2, other), with_test(publisher, 3, same)]
    versions = [publish(content, "vit").version for content in contents]
    assert [version.tags["test_looks"] for version in versions] == ["1", "1", "2"]
    assert "first run of this store that was scored on these test images" in versions[1].description
    assert "2 runs of this store were scored on these test images" in versions[2].description
    assert client.get_run(versions[2].run_id).data.metrics["test_looks"] == 2
    assert [one["test_looks"] for one in versions_of("vit", 0.95)] == [2, 1, 1]

    again = publish(contents[0], "vit")
    assert not again.changed and again.version.tags["test_looks"] == "1"
    client.delete_run(versions[2].run_id)
    assert count_looks(open_store(), digest_of_test_images(contents[0].candidacy.images)) == 2


def test_the_digest_is_of_the_pixels_whatever_names_and_order(publisher, tmp_path):
    content = with_test(publisher, 1, slice(100, 120))
    renamed = [row | {"path": f"x/{number}.png"} for number, row in enumerate(publisher.rows[100:120])]
    rows = publisher.parts(train=slice(130, None)) + [row | {"part": "test"} for row in reversed(renamed)]
    turned = publisher.content(2, right=50, images=rows)
    assert digest_of_test_images(turned.candidacy.images) == digest_of_test_images(content.candidacy.images)
    assert digest_of_test_images(publisher.content(3, right=50).candidacy.images) is None


def test_a_publication_that_was_cut_off_before_the_count_is_completed(publisher, client):
    content = with_test(publisher, 1, slice(100, 120))
    run = publish(content, "vit").run
    client.set_tag(run.info.run_id, "test_images_sha256", "0" * 64)
    assert publish(replace(content, files_key="files 2"), "vit").version.tags["test_looks"] == "1"
