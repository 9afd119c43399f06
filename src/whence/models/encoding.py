"""From an input to token ids tied to characters: texts, pairs, and chat through a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Int

from whence.core.errors import InputError, TextTooLongError
from whence.core.features import Document, Part
from whence.models.protocols import Encoding, Message

__all__ = ["Encoder", "is_messages", "too_long"]


def is_messages(source: object) -> bool:
    """Whether an input has the form of a conversation: mappings with role and content."""
    if isinstance(source, str) or not isinstance(source, Sequence):
        return False
    items = cast("Sequence[object]", source)
    return len(items) > 0 and all(isinstance(item, Mapping) for item in items)


class Encoder:
    """Encodes inputs with one tokenizer, ids exactly as the tokenizer gives them."""

    def __init__(self, tokenizer: Any, *, ref: str, limit: int | None, prompt: str = "") -> None:
        self._tokenizer = tokenizer
        self._ref = ref
        self.limit = limit
        # What the model was trained to read before each text; never perturbed.
        self.prompt = prompt

    def encode(self, source: object) -> Encoding:
        """A text, a pair of texts, or a conversation, as token ids with character offsets.

        Raises:
            InputError: empty, of no known form, or not encodable.
            TextTooLongError: more tokens than the model reads.
        """
        if isinstance(source, str):
            encoding = self._texts({"text": source})
        elif self.prompt:
            raise InputError(
                f"{self._ref} reads one text behind its prompt {self.prompt!r}; got "
                f"{type(source).__name__}"
            )
        elif is_messages(source):
            encoding = self._chat(cast("Sequence[Message]", source))
        elif isinstance(source, tuple) and len(source) == 2:
            first, second = cast("tuple[object, object]", source)
            encoding = self._texts({"first": first, "second": second})
        else:
            raise InputError(
                "expected a text, a pair of texts as a tuple (first, second), or a list of messages "
                f"{{'role': ..., 'content': ...}}; got {type(source).__name__}"
            )
        if self.limit is not None and len(encoding.ids) > self.limit:
            raise too_long(encoding, self.limit, self._ref)
        return encoding

    def _texts(self, texts: Mapping[str, object]) -> Encoding:
        named: dict[str, str] = {}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InputError(f"expected a {name} text, got {type(text).__name__}")
            if not text.strip():
                which = "the text" if name == "text" else f"the {name} text"
                raise InputError(f"{which} is empty; there is nothing to explain")
            named[name] = text
        if self.prompt:
            document = _behind(self.prompt, named["text"])
            return self._encoded(document, [document.text])
        return self._encoded(Document.join(named), list(named.values()))

    def _encoded(self, document: Document, texts: list[str]) -> Encoding:
        document.require_encodable()
        output = self._tokenizer(
            *texts,
            add_special_tokens=True,
            # A text beyond the limit is refused with its length (too_long); a tokenizer told to
            # truncate would cut it without a word, and scores would be missing for its end.
            truncation=False,
            padding=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
        ids = np.array(output["input_ids"], dtype=np.int64)
        offsets = np.array(output["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        sequences = output.sequence_ids(0)
        for index, sequence in enumerate(sequences):
            if sequence is None:
                # A token that the tokenizer adds stands for no characters, whatever span its
                # post-processor gives.
                offsets[index] = 0
            else:
                # The offsets of the second text of a pair begin at 0 again; the document holds both
                # texts.
                offsets[index] += document.parts[sequence].start
        special = np.array(output["special_tokens_mask"], dtype=bool)
        # The tokenizer marks the special tokens that it added. One that stands in the text itself
        # ("[MASK]" in a quoted prompt) is found by its id alone, and is frozen too: the model does
        # not read it as a word.
        frozen = special | np.isin(ids, self._tokenizer.all_special_ids)
        frozen |= np.array([sequence is None for sequence in sequences], dtype=bool)
        if self._tokenizer.unk_token_id is not None:
            # An unknown word is still a word of the text: it can be removed.
            frozen &= special | (ids != self._tokenizer.unk_token_id)
        if self.prompt:
            frozen |= _outside(document, offsets)
        types = output.get("token_type_ids")
        return Encoding(
            document=document,
            ids=ids,
            offsets=offsets,
            frozen=frozen,
            token_types=None if types is None else np.array(types, dtype=np.int64),
        )

    def _chat(self, messages: Sequence[Message]) -> Encoding:
        document = self._render(messages)
        document.require_encodable()
        output = self._tokenizer(
            document.text,
            # The template has written the special tokens already; a second [BOS] before the first
            # is an input that the model never met in training.
            add_special_tokens=False,
            truncation=False,
            padding=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        ids = np.array(output["input_ids"], dtype=np.int64)
        offsets = np.array(output["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        frozen = np.isin(ids, self._tokenizer.all_special_ids) | _outside(document, offsets)
        return Encoding(document=document, ids=ids, offsets=offsets, frozen=frozen)

    def _render(self, messages: Sequence[Message]) -> Document:
        """The template's text, with each turn's content as an open part and the rest frozen."""
        if not getattr(self._tokenizer, "chat_template", None):
            raise InputError(
                f"the tokenizer of {self._ref} has no chat template, so messages cannot be read. "
                "Give the prompt as one text, or set tokenizer.chat_template before loading."
            )
        contents: list[str] = []
        for index, message in enumerate(messages):
            role, content = message.get("role"), message.get("content")
            if not isinstance(role, str) or not isinstance(content, str):
                raise InputError(
                    f"expected text under 'role' and 'content' in message {index}, got "
                    f"{sorted(message)} with content of type {type(content).__name__}"
                )
            contents.append(content)
        if not any(content.strip() for content in contents):
            raise InputError("every message is empty; there is nothing to explain")
        text = self._template(messages)
        spans = self._locate(messages, contents, text)
        parts: list[Part] = []
        position = 0
        for index, (start, end) in enumerate(spans):
            if start > position:
                parts.append(Part(name="template", start=position, end=start, frozen=True))
            parts.append(Part(name=f"{messages[index]['role']} {index}", start=start, end=end))
            position = end
        if position < len(text):
            parts.append(Part(name="template", start=position, end=len(text), frozen=True))
        return Document(text=text, parts=tuple(parts))

    def _template(self, messages: Sequence[Message]) -> str:
        try:
            # add_generation_prompt: the decision is what the model writes after the header of its
            # own turn, so that header is a part of the prompt.
            rendered = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template raises whatever its author wrote
            raise InputError(
                f"the chat template of {self._ref} refuses these messages: {error}"
            ) from error
        return str(rendered)

    def _locate(
        self, messages: Sequence[Message], contents: Sequence[str], text: str
    ) -> list[tuple[int, int]]:
        """The span of each content in the rendered text.

        The same turns are rendered with unique marks as contents, which shows the template's frame.
        Where filling the contents in gives the real text, the spans are certain. A template that
        depends on the contents can defeat that; then contents are searched in reading order.
        """
        # Two characters of the private-use area, which no template writes and few texts hold; a
        # mark that occurs twice is caught in _fill.
        marks = [f"\ue000whence{index}\ue001" for index in range(len(contents))]
        marked = [
            {**message, "content": mark} for message, mark in zip(messages, marks, strict=True)
        ]
        # Many templates trim contents (Llama 3: message["content"] | trim); then the trimmed
        # contents fill the frame.
        for trimmed in (False, True):
            texts = [content.strip() if trimmed else content for content in contents]
            try:
                frame = self._template(marked)
            except InputError:
                break
            filled = _fill(frame, marks, texts)
            if filled is not None and filled[0] == text:
                return filled[1]
        spans: list[tuple[int, int]] = []
        position = 0
        for index, content in enumerate(contents):
            for candidate in (content, content.strip()):
                start = text.find(candidate, position)
                if start >= 0:
                    spans.append((start, start + len(candidate)))
                    position = start + len(candidate)
                    break
            else:
                raise InputError(
                    f"the chat template of {self._ref} does not show the content of message "
                    f"{index} as it is; give the rendered prompt as one text instead"
                )
        return spans


def _behind(prompt: str, text: str) -> Document:
    """A text behind a prompt that is no part of it."""
    size = len(prompt)
    return Document(
        text=prompt + text,
        parts=(
            Part(name="prompt", start=0, end=size, frozen=True),
            Part(name="text", start=size, end=size + len(text)),
        ),
    )


def _outside(
    document: Document, offsets: Int[np.ndarray, "tokens 2"]
) -> Bool[np.ndarray, " tokens"]:
    """Tokens of a prompt or of a template, which are never perturbed."""
    open_character = np.zeros(len(document.text) + 1, dtype=bool)
    for part in document.parts:
        if not part.frozen:
            open_character[part.start : part.end] = True
    blank = np.array([c.isspace() for c in document.text] + [True], dtype=bool)
    outside = np.zeros(len(offsets), dtype=bool)
    for index, (start, end) in enumerate(offsets.tolist()):
        # A token across the border of a turn belongs to the turn and to the template. White
        # space of the template may be part of an open token, since byte-level tokenizers put
        # the space before a word into the word; any other character of the template freezes it.
        inside = open_character[start:end]
        glue = ~inside & ~blank[start:end]
        outside[index] = not inside.any() or bool(glue.any())
    return outside


def _fill(
    frame: str, marks: Sequence[str], texts: Sequence[str]
) -> tuple[str, list[tuple[int, int]]] | None:
    """The frame with its marks replaced in order, and the span of each text."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = length = 0
    for mark, text in zip(marks, texts, strict=True):
        start = frame.find(mark, position)
        # A template that shows a content twice gives it no single span; the contents are then
        # searched.
        if start < 0 or frame.count(mark) != 1:
            return None
        pieces += [frame[position:start], text]
        length += start - position
        spans.append((length, length + len(text)))
        length += len(text)
        position = start + len(mark)
    pieces.append(frame[position:])
    return "".join(pieces), spans


def too_long(
    encoding: Encoding, limit: int, ref: str, *, extra: int = 0, what: str = "the text"
) -> TextTooLongError:
    """The error for an input of too many tokens, with passages of it that would fit."""
    total = len(encoding.ids) + extra
    # Each passage is read with the special tokens, and with the continuation, again.
    overhead = int(encoding.frozen.sum()) + extra
    passages = _passages(encoding, limit - overhead) if limit > overhead else ()
    listing = ", ".join(f"{start}-{end}" for start, end in passages[:6])
    more = f" and {len(passages) - 6} more" if len(passages) > 6 else ""
    offer = (
        f" It would fit in {len(passages)} passages, characters {listing}{more} "
        "(in the error's .passages); explain them one by one, or shorten the text."
        if passages
        else " Shorten it."
    )
    return TextTooLongError(
        f"{what} has {total:,} tokens ({len(encoding.document.text):,} characters); {ref} reads "
        f"at most {limit:,}. Nothing is cut silently.{offer}",
        length=total,
        limit=limit,
        passages=passages,
    )


def _passages(encoding: Encoding, room: int) -> tuple[tuple[int, int], ...]:
    """Consecutive spans of at most ``room`` tokens, cut after white space where there is any."""
    text = encoding.document.text
    # A text that begins elsewhere can be tokenised otherwise at its ends, so two tokens and one in 32
    # are left free. Chosen by hand; not calibrated.
    room = max(1, room - 2 - room // 32)
    tokens = [
        (int(start), int(end))
        for (start, end), frozen in zip(encoding.offsets, encoding.frozen, strict=True)
        if not frozen
    ]
    # A cut may stand where a word starts: the token begins with, or follows, white space.
    cuts = [0]
    first = 0
    while len(tokens) - first > room:
        # At most half a passage is given up to end it at a word; white space further back would
        # leave passages of few tokens.
        candidates = range(first + room, first + room // 2, -1)
        best = next((i for i in candidates if _starts_word(text, tokens[i][0])), first + room)
        cuts.append(max(cuts[-1] + 1, tokens[best][0]))
        first = best
    cuts.append(len(text))
    return tuple((a, b) for a, b in pairwise(cuts) if b > a)


def _starts_word(text: str, position: int) -> bool:
    return text[position : position + 1].isspace() or text[position - 1 : position].isspace()
