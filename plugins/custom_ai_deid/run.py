"""De-identifies many files into a folder, as fast as the machine allows, and never half."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from custom_ai.errors import CustomAIError
from custom_ai_deid.deidentify import Deidentifier
from custom_ai_deid.journal import REPORT, TABLE, Journal, Line, report, settings_of, table

Source = tuple[str, Callable[[], bytes]]
"""The name of an image (a relative path with slashes) and what reads it."""
AHEAD = 4
"""Images that are worked on at the same time, per worker; bounds the memory."""


def deidentify_into(
    sources: Iterable[Source],
    out: Path,
    deidentifier: Deidentifier,
    *,
    workers: int = 2,
    told: Callable[[Line], None] = lambda line: None,
    text: Callable[[CustomAIError], str] = str,
) -> list[Line]:
    """Write a de-identified file for every source, and the report; returns the lines, in the order of the sources.

    What cannot be de-identified for sure is not written, and its line says why. What an earlier run into the same
    folder has done, with the same settings and of the same content, is not done again.
    text: errors in the reader's language.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings = settings_of(deidentifier)
    journal = Journal(out, settings)
    names = []

    def work(source: Source) -> Line:
        name, read = source
        try:
            data = read()
        except CustomAIError as error:
            return Line(name, "", reason=text(error))
        except OSError as error:
            return Line(name, "", reason=error.strerror or str(error))
        before = hashlib.sha256(data).hexdigest()
        target = out / PurePosixPath(name)
        known = journal.done(name, before)
        if known and target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == known.sha256_after:
            return known
        target.unlink(missing_ok=True)  # of an earlier run; if this one fails nothing shall lie there
        try:
            done = deidentifier.process(data, name)
        except CustomAIError as error:
            return Line(name, before, reason=text(error))
        _write(target, done.data)
        return Line.of(done)

    for line in _in_order(work, sources, workers):
        if journal.done(line.name, line.sha256_before) != line:
            journal.add(line)
        names.append(line.name)
        told(line)
    lines = journal.of(names)
    _write(out / REPORT, json.dumps(report(lines, settings), ensure_ascii=False, indent=1).encode())
    _write(out / TABLE, table(lines).encode("utf-8-sig"))
    return lines


def _in_order(work: Callable[[Source], Line], sources: Iterable[Source], workers: int) -> Iterator[Line]:
    with ThreadPoolExecutor(workers, thread_name_prefix="deidentify") as pool:
        under_way: deque[Future[Line]] = deque()
        try:
            for source in sources:
                under_way.append(pool.submit(work, source))
                if len(under_way) >= workers * AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for one in under_way:
                one.cancel()


def _write(path: Path, data: bytes) -> None:
    """All or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
