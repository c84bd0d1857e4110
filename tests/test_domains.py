"""Which groups and sdmdevs share which translation."""

from sdmtop.domains import domains
from sdmtop.model import AttachedDomain
from tests.records import group, queue, snapshot

ZIP = "0000:75:00.0"
ONE, TWO, PLAIN = (f"5d3de000-0000-4000-8000-00000000000{digit}" for digit in "123")
IDENTITY = AttachedDomain(type="identity", evidence="known")


def test_sdmdevs_are_in_the_domain_of_their_parents_group_and_that_comes_first() -> None:
    found = domains(
        snapshot(
            groups=[group(1, "a"), group(9, ZIP), group(21, ONE), group(22, TWO)],
            sdmdevs=[
                queue(ONE, kind="sdmdev", parent=ZIP, domain_of=9, group=21),
                queue(TWO, kind="sdmdev", parent=ZIP, domain_of=9, group=22),
            ],
        )
    )
    assert [(domain.key, domain.size, domain.is_shared) for domain in found] == [
        ("group/9", 3, True),
        ("group/1", 1, False),
    ]
    assert [target for target in (ZIP, ONE, "group/9", "a") if found[0].holds(target)] == [
        ZIP, ONE, "group/9",
    ]  # fmt: skip


def test_groups_in_identity_are_together_for_nothing_translates_them() -> None:
    found = domains(
        snapshot(groups=[group(1, "a", attached=IDENTITY), group(2, "b", attached=IDENTITY)])
    )
    assert [(domain.key, domain.evidence, domain.size) for domain in found] == [
        ("identity", "known", 2)
    ]


def test_a_group_in_identity_with_sdmdevs_is_one_domain_and_no_other() -> None:
    found = domains(
        snapshot(
            groups=[group(9, ZIP, attached=IDENTITY), group(21, ONE)],
            sdmdevs=[queue(ONE, kind="sdmdev", parent=ZIP, domain_of=9, group=21)],
        )
    )
    assert [domain.key for domain in found] == ["group/9"]


def test_what_one_member_is_only_inferred_to_be_all_are() -> None:
    inferred = AttachedDomain(type="identity", evidence="inferred")
    found = domains(
        snapshot(groups=[group(1, "a", attached=IDENTITY), group(2, "b", attached=inferred)])
    )
    assert found[0].evidence == "inferred"


def test_emulated_mdevs_are_in_no_domain_of_the_iommu() -> None:
    found = domains(snapshot(groups=[group(22, PLAIN)], sdmdevs=[queue(PLAIN)]))
    assert [(domain.key, domain.groups, domain.is_shared) for domain in found] == [
        ("emulated", (), False)
    ]


def test_a_host_without_groups_has_no_domains() -> None:
    assert domains(snapshot()) == []
