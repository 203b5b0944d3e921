import pytest

from boxless.evaluation.bootstrap import holm
from boxless.reproduce.gan.claims import CLAIMS, claims_section
from boxless.reproduce.gan.run import GanTrial
from boxless.reproduce.gan.run_results import runs_in


def score(hits):
    return {"hits": hits, "accuracy": {"0.5": 100 * hits.count("1") / len(hits)}}


def both(hits):
    return {"transferred": score(hits), "fixed": score("0" * len(hits))}


def stage(maps, shuffled):
    return {"readings": {"cam": {"maps": both(maps), "shuffled": both(shuffled)}}}


def result(maps, *, shuffled="0000000000", untrained="1000000000", before="1111111100"):
    constants = {"whole image": "1" * 10, "centred box": "1" * 10, "no learning": "1" * 10}
    return {
        "stages": [stage(before, shuffled), stage(maps, shuffled)],
        "controls": {"untrained": {"cam": [both(untrained)] * 3}} | {name: score(h) for name, h in constants.items()},
    }


def trial(gan="sn-dcgan", group="bird", *, augment=False, seed=0):
    return GanTrial(gan=gan, group=group, augment=augment, seed=seed)


def section(results):
    return claims_section(runs_in(list(results), {one.name: content for one, content in results.items()}))


def answers(results):
    rows = [line.strip("| ").split(" | ") for line in section(results) if line.startswith("| ")][1:]
    return {row[1]: row[2:] for row in rows}


def test_a_claim_is_about_the_images_of_all_groups_that_have_both_sides():
    runs = {trial(): result("1111100000"), trial(group="cat"): result("1111100000")}
    found = answers(runs)
    assert len(found) == len(CLAIMS)
    groups, images, difference, p, word = found["above its maps, shuffled"]
    assert (groups, images) == ("2", "20") and difference.startswith("+50.0 (")
    assert float(p) == pytest.approx(2 / 2**10, rel=0.05) and word == "above"  # ten images, all one way
    assert found["above the whole image as the box"][2].startswith("-50.0 (")
    assert found["above the whole image as the box"][4] == "below"
    assert found["above DCGAN"][-1] == found["above CAM"][-1] == "not run"
    text = "\n".join(section(runs))
    assert "as the paper's is: -30.0 (" in text and "for 5 comparisons" in text


def test_partners_are_runs_that_differ_in_one_thing():
    runs = {
        trial(): result("1111100000"),
        trial(seed=1): result("0000011111"),  # no partner
        trial(augment=True): result("1000000000"),
        trial("dcgan"): result("1100000000"),
        trial("dcgan", "cat"): result("1111111111"),  # nobody's partner
        trial("cam", augment=True): result("1110000000"),
    }
    found = answers(runs)
    assert found["above DCGAN"][:3] == ["1", "10", "+30.0 (+0.0 to +60.0)"]
    assert found["plain above augmented"][2].startswith("+40.0")
    assert found["above CAM"][2].startswith("+0.0")  # plain +20 and augmented -20 on average
    assert found["above CAM"][-1] == "not told apart"


def test_without_runs_there_is_nothing_to_say():
    assert section({}) == section({trial(): {"failed": "no"}}) == []


def test_holm_asks_less_of_each_next_one():
    assert holm([0.02, 0.04, 0.011]) == [True, True, True]
    assert holm([0.02, 0.06, 0.011]) == [True, False, True]
    assert holm([0.02, 0.001, 0.03]) == [True, True, True]
    assert holm([0.03, 0.02, 0.04]) == [False, False, False]  # the least of three is asked for 0.05 / 3
    assert holm([]) == []
