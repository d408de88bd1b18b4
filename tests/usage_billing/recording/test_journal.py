"""Journals: a whole append comes out once and in order, even if the file is cut or damaged."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_billing.recording import journal as journal_module
from usage_billing.recording.journal import (
    HEADER_BYTES,
    SUFFIX,
    SUFFIXES,
    Damage,
    Frame,
    Header,
    Position,
    Reading,
    Writer,
    change_header,
    parse,
    paths,
    waiting,
)

APPENDS = [(b"1",), (b"2" * 40, b"", b"3\n\0"), (b"4",)]


def written(directory: Path, appends: list[tuple[bytes, ...]]) -> bytes:
    """The frames of a journal with these appends."""
    writer = Writer(directory / "box")
    for bodies in appends:
        writer.append(bodies)
    writer.close()
    (path,) = paths(directory / "box")
    content = path.read_bytes()
    path.unlink()
    assert content[:HEADER_BYTES] == Header().encode()
    return content[HEADER_BYTES:]


def is_finished(path: Path) -> bool:
    reading = Reading(path)
    list(reading)
    return reading.is_finished


def make(path: Path, frames: bytes, position: int = 0, taken: int = 0) -> None:
    """A journal of these frames that is drained to a position in them."""
    path.write_bytes(Header(Position(HEADER_BYTES + position, taken)).encode() + frames)


def ends(content: bytes) -> list[int]:
    """Where each frame ends."""
    found, position = [], 0
    while position < len(content):
        mark, _, length = struct.unpack_from("<4sII", content, position)
        assert mark == b"\xf5use"
        position += 12 + length
        found.append(position)
    return found


def bodies(found: Iterable[Frame | Damage]) -> list[tuple[bytes, ...]]:
    return [tuple(piece.entry.bodies) for piece in found if isinstance(piece, Frame)]


def damages(found: Iterable[Frame | Damage]) -> list[Damage]:
    return [piece for piece in found if isinstance(piece, Damage)]


@given(st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=4).map(tuple), min_size=1, max_size=5))
def test_appends_come_out(appends: list[tuple[bytes, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        content = written(Path(directory), appends)
    found, taken = parse(content, finished=False)
    assert bodies(found) == appends
    assert taken == len(content)
    assert damages(found) == []


@pytest.mark.parametrize("finished", [True, False])
def test_cut_anywhere_gives_the_appends_before_the_cut(tmp_path: Path, finished: bool) -> None:
    content = written(tmp_path, APPENDS)
    for cut in range(len(content)):
        whole = sum(end <= cut for end in ends(content))
        found, taken = parse(content[:cut], finished=finished)
        assert bodies(found) == APPENDS[:whole]
        rest = cut - [0, *ends(content)][whole]
        if finished and rest:
            assert damages(found) == [Damage(cut - rest, cut, content[cut - rest : cut], is_cut_short=True)]
        else:
            assert damages(found) == []
        assert taken == (cut if finished else cut - rest)


def test_an_append_comes_out_once_it_is_whole(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    for cut in range(len(content)):
        before, taken = parse(content[:cut], finished=False)
        after, rest = parse(content[taken:], finished=True)
        assert bodies(before) + bodies(after) == APPENDS
        assert taken + rest == len(content)


@pytest.mark.parametrize("finished", [True, False])
def test_a_changed_byte_costs_its_own_append_alone(tmp_path: Path, finished: bool) -> None:
    content = written(tmp_path, APPENDS)
    last = len(APPENDS) - 1
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x55
        found, taken = parse(bytes(changed), finished=finished)
        hit = sum(end <= position for end in ends(content))
        assert bodies(found) == APPENDS[:hit] + APPENDS[hit + 1 :]
        if hit < last or finished:
            start, end = [0, *ends(content)][hit : hit + 2]
            assert [damage[:3] for damage in damages(found)] == [(start, end, bytes(changed[start:end]))]
            assert taken == len(content)
        else:  # it may still be under way
            assert (damages(found), taken) == ([], [0, *ends(content)][last])


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_junk_hides_no_append(before: bytes, after: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        content = written(Path(directory), APPENDS)
    found, taken = parse(before + content + after, finished=True)
    assert bodies(found) == APPENDS
    assert taken == len(before + content + after)
    assert sum(len(damage.content) for damage in damages(found)) == len(before + after)


def test_a_journal_is_finished_when_its_writer_is(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    (path,) = paths(tmp_path / "box")
    assert not is_finished(path)
    writer.close()
    assert is_finished(path)


def test_a_journal_is_finished_when_its_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from usage_billing.recording.journal import Writer\n"
        "writer = Writer(Path(sys.argv[1])); writer.append((b'1',)); print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "box")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (path,) = paths(tmp_path / "box")
        assert not is_finished(path)
        process.send_signal(signal.SIGKILL)
    assert is_finished(path)
    assert bodies(Reading(path)) == [(b"1",)]


def test_a_forked_child_does_not_keep_the_journal_of_its_dead_parent_alive(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from usage_billing.recording.outbox import Outbox\n"
        "box = Outbox(sys.argv[1]); box.append(b'1')\n"
        "if os.fork(): os._exit(0)\n"
        "print('child', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "box")], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"child\n"
        process.wait(30)
        (path,) = paths(tmp_path / "box")
        assert is_finished(path)
        os.killpg(process.pid, signal.SIGKILL)


def test_a_reader_that_takes_a_new_file_for_a_dead_one_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the making of the file and its lock it looks like one whose writer is dead."""
    taken: list[Path] = []
    is_ours = journal_module._is_ours

    def late(file: int, new: str) -> bool:
        if len(taken) < 2:
            taken.append(Path(new))
            if len(taken) == 1:
                with open(new) as reader:  # it holds the lock, and has not removed the file yet
                    fcntl.flock(reader, fcntl.LOCK_EX)
                    return is_ours(file, new)
            assert bodies(Reading(Path(new))) == []
            assert not os.path.exists(new)
        return is_ours(file, new)

    monkeypatch.setattr(journal_module, "_is_ours", late)
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    assert len(taken) == 2
    (path,) = {*paths(tmp_path / "box")} - {*taken}
    assert not is_finished(path)
    assert bodies(Reading(path)) == [(b"1",)]
    writer.close()


@pytest.mark.parametrize("length", range(HEADER_BYTES))
def test_a_journal_whose_writer_died_before_the_header_was_whole_is_removed(tmp_path: Path, length: int) -> None:
    path = tmp_path / f"box.1-ab{SUFFIX}"
    path.write_bytes(Header().encode()[:length])
    with path.open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert list(Reading(path)) == []
        assert waiting(path).events == 0
        assert path.exists()
    assert list(Reading(path)) == []
    assert not path.exists()


@pytest.mark.parametrize("block", [1, 30, 10_000])
def test_a_journal_is_read_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    content = written(tmp_path, APPENDS)
    damaged = content[: ends(content)[0]] + b"damage" + content[ends(content)[0] :] + b"more"
    path = tmp_path / f"box.1-ab{SUFFIX}"
    make(path, damaged)
    monkeypatch.setattr(journal_module, "_FIRST_BYTES", block)
    monkeypatch.setattr(journal_module, "_BLOCK_BYTES", block)
    found = list(Reading(path))
    assert bodies(found) == APPENDS
    assert [damage.content for damage in damages(found)] == [b"damage", b"more"]
    whole = path.read_bytes()
    for piece in found:
        if isinstance(piece, Damage):
            assert whole[piece.start : piece.end] == piece.content
        else:
            assert whole[piece.start :].startswith(b"\xf5use")


def test_the_header_is_changed_while_the_writer_goes_on(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    (path,) = paths(tmp_path / "box")
    (frame,) = Reading(path)
    change_header(path, lambda header: header._replace(position=Position(frame.end)))
    writer.append((b"2",))
    assert bodies(Reading(path)) == [(b"2",)]
    writer.close()


def test_paths_are_those_of_this_outbox(tmp_path: Path) -> None:
    (tmp_path / f"box.1-ab{SUFFIX}").touch()
    (tmp_path / f"other.1-ab{SUFFIX}").touch()
    (tmp_path / "box.1-ab.new").touch()
    (tmp_path / f"box.2-ab{SUFFIXES[1]}").touch()
    (tmp_path / f"box.3-ab{SUFFIX}").symlink_to(tmp_path / f"other.1-ab{SUFFIX}")
    assert paths(tmp_path / "box") == [tmp_path / f"box.1-ab{SUFFIX}", tmp_path / f"box.2-ab{SUFFIXES[1]}"]
    assert paths(tmp_path / "nowhere" / "box") == []


# ── How much waits ───────────────────────────────────────────────────────────────────────────────────────────────


def test_waiting_is_right_wherever_the_journal_is_cut_and_however_far_it_is_drained(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    path = tmp_path / f"box.1-ab{SUFFIX}"
    for cut in range(len(content) + 1):
        for position in (0, *ends(content)):
            make(path, content[:cut], position)
            found = [piece.entry for piece in parse(content[position:cut], finished=False)[0]]  # type: ignore[union-attr]
            expected = sum(len(entry.bodies) for entry in found)
            assert waiting(path)[:2] == (expected, found[0].written_at if found else None)
            assert waiting(path).bytes == max(0, cut - position)


def test_waiting_leaves_out_the_drained_events_of_an_append(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    path = tmp_path / f"box.1-ab{SUFFIX}"
    for taken in range(3):
        make(path, content, ends(content)[0], taken)
        assert waiting(path).events == 4 - taken


@given(st.lists(st.lists(st.binary(max_size=9000), max_size=3).map(tuple), min_size=1, max_size=6), st.data())
def test_waiting_is_right_for_events_of_any_size(appends: list[tuple[bytes, ...]], data: st.DataObject) -> None:
    """Also when the last one is larger than the part of the end that is read first."""
    drained = data.draw(st.integers(0, len(appends)))
    with tempfile.TemporaryDirectory() as directory:
        content = written(Path(directory), appends)
        path = Path(directory, f"box.1-ab{SUFFIX}")
        make(path, content, [0, *ends(content)][drained])
        assert waiting(path).events == sum(map(len, appends[drained:]))


def test_damage_hides_no_waiting_event_after_it(tmp_path: Path) -> None:
    content = written(tmp_path, APPENDS)
    path = tmp_path / f"box.1-ab{SUFFIX}"
    starts = [0, *ends(content)[:-1]]
    for start, events in zip(starts, (4, 5, 4), strict=True):
        changed = bytearray(content)
        changed[start + 20] ^= 0x55
        make(path, bytes(changed))
        # A damaged event in the middle counts until the drain comes to it.
        assert waiting(path).events == events


def test_frames_that_are_written_again_are_counted_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    (gone,) = paths(tmp_path / "box")
    writer.append((b"2", b"3"))
    gone.unlink()
    writer.close()
    (path,) = paths(tmp_path / "box")
    assert waiting(path).events == 3


def test_an_append_that_the_garbage_collector_brings_inside_another_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path / "box")
    writer.append((b"1",))
    encode = journal_module._encode

    def collecting(entry: object) -> bytes:
        monkeypatch.setattr(journal_module, "_encode", encode)
        payload = encode(entry)
        writer.append((b"brought", b"with it"))
        return payload

    monkeypatch.setattr(journal_module, "_encode", collecting)
    writer.append((b"2",))
    (path,) = paths(tmp_path / "box")
    assert 0 <= waiting(path).events <= 4
    writer.append((b"3",))
    assert waiting(path).events == 5
    writer.close()
