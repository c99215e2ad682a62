from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from voxdata.errors import StatementError
from voxdata.signature import (
    key_id,
    make_private_pem,
    public_of,
    public_pem,
    read_private,
    read_public,
)
from voxdata.statement import (
    Statement,
    decode_envelope,
    encode_envelope,
    find_signer,
    follow_rotations,
    make_rotation,
    open_statement,
    sign_envelope,
    signed_bytes,
    trusted_keys,
    wrap_statement,
)

KEYS = [read_private(make_private_pem(), origin="test") for _ in range(4)]
A, B, C, D = (public_of(key) for key in KEYS)
SAID = Statement(
    subject={"x@1": {"sha256": "ab"}},
    predicate_type="urn:test:1",
    predicate={"n": 1, "名": "值"},
)


def rotation(
    old: int,
    new: int,
    *,
    by: tuple[int, ...],
) -> object:
    made = make_rotation(public_of(KEYS[old]), public_of(KEYS[new]))
    for number in by:
        made = sign_envelope(made, KEYS[number])
    return made


def test_signed_bytes_are_those_of_the_specification() -> None:
    envelope = replace(wrap_statement(SAID), payload=b"hello world")
    assert signed_bytes(envelope) == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.none()))
def test_statement_comes_back_as_it_was_signed(predicate: dict[str, object]) -> None:
    statement = replace(SAID, predicate=predicate)
    envelope = decode_envelope(encode_envelope(sign_envelope(wrap_statement(statement), KEYS[0])))
    assert open_statement(envelope) == statement
    assert find_signer(envelope, [B, A]) == key_id(A)
    assert find_signer(envelope, [B]) == ""
    signer = find_signer(replace(envelope, payload=envelope.payload + b" "), [A])
    assert signer == ""


def test_sign_envelope_twice_by_one_key_gives_one_signature() -> None:
    once = sign_envelope(wrap_statement(SAID), KEYS[0])
    assert sign_envelope(once, KEYS[0]) == once
    both = sign_envelope(once, KEYS[1])
    assert {find_signer(both, [key]) for key in (A, B)} == {key_id(A), key_id(B)}


@pytest.mark.parametrize(
    "row",
    [None, [], {}, {"payloadType": "text/plain", "payload": "", "signatures": []}, "x"],
)
def test_decode_envelope_refuses_what_is_none(row: object) -> None:
    with pytest.raises(StatementError, match="no DSSE envelope"):
        decode_envelope(row)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[]", b'{"_type": "x"}', b"\xff"],
)
def test_open_statement_refuses_what_is_none(payload: bytes) -> None:
    with pytest.raises(StatementError, match="the envelope holds"):
        open_statement(replace(wrap_statement(SAID), payload=payload))


def test_follow_rotations_counts_what_both_keys_signed() -> None:
    steps = [
        rotation(0, 1, by=(0, 1)),
        rotation(1, 2, by=(1,)),
        rotation(1, 3, by=(3,)),
    ]
    assert follow_rotations(A, steps) == (A, B)  # type: ignore[arg-type]
    assert follow_rotations(
        A,
        [
            rotation(0, 1, by=(0, 1)),
            rotation(1, 2, by=(2, 1)),
        ],
    ) == (A, B, C)  # type: ignore[list-item]


def test_trusted_keys_are_those_before_and_after_and_no_cousins() -> None:
    steps = [
        rotation(0, 1, by=(0, 1)),
        rotation(1, 2, by=(1, 2)),
        rotation(0, 3, by=(0, 3)),
    ]
    assert trusted_keys(B, steps) == {A, B, C}  # type: ignore[arg-type]
    assert trusted_keys(D, steps) == {A, D}  # type: ignore[arg-type]
    assert trusted_keys(C, []) == {C}


def test_keys_are_read_back_from_pem() -> None:
    assert read_public(public_pem(A), origin="x") == A
    assert len(key_id(A)) == 64


def test_read_private_refuses_another_kind_of_key_without_quoting_it() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for text in (
        pem,
        "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n",
        "",
        public_pem(A),
    ):
        with pytest.raises(StatementError, match="no Ed25519 private key") as caught:
            read_private(text, origin="key.pem")
        assert caught.value.__cause__ is None
        assert "secret" not in str(caught.value)
