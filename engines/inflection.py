"""Other ways to say a phrase that mean the same: articles, plurals and synonyms.

By rule for every phrase; exceptions and synonyms stand in `words.json`. What is said of a kind
("clownfish") is not the same as what is said of the whole ("fish"), and is not here.
"""

from functools import cache

from sam3_edge.engines.words import known_words

# What an of-phrase or a with-phrase adds after its head noun.
_AFTER_HEAD = frozenset({"of", "with", "in", "on", "for", "at", "without"})
_ARTICLES = ("a ", "an ", "the ")


@cache
def ways_to_say(phrase: str) -> tuple[str, ...]:
    """phrase: in lower case. Without the phrase itself; none for a phrase that has an article."""
    if phrase.startswith(_ARTICLES) or not phrase:
        return ()
    ways: dict[str, None] = {}
    for one in (phrase, *known_words().synonyms.get(phrase, ())):
        many = plurals(one)
        single = (f"{_article(one)} {one}",) if many else ()
        ways.update(dict.fromkeys((one, *single, f"the {one}", *many)))
        ways.update((f"the {plural}", None) for plural in many)
    return tuple(way for way in ways if way != phrase)


def plurals(phrase: str) -> tuple[str, ...]:
    """Of its head noun: "cup of tea" -> "cups of tea". None for what is never counted, or is plural
    already.
    """
    words = phrase.split()
    head = next((i for i, word in enumerate(words) if i and word in _AFTER_HEAD), len(words)) - 1
    irregular = known_words().plurals
    found = irregular.get(phrase, irregular.get(words[head]))
    if found is None:
        found = (_regular(words[head]),)
    elif phrase in irregular:
        return found
    return tuple(" ".join((*words[:head], plural, *words[head + 1 :])) for plural in found)


def _regular(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


def _article(phrase: str) -> str:
    """By the first letter, which is what counts in all but a few words ("umbrella", "hour")."""
    return "an" if phrase[0] in "aeiou" else "a"
