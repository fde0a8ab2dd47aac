from __future__ import annotations

from collections.abc import Callable

import pytest

from dsetkit.access import changes
from dsetkit.access.wanted import Wanted, WantedStage
from dsetkit.errors import AccessError, DsetkitError, UsageError
from dsetkit.spec.policy import AccessPolicy, Principal


def person(number: int) -> Principal:
    return Principal(age=(f"age1{str(number) * 58}",), ssh=(f"ssh-ed25519 {'A' * 8}{number}",))


def wanted() -> Wanted:
    """ada administers and builds all; rita reads cleaned; ben is known."""
    stages = {
        "raw": WantedStage(frozenset({"ada"}), frozenset({"ada"})),
        "cleaned": WantedStage(frozenset({"ada", "rita"}), frozenset({"ada"})),
        "augmented": WantedStage(frozenset({"ada"}), frozenset({"ada"})),
    }
    people = {"ada": person(1), "ben": person(2), "rita": person(3)}
    return Wanted(principals=people, admins=frozenset({"ada"}), stages=stages)


def faceted() -> Wanted:
    return changes.with_facet(wanted(), "test-labels", stages=["augmented", "cleaned"])


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "new without keys": (
        lambda: changes.with_keys(wanted(), "dora", age=["age1" + "9" * 58]),
        "dora is not known yet, and --ssh is not given. "
        "`dsetkit access init dora`, run by them, prints the line to copy.",
    ),
    "another's key": (
        lambda: changes.with_keys(wanted(), "dora", age=person(2).age, ssh=("ssh-ed25519 BBBB",)),
        "ben has the same key: one key is one principal. Grant it to ben, or have dora make an identity of their own.",
    ),
    "nothing said": (
        lambda: changes.granted(wanted(), "ben", "reader"),
        "It is not said what ben reads. Name stages: --stage cleaned; or facets: --facet test-labels.",
    ),
    "builds what": (
        lambda: changes.granted(wanted(), "ben", "builder"),
        "It is not said what ben builds. Name stages: --stage cleaned --stage augmented.",
    ),
    "no stage": (
        lambda: changes.granted(wanted(), "ben", "reader", stages=["clean"]),
        "A stage is raw, raw/SOURCE, cleaned, augmented or report, not 'clean'. Name one of these.",
    ),
    "a stage that escapes": (
        lambda: changes.granted(wanted(), "ben", "reader", stages=["raw/../x"]),
        "A stage is raw, raw/SOURCE, cleaned, augmented or report, not 'raw/../x'. Name one of these.",
    ),
    "a stranger": (
        lambda: changes.granted(wanted(), "zoe", "reader", stages=["cleaned"]),
        "The policy knows nobody called zoe. It knows: ada, ben, rita.",
    ),
    "a plain stage": (
        lambda: changes.granted(
            Wanted(principals=wanted().principals, admins=frozenset({"ada"})), "ben", "reader", stages=["cleaned"]
        ),
        "cleaned is not protected: everybody reads it. Protect it first: dsetkit access protect cleaned.",
    ),
    "a facet beyond its stages": (
        lambda: changes.granted(faceted(), "rita", "reader", facets=["test-labels"]),
        "The facet test-labels is also of augmented, which rita does not read: who reads a facet reads all its stages. "
        "Grant these too: --stage augmented.",
    ),
    "no facet": (
        lambda: changes.granted(faceted(), "rita", "reader", facets=["labels"]),
        "There is no facet labels. There are: test-labels.",
    ),
    "what is not theirs": (
        lambda: changes.revoked(wanted(), "rita", stages=["augmented"]),
        "rita does not read augmented. See `dsetkit access list`.",
    ),
    "builds not": (
        lambda: changes.revoked(wanted(), "rita", stages=["cleaned"], role="builder"),
        "rita does not build cleaned. See `dsetkit access list`.",
    ),
    "no admin": (
        lambda: changes.revoked(wanted(), "rita", role="admin"),
        "rita is no admin. See `dsetkit access list`.",
    ),
    "the last admin": (
        lambda: changes.expelled(wanted(), "ada"),
        "ada is the last admin, and without one nobody could change the policy any more. "
        "Make another first: dsetkit access grant NAME --role admin.",
    ),
    "below the threshold": (
        lambda: changes.revoked(
            changes.with_settings(changes.granted(wanted(), "ben", "admin"), threshold=2), "ada", role="admin"
        ),
        "2 admins must sign, and without ada there would be 1. "
        "Make another admin first, or ask for fewer: dsetkit access settings --threshold N.",
    ),
    "too high a threshold": (
        lambda: changes.with_settings(wanted(), threshold=2),
        "2 admins cannot be asked for: there is 1. Make more admins first: dsetkit access grant NAME --role admin.",
    ),
    "protected already": (
        lambda: changes.protected(wanted(), "cleaned", "ada"),
        "cleaned is protected already. See `dsetkit access list`.",
    ),
    "raw declassified": (
        lambda: changes.declassified(wanted(), "raw"),
        "raw is made from no stage, so it inherits nothing. Only cleaned, augmented and report can be declassified.",
    ),
    "a builder loses a facet": (
        lambda: changes.revoked(faceted(), "ada", facets=["test-labels"]),
        "ada builds augmented, of which test-labels is a facet: who builds it reads it. "
        "First: dsetkit access revoke ada --role builder --stage augmented.",
    ),
    "no columns": (
        lambda: changes.with_facet(wanted(), "mine", stages=["cleaned"]),
        "It is not said which columns mine is of. Name them: --column annotations; or use a preset as its name: "
        "annotators, provenance, test-labels.",
    ),
    "a column that all need": (
        lambda: changes.with_facet(wanted(), "mine", stages=["cleaned"], columns=["digest"]),
        "digest is no column that can be kept apart. These can: absent_categories, annotations, attributes, "
        "derived_from, not_exhaustive_categories, provenance, recipe, responses, source_id, split_group, subsets; "
        "and annotations.FIELD (annotations.annotator).",
    ),
    "a reader who does not read": (
        lambda: changes.with_facet(wanted(), "provenance", stages=["cleaned", "augmented"], readers=["rita"]),
        "rita does not read augmented: who reads or builds a facet reads all its stages. "
        "Name fewer stages, or grant it: dsetkit access grant rita --stage augmented.",
    ),
    "no facet to remove": (
        lambda: changes.without_facet(wanted(), "mine"),
        "There is no facet mine. There are: none.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nonsense_is_refused(name: str) -> None:
    act, said = REFUSED[name]
    with pytest.raises(DsetkitError) as refused:
        act()
    assert str(refused.value).rstrip(".") == said.rstrip(".")


def test_the_first_policy_protects_all_for_one() -> None:
    made = changes.first_policy("ab" * 16, "ada", person(1), commit=lambda domain, epoch: "0" * 64)
    assert isinstance(made, AccessPolicy)
    assert {name: (rule.readers, rule.builders, rule.domain) for name, rule in made.stages.items()} == dict.fromkeys(
        ("augmented", "cleaned", "raw", "report"), (("ada",), ("ada",), "d1")
    )
    bare = changes.first_policy("ab" * 16, "ada", person(1), stages=(), commit=lambda domain, epoch: "0" * 64)
    assert (bare.stages, bare.domains) == ({}, {})


def test_a_builder_reads_the_facets_of_what_they_build() -> None:
    made = changes.granted(faceted(), "ben", "builder", stages=["cleaned", "augmented"])
    assert made.facets["test-labels"].readers == {"ada", "ben"}
    assert made.stages["cleaned"].builders == {"ada", "ben"}


def test_presets_and_what_is_given() -> None:
    facet = faceted().facets["test-labels"]
    assert (facet.splits, facet.hides_keys, "annotations" in facet.columns) == (("test",), True, True)
    own = changes.with_facet(faceted(), "test-labels", splits=["val", "test"], hides_keys=False).facets["test-labels"]
    assert (own.splits, own.hides_keys, own.stages) == (("test", "val"), False, ("augmented", "cleaned"))


def test_declassifying_takes_the_facets_of_the_stage_away() -> None:
    made = changes.declassified(faceted(), "augmented")
    assert (sorted(made.stages), made.declassified) == (["cleaned", "raw"], ("augmented",))
    assert made.facets["test-labels"].stages == ("cleaned",)
    again = changes.protected(made, "augmented", "ada")
    assert (again.declassified, "augmented" in again.stages) == ((), True)


def test_who_is_expelled_is_known_no_more() -> None:
    made = changes.expelled(faceted(), "rita")
    assert "rita" not in made.principals
    assert made.stages["cleaned"].readers == {"ada"}


def test_an_undecided_stage_is_decided_by_a_rule_of_its_own() -> None:
    """It begins with who reads and builds all, and with the facets of each; what follows it is decided, too."""
    both, one = frozenset({"ada", "rita"}), frozenset({"ada"})
    stages = {"raw/alfa": WantedStage(both, both), "raw/zeta": WantedStage(both, one)}
    plain = Wanted(principals=wanted().principals, admins=one, stages=stages)
    assert changes.granted(plain, "ben", "reader", stages=["cleaned"]).stages["cleaned"].builders == one
    with pytest.raises(UsageError, match="rita does not build cleaned"):
        changes.revoked(plain, "rita", stages=["cleaned"], role="builder")
    undecided = changes.with_facet(plain, "labels", stages=["raw/zeta"], columns=["annotations"])
    for act in (
        lambda: changes.with_facet(undecided, "labels", stages=["cleaned"]),
        lambda: changes.with_facet(undecided, "more", stages=["augmented"], columns=["provenance"]),
    ):
        with pytest.raises(AccessError, match="different facets"):
            act()
    for decided in (
        changes.protected(undecided, "cleaned", "ada"),
        changes.granted(undecided, "ada", "builder", stages=["cleaned"]),
    ):
        assert decided.stages["cleaned"] == WantedStage(both, one)
        assert decided.facets["labels"].stages == ("raw/zeta", "cleaned")
        assert decided.ruling("report") == "cleaned"
