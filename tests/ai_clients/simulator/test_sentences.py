"""Texts that look like answers and repeat for the same seed."""

from itertools import pairwise

from ai_clients.simulator import sentences
from ai_clients.simulator.tokens import count


def test_write_repeats_for_the_same_seed_only() -> None:
    first = sentences.write("Which invoices are late?", seed=1, tokens=60)
    assert first == sentences.write("Which invoices are late?", seed=1, tokens=60)
    assert first != sentences.write("Which invoices are late?", seed=2, tokens=60)


def test_write_reaches_the_length_and_names_the_topic() -> None:
    text = sentences.write("Which invoices are late?", seed=1, tokens=60)
    assert 60 <= count(text) < 110
    assert "invoices" in text
    assert text.endswith(".")


def test_write_answers_russian_in_russian() -> None:
    text = sentences.write("Какие счета просрочены?", seed=1, tokens=40)
    assert "просрочены" in text
    assert not any("a" <= letter <= "z" for letter in text.lower())


def test_write_manages_without_a_question() -> None:
    assert "the question" in sentences.write("", seed=1, tokens=1)


def test_cut_keeps_whole_tokens() -> None:
    assert sentences.cut("abcdefghij", tokens=2) == "abcdefgh"


def test_slices_add_up_to_the_text() -> None:
    text = sentences.write("Which invoices are late?", seed=1, tokens=60)
    slices = sentences.slices(text)
    assert "".join(slices) == text
    assert len(slices) > 10
    assert all(len(one) == len(other) for one, other in pairwise(slices[:-1]))
    assert sentences.slices("") == []
