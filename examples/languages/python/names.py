"""Puts names of people in order, whatever script or accents they are written in."""

import unicodedata
from collections import defaultdict

NAMES = ["Zoë", "émile", "Åsa", "Ελένη", "ольга", "Emil", "李雷", "zoe\u0308", "José", "Jose\u0301"]


def key(name):
    """Without accents and case, so that Åsa stands by Asa."""
    parts = unicodedata.normalize("NFD", name.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


def initials(names):
    groups = defaultdict(list)
    for name in sorted(names, key=lambda name: (key(name), name)):
        groups[key(name)[0].upper()].append(name)
    return groups


unique = {unicodedata.normalize("NFC", name).title() for name in NAMES}
print(f"{len(NAMES)} names, {len(unique)} different ones")
for initial, names in initials(unique).items():
    script = unicodedata.name(initial).split()[0].lower()
    print(f"{initial} ({script}): {', '.join(names)}")
