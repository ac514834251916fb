"""Prompts, their versions and links in the store, on both databases."""

import json

import pytest

from hclx.studio.store import prompt_records, share_records, version_records
from hclx.studio.store.people_records import create_person, remove_person
from hclx.studio.store.studio_errors import ConflictError, NotThereError, StaleRevisionError
from tests.helpers.threads import at_once

CONTENT = '{"schema":"hclx.studio/1","document":{"name":"<b>감정</b> \\u0000 😀"}}'


@pytest.fixture
def prompt(database, hana):
    """The id of a prompt of Hana's."""
    return prompt_records.create_prompt(database, hana, "후기", CONTENT, 10)


def changed(database, prompt_id, owner, revision, title, now=20):
    return prompt_records.change_prompt(database, prompt_id, owner, revision, title, CONTENT, now)


def test_a_prompt_is_kept_and_changed(database, hana, prompt):
    record = prompt_records.find_prompt(database, prompt, hana)
    assert (record.id, record.owner, record.owner_name) == (prompt, hana, "하나")
    assert (record.title, record.revision, record.created, record.updated) == ("후기", 1, 10, 10)
    assert record.content == json.loads(CONTENT) and record.n_versions == 0
    assert changed(database, prompt, hana, 1, "새 후기") == 2
    record = prompt_records.find_prompt(database, prompt, hana)
    assert (record.title, record.revision, record.created, record.updated) == ("새 후기", 2, 10, 20)


def test_lists_have_the_newest_first(database, hana, duri, prompt):
    other = prompt_records.create_prompt(database, hana, "둘째", CONTENT, 11)
    theirs = prompt_records.create_prompt(database, duri, "남의 것", CONTENT, 12)
    ids = lambda owner: [head.id for head in prompt_records.list_prompts(database, owner)]
    assert ids(hana) == [other, prompt] and ids(duri) == [theirs]
    assert ids(None) == [theirs, other, prompt]
    changed(database, prompt, hana, 1, "후기", now=30)
    assert ids(hana) == [prompt, other]


def test_others_see_nothing_and_administrators_all(database, hana, duri, prompt):
    version_records.add_version(database, prompt, hana, 1, hana, "", 11)
    share = share_records.create_share(database, prompt, hana, 1, "read", 12)
    for call in (
        lambda: prompt_records.find_prompt(database, prompt, duri),
        lambda: changed(database, prompt, duri, 1, "x"),
        lambda: prompt_records.remove_prompt(database, prompt, duri, 20),
        lambda: version_records.add_version(database, prompt, duri, 1, duri, "", 20),
        lambda: share_records.create_share(database, prompt, duri, 1, "read", 20),
        lambda: share_records.revoke_share(database, share.id, duri, 20),
    ):
        with pytest.raises(NotThereError):
            call()
    prompt_records.remove_prompt(database, prompt, hana, 20)
    with pytest.raises(NotThereError):
        prompt_records.recover_prompt(database, prompt, duri)
    prompt_records.recover_prompt(database, prompt, None)
    assert changed(database, prompt, None, 1, "관리자") == 2
    share_records.revoke_share(database, share.id, None, 20)


def test_an_old_revision_changes_nothing(database, hana, prompt):
    changed(database, prompt, hana, 1, "첫째")
    for revision in (1, 3):
        with pytest.raises(StaleRevisionError, match=prompt):
            changed(database, prompt, hana, revision, "둘째")
        with pytest.raises(StaleRevisionError):
            version_records.add_version(database, prompt, hana, revision, hana, "", 20)
    assert prompt_records.find_prompt(database, prompt, hana).title == "첫째"


def test_of_writers_at_once_one_writes(database, hana, prompt):
    for revision in range(1, 6):
        titles = [f"{revision} {writer}" for writer in range(4)]
        calls = [lambda t=title: changed(database, prompt, hana, revision, t) for title in titles]
        results = at_once(calls)
        (winner,) = [i for i, result in enumerate(results) if result == revision + 1]
        assert [type(r) for i, r in enumerate(results) if i != winner] == [StaleRevisionError] * 3
        record = prompt_records.find_prompt(database, prompt, hana)
        assert (record.revision, record.title) == (revision + 1, titles[winner])


def test_versions_saved_at_once_have_numbers_of_their_own(database, hana, duri, prompt):
    save = lambda: version_records.add_version(database, prompt, None, 1, duri, "", 20)
    assert sorted(at_once([save] * 6)) == [1, 2, 3, 4, 5, 6]


def test_a_version_stays_as_it_was_saved(database, hana, duri, prompt):
    assert version_records.add_version(database, prompt, hana, 1, hana, "처음", 11) == 1
    changed(database, prompt, hana, 1, "다른 제목")
    assert version_records.add_version(database, prompt, None, 2, duri, "", 21) == 2
    first = version_records.find_version(database, prompt, 1)
    assert (first.title, first.note, first.author_name, first.created) == (
        "후기",
        "처음",
        "하나",
        11,
    )
    assert first.content == json.loads(CONTENT)
    heads = version_records.list_versions(database, prompt)
    assert [(head.number, head.title) for head in heads] == [(2, "다른 제목"), (1, "후기")]
    assert prompt_records.find_prompt(database, prompt, hana).n_versions == 2
    with pytest.raises(NotThereError, match="version 3"):
        version_records.find_version(database, prompt, 3)


def test_a_removed_prompt_is_recovered_with_its_versions_and_links(database, hana, prompt):
    version_records.add_version(database, prompt, hana, 1, hana, "", 11)
    share = share_records.create_share(database, prompt, hana, 1, "read", 12)
    prompt_records.remove_prompt(database, prompt, hana, 20)
    assert prompt_records.list_prompts(database, hana) == []
    for call in (
        lambda: prompt_records.find_prompt(database, prompt, hana),
        lambda: changed(database, prompt, hana, 1, "x"),
        lambda: prompt_records.remove_prompt(database, prompt, hana, 20),
        lambda: version_records.add_version(database, prompt, hana, 1, hana, "", 20),
        lambda: share_records.create_share(database, prompt, hana, 1, "read", 20),
        lambda: share_records.find_shared(database, share.token),
    ):
        with pytest.raises(NotThereError):
            call()
    prompt_records.recover_prompt(database, prompt, hana)
    with pytest.raises(NotThereError):
        prompt_records.recover_prompt(database, prompt, hana)
    assert prompt_records.find_prompt(database, prompt, hana).n_versions == 1
    assert share_records.find_shared(database, share.token)[0] == share


def test_a_person_has_so_many_prompts_and_no_more(database, hana, duri, prompt):
    create = lambda owner: prompt_records.create_prompt(database, owner, "x", CONTENT, 20, 3)
    results = at_once([lambda: create(hana)] * 4)
    assert [type(result) for result in results].count(ConflictError) == 2
    prompt_records.remove_prompt(database, prompt, hana, 21)
    assert create(hana) and create(duri)


def test_a_prompt_has_so_many_versions_and_links(database, hana, prompt):
    save = lambda: version_records.add_version(database, prompt, hana, 1, hana, "", 11, 2)
    share = lambda: share_records.create_share(database, prompt, hana, 1, "read", 12, 2)
    assert [save(), save()] == [1, 2] and share()
    first = share()
    for call in (save, share):
        with pytest.raises(ConflictError):
            call()
    share_records.revoke_share(database, first.id, hana, 13)
    assert share()


def test_a_link_shows_its_version_until_it_is_revoked(database, hana, prompt):
    version_records.add_version(database, prompt, hana, 1, hana, "", 11)
    shares = [
        share_records.create_share(database, prompt, hana, 1, mode, 12) for mode in ("read", "copy")
    ]
    changed(database, prompt, hana, 1, "다른 제목")
    share, version = share_records.find_shared(database, shares[1].token)
    assert share == shares[1] and (version.number, version.title) == (1, "후기")
    assert {share.id for share in share_records.list_shares(database, prompt)} == {
        share.id for share in shares
    }
    share_records.revoke_share(database, share.id, hana, 13)
    assert share_records.list_shares(database, prompt) == shares[:1]
    for token in (share.token, "", "x"):
        with pytest.raises(NotThereError):
            share_records.find_shared(database, token)
    with pytest.raises(NotThereError):
        share_records.revoke_share(database, share.id, hana, 14)
    with pytest.raises(NotThereError, match="version 2"):
        share_records.create_share(database, prompt, hana, 2, "read", 15)


def test_links_of_a_person_who_was_removed_end(database, hana, prompt):
    create_person(database, "관리자", "admin", 9)
    version_records.add_version(database, prompt, hana, 1, hana, "", 11)
    share = share_records.create_share(database, prompt, hana, 1, "read", 12)
    remove_person(database, hana, 13)
    with pytest.raises(NotThereError):
        share_records.find_shared(database, share.token)
