"""The log: JSON lines on standard error, without values.

Exceptions are logged by type and place, never by their text. Of libraries' own records
only the template is logged, not its arguments: drivers like to quote parameters.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from json import JSONEncoder

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from vault.telemetry.log_repeats import RepeatFilter

__all__ = ["configure_logging", "first_failure_logged", "frames_of", "get_log"]

_OURS = "vault"
# One for all lines: json.dumps makes one for each. Objects of other types by their repr.
_JSON = JSONEncoder(default=repr)


def get_log(name: str) -> FilteringBoundLogger:
    """Returns a logger of the server."""
    log: FilteringBoundLogger = structlog.get_logger(name)
    return log


def configure_logging(level: str, *, worker: int | None = None) -> None:
    """Sends structlog's and the standard library's records to standard error as JSON.

    Args:
        worker: this process's number among the workers, which every record then names.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: Sequence[Processor] = (
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_exception_text,
        *([_naming(worker)] if worker is not None else []),
    )
    structlog.configure(
        processors=[RepeatFilter(), *shared, _render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Writes a line with its end at once: workers share standard error.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LibraryFormatter(shared))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.WARNING))
    logging.getLogger(_OURS).setLevel(number)


def _render(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    return _JSON.encode(event)


def _naming(worker: int) -> Processor:
    def name(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        event["worker"] = worker
        return event

    return name


def drop_exception_text(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Replaces ``exc_info`` by the exception's type and frames."""
    given = event.pop("exc_info", None)
    error = sys.exception() if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["frames"] = frames_of(error)
    return event


def frames_of(error: BaseException) -> list[str]:
    """Returns where an exception came from, innermost last, without any text of its own."""
    return [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


def first_failure_logged(log: FilteringBoundLogger, event: str) -> Callable[[Exception, int], None]:
    """Returns a periodic task's ``failed`` that logs the first of failures in a row."""

    def failed(error: Exception, failures: int) -> None:
        if failures == 1:
            log.error(event, error=type(error).__name__, frames=frames_of(error))

    return failed


class _LibraryFormatter(logging.Formatter):
    """Renders a standard record as one JSON line."""

    def __init__(self, processors: Sequence[Processor]) -> None:
        super().__init__()
        self._processors = processors

    def format(self, record: logging.LogRecord) -> str:
        """Renders the record; of a library's record only the template."""
        ours = record.name == _OURS or record.name.startswith(f"{_OURS}.")
        event: EventDict = {
            "event": record.getMessage() if ours else str(record.msg),
            "logger": record.name,
            "exc_info": record.exc_info,
        }
        level = record.levelname.lower()
        for process in self._processors:
            processed = process(None, level, event)
            event = dict(processed) if isinstance(processed, Mapping) else event
        return _JSON.encode(event)
