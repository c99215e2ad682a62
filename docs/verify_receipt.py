"""Check a receipt of erasure without voxdata: python verify_receipt.py RECEIPT.json --key PUBLIC.pem [--root VERSION.json]

It needs Python 3.9 and the package `cryptography`. PUBLIC.pem is the key that you got from whoever issued the receipt, by another way
than the receipt; VERSION.json a signed root that you know, such as the newest. Exit code 0: the receipt holds; 1: it does not.
"""

import argparse
import base64
import hashlib
import json
import sys
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

STATEMENT, PAYLOAD = "https://in-toto.io/Statement/v1", "application/vnd.in-toto+json"
KIND, ROOT = "urn:voxdata:", "voxdata-version/2"


class Refused(Exception):
    """The receipt does not hold; the message says why."""


def require(true, why):
    """Go on only when something is so."""
    if not true:
        raise Refused(why)


def signed_by(envelope, key):
    """Whether a raw public key signed a DSSE envelope."""
    body = base64.b64decode(envelope["payload"], validate=True)
    content = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(body), body)
    for signature in envelope["signatures"]:
        with suppress(InvalidSignature, ValueError):
            Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signature["sig"]), content)
            return True
    return False


def read_statement(envelope, keys, kind, what):
    """The in-toto statement in an envelope that one of the keys signed."""
    require(envelope["payloadType"] == PAYLOAD, f"{what} is no envelope of an in-toto statement")
    require(any(signed_by(envelope, key) for key in keys), f"{what} is not signed by the key, or was changed since")
    statement = json.loads(base64.b64decode(envelope["payload"]))
    require(statement["_type"] == STATEMENT and statement["predicateType"] == KIND + kind, f"{what} says something else")
    return statement


def follow(known, envelopes):
    """The known key, those after it, and those before it: each exchange is signed by both keys."""
    steps = []
    for envelope in envelopes:
        said = json.loads(base64.b64decode(envelope["payload"]))
        require(said["predicateType"] == KIND + "key-rotation:1", "a statement about keys says something else")
        old, new = (bytes.fromhex(said["predicate"][name]) for name in ("old", "new"))
        if signed_by(envelope, old) and signed_by(envelope, new):
            steps.append((old, new))
    after, before = {known}, {known}
    for _ in steps:
        after |= {new for old, new in steps if old in after}
        before |= {old for old, new in steps if new in before}
    return after | before


def find_held(leaves, proof, root, what):
    """Compute the root from a proof. Returns those of the leaves that are in the version."""
    buckets, opened, digests = proof["buckets"], {}, []
    for number in range(4096):
        name = f"{number:03x}"
        text = proof["opened"].get(name, "")
        there = [text[i : i + 32] for i in range(0, len(text), 32)]
        plain = len(text) % 32 == 0 and bytes.fromhex(text).hex() == text  # in capitals a leaf would not be found
        fits = plain and there == sorted(there) and all(leaf.startswith(name) for leaf in there)
        require(fits, f"bucket {name} of {what} is cut short, not sorted, or holds what belongs elsewhere")
        if there or name not in buckets:
            opened[name] = there
        digests.append(hashlib.sha256(bytes.fromhex(text)).hexdigest() if name in opened else buckets[name])
        require(len(digests[-1]) == 64, f"the digest of bucket {name} of {what} is cut short")
    computed = hashlib.sha256(ROOT.encode() + b"\n" + bytes.fromhex("".join(digests))).hexdigest()
    require(computed == root, f"the proof gives root {computed[:16]} for {what}, not {root[:16]}")
    require(all(leaf[:3] in opened for leaf in leaves), f"the proof for {what} leaves out the bucket of a leaf")
    return {leaf for leaf in leaves if leaf in opened[leaf[:3]]}


def check(receipt, known, given):
    """Check everything. Returns what is proven and what is only said, a line each."""
    keys = follow(known, receipt["keys"])
    said = read_statement(receipt["receipt"], keys, "erasure-receipt:1", "the receipt")["predicate"]
    roots = {}
    for envelope in receipt["versions"]:
        roots |= {s["name"]: s["digest"][ROOT] for s in read_statement(envelope, keys, "dataset-version:1", "a root")["subject"]}
    leaves, lines = set(), []
    for row in said["versions"]:
        ref, root = row["ref"], row["root"]
        require(roots.get(ref) == root, f"the receipt names another root for {ref} than the one signed")
        held = find_held(row["leaves"], receipt["proofs"][root], root, ref)
        require(held == set(row["leaves"]), f"a leaf that the receipt names is not in {ref}")
        leaves |= held
        lines.append(f"PROVEN: the {len(row['leaves'])} leaves named of {ref} are in its signed root {root[:16]}")
    require(len(leaves) == said["num_leaves"], f"the receipt counts {said['num_leaves']} leaves and names {len(leaves)}")
    for row in said["now"]:
        ref, root = row["newest"], row["root"]
        require(roots.get(ref) == root, f"the receipt names another root for {ref} than the one signed")
        held, absent = len(find_held(leaves, receipt["proofs"][root], root, ref)), row["status"] == "absent"
        fits = held == 0 if absent else held + said["num_unnamed"] > 0
        require(fits, f"{ref} holds {held} of the leaves, and the receipt says {row['status']}")
        proven = f"PROVEN: none of them is in the signed root {root[:16]} of {ref}, made {row['created_at']}"
        lines.append(proven if absent else f"NOT YET: {ref} was the newest of {row['dataset']} and still lists {held} of them")
    if given is not None:
        subject = read_statement(given, keys, "dataset-version:1", "the root you gave")["subject"][0]
        mine = next((row for row in said["now"] if row["newest"] == subject["name"]), None)
        require(mine is not None, f"the receipt does not speak of {subject['name']}; ask for one that does")
        require(mine["root"] == subject["digest"][ROOT], f"{subject['name']} has another root than the one you gave")
        lines.append(f"PROVEN: that is the root of {subject['name']} that you gave")
    lines.append(f"SAID: receipt {said['receipt_id']}, forgotten {said['forgotten_at']}, issued {said['issued_at']}")
    lines.append(f"SAID: a search through everything that found nothing left of it ended: {said['proven_at'] or 'none yet'}")
    lines.append("SAID: rows erased by table: " + ", ".join(f"{name} {count}" for name, count in sorted(said["counts"].items())))
    if said["num_unnamed"]:
        lines.append(f"SAID: of {said['num_unnamed']} rows it is not known which leaves they left")
    for model in said["models"]:
        again = f"trained again on {model['retrained']['version']}" if model["retrained"] else "not trained again"
        lines.append(f"SAID: model {model['training_id']} heard them, {'' if model['in_use'] else 'not '}in use; {again}")
    return [*lines, *(f"SAID: {line}" for line in said["stated"])]


def main():
    """Run the command line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    try:
        known = load_pem_public_key(options.key.read_bytes()).public_bytes(Encoding.Raw, PublicFormat.Raw)
        receipt, given = (json.loads(path.read_text("utf-8")) if path else None for path in (options.receipt, options.root))
        lines = check(receipt, known, given)
    except (Refused, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"REFUSED: {error if isinstance(error, Refused) else repr(error)}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
