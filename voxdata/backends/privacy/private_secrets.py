"""Passwords, user names and handles that somebody says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voxdata.backends.privacy.private_part import mark_private
from voxdata.ports import PrivateText

_SAID = r"(?:[^\W_][\w'’@#$%&*+-]{0,40}+|[*#$%&@])"
_PLAIN_WORD = (
    r"(?:a|an|the|my|your|his|her|their|our|not|never|no|wrong|incorrect|correct|invalid|valid"
    r"|required|expired|expiring|too|now"
    r"|being|been|case|secret|same|still|working|right|missing|empty|needed|always|about|to|set"
    r"|reset|changed|protected|what"
    r"|that|which|important|different|longer|shorter|at|in|on|stored|sent|blocked|locked|hidden"
    r"|weak|strong|safe|secure|good"
    r"|bad|fine|okay|ok|all|also|only|just|used|unknown|available|taken|accepted|rejected|optional"
    r"|enough|hard|easy|something"
    r"|this|it|so|very|up|out|off|for|from|displayed|saved|encrypted|and|or|because|usually"
    r"|case-sensitive|gone|lost|forgotten"
    r"|falsch|leider|sehr|schon|noch|doch|nicht|richtig|abgelaufen|zu|der|die|das|dein|ihr|mein"
    r"|gesperrt|incorrecte?|erroné|faux|le|la|un|une|trop|expiré|pas"
    r"|incorrecta|correcta|errónea|el|una|muy|demasiado|no)"
)
_PASSWORDS = re.compile(
    r"(?i:(?<!\w)(?:pass ?word|pass ?code|pass ?phrase|secret word|security (?:answer|word)"
    r"|passwort|kennwort"
    r"|mot de passe|contraseña|clave|palavra-passe|senha)"
    r"(?:(?: for \w{1,20}(?: \w{1,20})?)? (?:is|was|would be|will be|ist|lautet|est|es|é)"
    r"(?:,? (?:like|um|uh))?|:|'s|’s),?:? "
    rf"(?!{_PLAIN_WORD}(?![\w'’]))"
    rf"(?P<said>{_SAID}(?:[ -](?!(?:and|but|so|or|because|please|thanks|for|with|und|aber|bitte|et"
    rf"|mais|y|pero)(?!\w)){_SAID}){{0,5}}))"
)
_PASSWORD_CN = re.compile(r"密码(?:是|为|：|:)\s{0,3}(?P<said>[A-Za-z0-9@#$%&*_-]{3,30}+)")
_PLACES = (
    "instagram|insta|twitter|tik ?tok|telegram|skype|snap ?chat|discord|github|facebook|linkedin"
    "|reddit"
    "|youtube|twitch|whats ?app|we ?chat|signal|gamer ?tag|x box|xbox"
)
_NAME_FOR = (
    r"user ?name|user ?id|screen ?name|nick ?name|log ?-?in(?: name)?|handle|alias"
    r"|benutzername|nutzername|nom d['’]utilisateur|identifiant|pseudo|nombre de usuario|mi usuario"
)
_LINK = r"(?:,? (?:is|was|ist|lautet|est|es|would be)|:|'s|’s),?:? (?:at |@ ?)?"
_USER_NAMES = re.compile(
    rf"(?i:(?<!\w)(?:{_NAME_FOR}|(?:my|mein|mon|mi) "
    rf"(?:{_PLACES})(?: (?:{_NAME_FOR}|name|account|id))?){_LINK}"
    rf"(?!{_PLAIN_WORD}(?![\w'’]))"
    rf"(?P<said>[\w.]{{2,40}}+(?: (?:underscore|under "
    r"score|dash|hyphen|dot|unterstrich|tiret(?: bas)?|guion(?: bajo)?"
    rf"|guión(?: bajo)?|punkt|punto) ?[\w.]{{1,40}}+){{0,5}}(?: \d{{1,6}}(?!\d))?))"
)
_WRITTEN_HANDLE = re.compile(
    r"(?<![\w.@-])@(?=[\w.]{0,30}[A-Za-z])[A-Za-z0-9_](?:\.?[A-Za-z0-9_]){1,30}+(?![@\w])"
)
_ON_PLATFORM = re.compile(
    rf"(?i:(?<!\w)on (?:{_PLACES})(?: (?:at|as|under) | ?@ ?)"
    rf"(?P<said>\w{{2,40}}+(?: (?:underscore|dash|dot) \w{{1,40}}+){{0,5}}))"
)
_UNDERSCORED = re.compile(
    r"(?i:(?<!\w)(?P<at>at |@ ?)?(?P<said>\w{1,40}"
    r"(?: (?:underscore|under score|unterstrich|tiret bas|guion bajo|guión bajo) \w{1,40}+){1,5}))"
)
_ABOUT_USERS = re.compile(
    rf"(?i:{_NAME_FOR}|{_PLACES}|account|profile|follow|message me|find me|konto|compte|cuenta"
    r"|usuario|log in)"
)
_NAME_CN = re.compile(
    r"(?:用户名|账号|帐号|微信号?|抖音号?|微博|推特|昵称)(?:是|叫|为|：|:)?\s{0,3}(?P<said>[A-Za-z][A-Za-z0-9_-]{2,30}+)"
)
_LOOK_BACK = 48


def find_secrets(text: str) -> Iterator[PrivateText]:
    """Passwords after their word, user names after theirs, and handles: "at jane underscore doe",
    "@jane_doe".
    """
    for pattern, kind in (
        (_PASSWORDS, "password"),
        (_PASSWORD_CN, "password"),
        (_USER_NAMES, "username"),
        (_ON_PLATFORM, "username"),
        (_NAME_CN, "username"),
    ):
        for match in pattern.finditer(text):
            yield mark_private(kind, match.span("said"), 0.8)
    for match in _WRITTEN_HANDLE.finditer(text):
        yield mark_private("username", match.span(), 0.6)
    for match in _UNDERSCORED.finditer(text):
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
        if match["at"] or _ABOUT_USERS.search(before):
            yield mark_private("username", match.span("said"), 0.7)
