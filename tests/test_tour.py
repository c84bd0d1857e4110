from sdmtop.report import outline
from sdmtop.sources import snapshot_of
from sdmtop.tour import HOST, STEPS


def test_there_are_six_steps_and_each_is_about_a_line_that_there_is() -> None:
    lines = {line.key for line in outline(snapshot_of(f"{HOST}?at=0")).lines()}
    assert len(STEPS) == 6
    for step in STEPS:
        assert step.target in lines


def test_what_the_steps_say_is_so() -> None:
    snapshot = snapshot_of(f"{HOST}?at=0")
    groups = {group.id: group for group in snapshot.groups}
    (queue,) = [one for one in snapshot.sdmdevs if one.id == STEPS[1].target]
    assert (queue.kind, queue.state, queue.domain_of) == ("sdmdev", "orphan", 9)
    assert groups[9].owner == "kernel"
    assert (len(groups[7].devices), groups[7].viable) == (4, False)


def test_a_step_is_three_lines_on_a_usual_terminal() -> None:
    for step in STEPS:
        assert len(step.text) <= 3 * 118 - 20
        assert step.text.isascii()
