"""The sentences of the synthetic corpus: about 270 common words in loose templates.

15 % of the clauses are random words, so that a model cannot guess its way: it must
listen. Words that sound like others (two and to, four and for) keep one spelling only.
"""

from __future__ import annotations

from random import Random

DIGITS = "zero one two three four five six seven eight nine".split()
NUMBERS = DIGITS[2:] + "ten eleven twelve thirteen fourteen fifteen twenty thirty".split()
DETERMINERS = "the this that every my your his her our another".split()
NAMES = (
    "anna robert susan thomas emma oliver george maria peter helen victor laura martin julia henry"
).split()
NOUNS = (
    "rabbit river mountain garden window teacher doctor farmer soldier painter singer "
    "driver baker pilot sister brother horse monkey spider dragon turtle dog cat castle "
    "bridge village city island forest market tower kitchen basket blanket pocket ticket "
    "letter picture mirror candle ladder hammer needle button bottle table engine apple "
    "orange potato pepper sugar butter cheese bread water winter summer thunder shadow "
    "music paper silver captain camera doorway evening holiday hospital library"
).split()
PLURALS = (
    "rabbits rivers gardens windows horses monkeys dragons candles ladders buttons bottles "
    "apples letters pictures tickets baskets villages islands"
).split()
ADJECTIVES = (
    "yellow purple quiet heavy simple little clever gentle hungry angry happy lonely "
    "famous golden wooden broken careful lucky dusty frozen"
).split()
VERBS = (
    "painted followed carried opened covered counted described entered ignored invited "
    "joined lifted noticed offered believed remembered visited watched needed wanted "
    "forgot found gathered hunted liked loved moved pushed reached washed"
).split()
BASE_VERBS = "follow carry open cover count describe invite visit watch remember".split()
INTRANSITIVES = "waited listened laughed vanished traveled returned slept danced".split()
ADVERBS = (
    "quickly slowly loudly quietly often always never nearly again together alone perhaps "
    "suddenly gladly"
).split()
PREPOSITIONS = (
    "behind under above near beside across inside outside against without before after "
    "toward beyond between around"
).split()
TIMES = "today yesterday tomorrow tonight".split()
NEGATIONS = "didn't couldn't wouldn't won't".split()
OPENERS = "it's that's".split()
INVITATIONS = "let's we'll they'll".split()
CONNECTORS = "and but because while until although".split()

WORDS = sorted(
    {
        *DIGITS, *NUMBERS, *DETERMINERS, *NAMES, *NOUNS, *PLURALS, *ADJECTIVES, *VERBS,
        *BASE_VERBS, *INTRANSITIVES, *ADVERBS, *PREPOSITIONS, *TIMES, *NEGATIONS, *OPENERS,
        *INVITATIONS, *CONNECTORS,
    }
)  # fmt: skip


def _noun_phrase(random: Random) -> list[str]:
    kind = random.random()
    if kind < 0.2:
        return [random.choice(NAMES)]
    if kind < 0.3:
        return [random.choice(NUMBERS), random.choice(PLURALS)]
    adjective = [random.choice(ADJECTIVES)] if random.random() < 0.35 else []
    return [random.choice(DETERMINERS), *adjective, random.choice(NOUNS)]


def _place(random: Random) -> list[str]:
    return [random.choice(PREPOSITIONS), *_noun_phrase(random)]


def clause(random: Random) -> list[str]:
    """One clause of 2 to 12 words."""
    kind = random.random()
    if kind < 0.15:
        return [random.choice(WORDS) for _ in range(random.randint(2, 9))]
    if kind < 0.20:
        return [random.choice(DIGITS) for _ in range(random.randint(3, 8))]
    if kind < 0.27:
        return [random.choice(OPENERS), *_noun_phrase(random), *_place(random)]
    if kind < 0.34:
        return [random.choice(INVITATIONS), random.choice(BASE_VERBS), *_noun_phrase(random)]
    if kind < 0.42:
        words = [*_noun_phrase(random), random.choice(NEGATIONS), random.choice(BASE_VERBS)]
        return [*words, *_noun_phrase(random)]
    if kind < 0.52:
        return [*_noun_phrase(random), random.choice(INTRANSITIVES), *_place(random)]
    words = [*_noun_phrase(random), random.choice(VERBS), *_noun_phrase(random)]
    if random.random() < 0.45:
        words += _place(random)
    if random.random() < 0.25:
        words.append(random.choice(ADVERBS))
    if random.random() < 0.20:
        words.append(random.choice(TIMES))
    return words


def sentence(random: Random, clauses: int = 1) -> str:
    """`clauses` clauses, joined by a connector (or nothing, one time in four)."""
    words = clause(random)
    for _ in range(clauses - 1):
        if random.random() < 0.75:
            words.append(random.choice(CONNECTORS))
        words += clause(random)
    return " ".join(words)
