from benchmarks.growth import REPO, draw, measured, table


def test_the_growth_benchmark_still_works_and_the_audit_finds_what_was_planted(tmp_path):
    costs = {}
    for images in (300, 900):
        costs[images], found = measured(images, tmp_path, REPO)
        assert found["copies"] == found["copies_planted"] > 0
        assert found["groups"] == found["groups_planted"] > 0
    rows = table(costs)
    assert {row["unit"] for row in rows} == {"ms an image", "MB"}
    assert all(row["ours"] > 0 for row in rows)
    assert [row["peer_name"] for row in rows[-2:]] == ["300 images"] * 2
    draw(costs, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
