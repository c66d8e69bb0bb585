"""The policy allows what bakes of all kinds ask for, and nothing of it can be left out; what is not ours it leaves
alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import amibake
from amibake.permissions import FEATURES, GRANTS, LIMIT, features_of, size, split
from amibake.permissions.grant import Arns, Grant
from tests.policy.authorization import ACCOUNT, REFERENCE, ask
from tests.policy.bakes import ROLE, SCENARIOS, Recorded, record
from tests.policy.evaluator import Question, allows, several

Policy = dict[str, Any]


@cache
def recorded(name: str) -> Recorded:
    """A bake, which is baked once for all tests."""
    return record(name)


def all_recorded() -> list[Recorded]:
    return [recorded(name) for name in SCENARIOS]


def policy_for(bake: Recorded) -> Policy:
    return amibake.policy(*bake.features, bake=bake.bakes, roles=[ROLE])


def refused(policy: Policy, questions: Iterable[Question]) -> list[Question]:
    return [question for question in questions if not allows(policy, question)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_everything_that_a_bake_asks_for_is_allowed_by_the_policy_of_its_options(name: str) -> None:
    bake = recorded(name)
    assert refused(policy_for(bake), bake.questions) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_policy_for_one_account_and_one_that_is_split_allow_the_same(name: str) -> None:
    bake = recorded(name)
    narrow = amibake.policy(*bake.features, bake=bake.bakes, roles=[ROLE], account_id=ACCOUNT)
    assert refused(narrow, bake.questions) == []
    parts = split(narrow, limit=2500)
    assert max(map(size, parts)) <= 2500
    assert [one for part in parts for one in part["Statement"]] == narrow["Statement"]


def test_another_account_is_not_meant() -> None:
    elsewhere = amibake.policy(account_id="210987654321")
    mine = [one for one in recorded("plain").questions if f":{ACCOUNT}:" in one.arn]
    assert len(mine) > 10
    assert refused(elsewhere, mine) == mine


def test_every_action_of_the_table_is_asked_for_and_every_call_is_in_it() -> None:
    asked = {question.action for bake in all_recorded() for question in bake.questions}
    assert asked == {action for grant in GRANTS for action in grant.actions}
    called = {call for bake in all_recorded() for call in bake.calls}
    assert called <= asked


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.sid)
def test_nothing_of_a_statement_can_be_left_out_nor_be_called_anything_else(grant: Grant) -> None:
    """Neither it as a whole nor any of its actions and types of resources: a bake would be refused something."""
    needed = [question for bake in all_recorded() for question in only_by(grant.sid, bake)]
    assert needed
    for less in narrowed(grant):
        policy = {"Statement": [less.statement(Arns(roles=(ROLE,)))]}
        assert refused(policy, needed), less


def only_by(sid: str, bake: Recorded) -> list[Question]:
    """What a bake asks for that no other statement of its policy allows."""
    statements = policy_for(bake)["Statement"]
    others = [one for one in statements if one["Sid"] != sid]
    return refused({"Statement": others}, bake.questions) if len(others) < len(statements) else []


def narrowed(grant: Grant) -> Iterator[Grant]:
    for number, action in enumerate(grant.actions):
        before, after = grant.actions[:number], grant.actions[number + 1 :]
        yield replace(grant, actions=(*before, f"{action}s", *after))
    for kind in grant.resources if len(grant.resources) > 1 else ():
        yield replace(grant, resources=tuple(one for one in grant.resources if one != kind))


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.sid)
def test_every_condition_is_one_that_the_action_knows_of_that_resource(grant: Grant) -> None:
    """Elsewhere it would never hold. Each action has a resource of the statement, and each resource an action."""
    conditions = grant.statement(Arns(roles=(ROLE,))).get("Condition", {})
    wanted = {key.partition("/")[0] for keys in conditions.values() for key in keys}
    met: set[tuple[str, str]] = set()
    for action in grant.actions:
        entry = REFERENCE[action]
        known = entry["resources"] or {"*": []}
        for kind in grant.resources:
            name = {"your role": "role"}.get(kind, kind)
            if name in known and wanted <= {*entry["keys"], *known[name]}:
                met.add((action, kind))
    assert {action for action, _ in met} == set(grant.actions)
    assert {kind for _, kind in met} == set(grant.resources)


def test_only_calls_that_know_no_resources_are_allowed_on_all() -> None:
    for grant in GRANTS:
        if grant.resources == ("*",):
            assert not any(REFERENCE[action]["resources"] for action in grant.actions)
    assert not [action for grant in GRANTS for action in grant.actions if "*" in action]


OTHERS: Mapping[str, Mapping[str, str]] = {
    "untagged": {},
    "somebody else's": {"Name": "web", "team": "web", "amibake:state": "draft", "amibake:expires": "1"},
}
LASTING = {"Name": "web", "amibake:build": "b" * 16, "amibake:app": "shop"}
PUBLISHED = {**LASTING, "amibake:state": "published"}


def touched(bake: Recorded, tags: Mapping[str, str]) -> Iterator[Question]:
    """What the bake has done to what is there, were it to do that to something with these tags."""
    for question in bake.questions:
        rest = {key: value for key, value in question.known if not key.startswith("aws:ResourceTag/")}
        if len(rest) < len(question.known):
            there = {f"aws:ResourceTag/{key}": (value,) for key, value in tags.items()}
            yield replace(question, known=tuple(sorted({**rest, **there}.items())))


def unasked(bake: Recorded) -> Iterator[Question]:
    """What the bake has made, were it to make that without the tags of a bake."""
    for question in bake.questions:
        for key in ("aws:RequestTag/amibake:build", "aws:RequestTag/amibake:expires"):
            if not question.context.keys() >= {"aws:RequestTag/amibake:build", key}:
                continue
            yield replace(question, known=tuple(one for one in question.known if one[0] != key))


# what is used, and not changed
USED = {
    "ec2:RunInstances": ("image", "subnet", "snapshot", "placement-group", "capacity-reservation"),
    "ec2:CreateFleet": ("image", "subnet"),
    "ec2:CreateSecurityGroup": ("vpc",),
    "ec2:ModifyInstanceAttribute": ("security-group",),
}


def is_use(question: Question) -> bool:
    return _kind(question) in USED.get(question.action, ())


@pytest.mark.parametrize("whose", OTHERS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_that_is_not_of_a_bake_can_be_touched(name: str, whose: str) -> None:
    bake = recorded(name)
    policy = policy_for(bake)
    for question in touched(bake, OTHERS[whose]):
        own = bake.features & {"own_key", "own_groups", "launch", "snapshots"}
        if not is_use(question) and not (own and question.action in ("ec2:RunInstances", "ec2:RegisterImage")):
            assert not allows(policy, question), question


@pytest.mark.parametrize(
    "name", ["plain", "script_failed", "image_failed", "copy_failed", "spot", "volumes_that_stay", "swept"]
)
def test_what_is_published_or_launched_can_only_be_marked_as_published(name: str) -> None:
    bake = recorded(name)
    for tags in (LASTING, PUBLISHED):
        for question in touched(bake, tags):
            if not is_use(question):
                assert allows(policy_for(bake), question) == (question.action in ("ec2:CreateTags", "ec2:DeleteTags"))


@pytest.mark.parametrize(
    "name",
    ["plain", "image_failed", "copied_and_shared", "replacing", "spot", "with_a_temporary_profile", "launched"],
)
def test_nothing_can_be_made_without_the_tags_of_a_bake(name: str) -> None:
    bake = recorded(name)
    questions = list(unasked(bake))
    assert len(questions) > 3
    assert refused(policy_for(bake), questions) == questions


def test_a_published_image_stays_protected_unless_it_is_to_be_replaced() -> None:
    action = "ec2:DisableImageDeregistrationProtection"
    published = ask(action, "image", _arn("image"), there=PUBLISHED)
    draft = ask(action, "image", _arn("image"), there={**LASTING, "amibake:state": "draft"})
    for features, allowed in (
        ((), ()),
        (("protection", "sweep"), (draft,)),
        (("force_deregister",), (draft, published)),
    ):
        policy = amibake.policy(*features)
        assert [one for one in (draft, published) if allows(policy, one)] == list(allowed)


TAGS = [
    ("ec2:CreateTags", {"amibake:build": "b" * 16, "amibake:expires": "1"}),
    ("ec2:CreateTags", {"amibake:state": "draft"}),
    ("ec2:CreateTags", {"amibake:state": "published", "Name": "x"}),
    ("ec2:CreateTags", {"amibake:expires": "1"}),
    ("ec2:DeleteTags", {"amibake:build": ""}),
    ("ec2:DeleteTags", {"amibake:expires": "", "Name": ""}),
    ("ec2:DeleteTags", {}),
]


@pytest.mark.parametrize(("action", "tags"), TAGS)
def test_no_tag_can_be_given_or_taken_but_those_that_a_bake_does(action: str, tags: dict[str, str]) -> None:
    features = [name for name in FEATURES if name != "resume"]
    policy = amibake.policy(*features, roles=[ROLE])
    for kind in ("image", "snapshot", "volume", "instance", "security-group", "key-pair"):
        arn = _arn(kind)
        for there in ({}, LASTING, {**PUBLISHED, "amibake:expires": "1"}):
            assert not allows(policy, ask(action, kind, arn, requested=tags, there=there))


def test_a_bake_that_resumes_can_move_the_date_of_expiry_of_what_is_temporary_and_of_nothing_else() -> None:
    policy = amibake.policy("resume")
    later = {"amibake:expires": "2"}
    temporary = {**LASTING, "amibake:expires": "1"}
    for kind in ("instance", "security-group", "key-pair", "launch-template"):
        assert allows(policy, ask("ec2:CreateTags", kind, _arn(kind), requested=later, there=temporary))
        for tags, there in ((later, LASTING), (later, {}), ({**later, "amibake:build": "c"}, temporary)):
            assert not allows(policy, ask("ec2:CreateTags", kind, _arn(kind), requested=tags, there=there))
    for action, kind in (("iam:TagRole", "role"), ("iam:TagInstanceProfile", "instance-profile")):
        arn = f"arn:aws:iam::{ACCOUNT}:{kind}/amibake_{'b' * 16}"
        assert allows(policy, ask(action, kind, arn, requested=later))
        assert not allows(policy, ask(action, kind, arn, requested={**later, "team": "web"}))


def test_roles_are_passed_to_ec2_only_and_no_others() -> None:
    policy = amibake.policy("instance_profile", "temporary_profile", roles=[ROLE])
    ours = f"arn:aws:iam::{ACCOUNT}:role/amibake_{'b' * 16}"
    for service, arn, allowed in (
        ("ec2.amazonaws.com", ROLE, True),
        ("ec2.amazonaws.com", ours, True),
        ("ec2.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:role/admin", False),
        ("lambda.amazonaws.com", ROLE, False),
        ("lambda.amazonaws.com", ours, False),
    ):
        question = ask("iam:PassRole", "role", arn, more={"iam:PassedToService": (service,)})
        assert allows(policy, question) == allowed


@pytest.mark.parametrize("name", ["with_a_temporary_profile", "kept_and_resumed"])
def test_roles_and_profiles_of_other_names_stay(name: str) -> None:
    bake = recorded(name)
    ours = [one for one in bake.questions if one.action.startswith("iam:")]
    others = [replace(one, arn=f"{one.arn.rpartition('/')[0]}/admin") for one in ours]
    assert len(others) > 8
    assert refused(policy_for(bake), others) == others


def test_keys_are_used_through_ec2_only_and_granted_to_aws_only() -> None:
    policy = amibake.policy("encryption")
    calls = [one for one in recorded("encrypted").questions if one.action.startswith("kms:")]
    assert len({one.action for one in calls}) == 6
    for wrong in ({"kms:ViaService": ("s3.us-east-1.amazonaws.com",)}, {"kms:ViaService": None}):
        for one in calls:
            known = {key: value for key, value in {**one.context, **wrong}.items() if value}
            assert not allows(policy, replace(one, known=tuple(known.items())))
    for one in calls:
        if one.action == "kms:CreateGrant":
            known = {**one.context, "kms:GrantIsForAWSResource": ("false",)}
            assert not allows(policy, replace(one, known=tuple(known.items())))


def test_kms_keys_can_be_named() -> None:
    key = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    calls = [one for one in recorded("encrypted").questions if one.action.startswith("kms:")]
    assert refused(amibake.policy("encryption", kms_keys=[key]), calls) == []
    assert refused(amibake.policy("encryption", kms_keys=[key.replace("1234abcd", "00000000")]), calls) == calls


def harm() -> Iterator[tuple[Policy, Question]]:
    """What is to be refused, with the policy that refuses it."""
    for bake in all_recorded():
        policy = policy_for(bake)
        questions = [*unasked(bake)]
        for tags in (*OTHERS.values(), LASTING, PUBLISHED, {**PUBLISHED, "amibake:expires": "1"}):
            questions += touched(bake, tags)
        for question in bake.questions:
            for key, _ in question.known:
                others = tuple(one for one in question.known if one[0] != key)
                questions += [replace(question, known=others)]
                questions += [replace(question, known=(*others, (key, ("another",))))]
            known = question.context
            if "aws:TagKeys" in known:
                more = {**known, "aws:TagKeys": (*known["aws:TagKeys"], "amibake:build")}
                questions += [replace(question, known=tuple(more.items()))]
        different = {
            (one.action, _kind(one), tuple(key for key, _ in one.known), _values(one)): one for one in questions
        }
        yield from ((policy, question) for question in different.values() if not allows(policy, question))


def _values(question: Question) -> tuple[tuple[str, ...], ...]:
    """Those that a condition may be about; ids are all alike."""
    return tuple(values for key, values in question.known if not key.endswith((":build", ":expires", "/Name")))


@cache
def all_harm() -> Mapping[frozenset[str], tuple[Policy, tuple[Question, ...]]]:
    """{the statements of a policy: what it refuses}."""
    found: dict[frozenset[str], tuple[Policy, list[Question]]] = {}
    for policy, question in harm():
        key = frozenset(one["Sid"] for one in policy["Statement"])
        found.setdefault(key, (policy, []))[1].append(question)
    return {key: (policy, tuple(dict.fromkeys(questions))) for key, (policy, questions) in found.items()}


@pytest.mark.parametrize("sid", [grant.sid for grant in GRANTS if grant.conditions])
def test_without_any_one_of_its_conditions_a_statement_would_allow_too_much(sid: str) -> None:
    grant = next(one for one in GRANTS if one.sid == sid)
    statement = grant.statement(Arns(roles=(ROLE,)))
    for operator, keys in statement["Condition"].items():
        for key in keys:
            loose = deepcopy(statement)
            del loose["Condition"][operator][key]
            assert any(
                allows({**policy, "Statement": [loose]}, question)
                for sids, (policy, questions) in all_harm().items()
                if sid in sids
                for question in questions
            ), f"{operator} {key}"


def test_the_features_of_options_are_those_that_the_table_has() -> None:
    used = {feature for bake in all_recorded() for feature in bake.features}
    assert used == set(FEATURES)
    assert features_of(amibake.Builder(ami_name="shop")) == ()


def test_the_policy_of_a_builder_is_that_of_its_options() -> None:
    builder = amibake.Builder(ami_name="shop", ami_regions=["eu-west-1"], ami_users=["210987654321"])
    assert amibake.policy(builder=builder) == amibake.policy("copies", "sharing")
    assert amibake.policy("spot", builder=builder) == amibake.policy("copies", "sharing", "spot")


def test_every_statement_has_a_name_of_its_own_that_iam_takes() -> None:
    sids = [grant.sid for grant in GRANTS]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() and sid.isascii() for sid in sids)
    assert all(grant.why.endswith(".") for grant in GRANTS)


def test_a_plain_bake_needs_one_managed_policy_and_so_does_a_sweep_and_everything_needs_three() -> None:
    for document in (amibake.policy(), amibake.policy("sweep", bake=False), amibake.policy("launch", bake=False)):
        assert size(document) <= LIMIT
    parts = split(amibake.policy(*FEATURES, roles=[ROLE]))
    assert len(parts) == 3
    assert max(map(size, parts)) <= LIMIT


@pytest.mark.parametrize(
    ("partition", "ec2"),
    [("aws", "ec2.amazonaws.com"), ("aws-cn", "ec2.amazonaws.com.cn"), ("aws-iso", "ec2.c2s.ic.gov")],
)
def test_other_partitions_have_other_names(partition: str, ec2: str) -> None:
    document = amibake.policy("temporary_profile", "encryption", partition=partition)
    statements = {one["Sid"]: one for one in document["Statement"]}
    assert statements["PassTemporaryRole"]["Condition"] == {"StringEquals": {"iam:PassedToService": ec2}}
    arns = [arn for one in statements.values() for arn in several(one["Resource"]) if arn != "*"]
    assert {arn.split(":")[1] for arn in arns} == {partition}
    assert statements["UseKeys"]["Condition"]["StringLike"]["kms:ViaService"] == ec2.replace("ec2.", "ec2.*.", 1)


def test_mistakes_are_named_all_at_once() -> None:
    with pytest.raises(amibake.InvalidOption) as caught:
        amibake.policy("copie", "instance_profile", partition="mars", account_id="12")
    assert [line.partition(":")[0] for line in caught.value.mistakes] == [
        "features",
        "partition",
        "account_id",
        "roles",
    ]
    assert "did you mean copies?" in caught.value.mistakes[0]
    with pytest.raises(amibake.InvalidOption, match="nothing to allow"):
        amibake.policy(bake=False)


def _kind(question: Question) -> str:
    return question.arn.rpartition(":")[2].partition("/")[0]


def _arn(kind: str) -> str:
    account = "" if kind in ("image", "snapshot") else ACCOUNT
    return f"arn:aws:ec2:us-east-1:{account}:{kind}/one"
