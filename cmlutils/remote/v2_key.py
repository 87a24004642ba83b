"""One short-lived v2 key for a run. It is in the journal from before it is created until it is revoked."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cmlutils import interrupts
from cmlutils import log as logs
from cmlutils.errors import AnswerLost, ApiError, BundleError, NotFound, Rejected, Unreachable
from cmlutils.journal import Journal, JournalEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from cmlutils.remote.routes import Json
    from cmlutils.remote.v1 import ApiV1
    from cmlutils.section import Secret

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=1)
JOURNAL_KEY = "v2 key"
_TRIES = (0.0, 0.5, 1.0)  # seconds to wait before each try to revoke a key
_LATELY = 900.0  # seconds in which a new key of unknown expiry counts as ours
_SECONDS = 6.0  # seconds after which there is no further try


class V2Key:
    """The key of one run on one workspace: created at first use within a `with` block, revoked at its end.

    None is created before an earlier one is revoked. One that can't be revoked is in `left`, and in the journal for the
    next run.

    A key that a crash or a lost answer left behind is revoked. It is known by its id, or because it is the only new one
    that expires as soon as ours do. Keys of runs on other bundles are known from their journals, which `others` finds,
    and are left alone.
    """

    def __init__(
        self,
        v1: ApiV1,
        username: str,
        journal: Journal,
        others: Callable[[Journal], Iterable[Path]] = lambda _: (),
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._v1 = v1
        self._username = username
        self._journal = journal
        self._others = others
        self._now = now
        self._key: Secret | None = None
        self._refusal: Rejected | None = None
        self._where = f"{username} on {v1.http.host}"
        self._stays = self._unsure = ""

    def __enter__(self) -> V2Key:
        self._revoke_left_over(patient=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with interrupts.held():
            self._revoke_left_over()  # in a few short tries
            self._key = None

    @property
    def left(self) -> list[str]:
        """To-dos: the keys that a person has to revoke."""
        return [text for text in (self._stays, self._unsure) if text]

    def get(self) -> Secret:
        """Return the key, which is created if there is none yet; raise Rejected if that is not possible."""
        if self._refusal is not None:
            raise self._refusal
        if self._key is None:
            try:
                self._key = self._make()
            except Rejected as error:
                self._refusal = error
                raise
            logs.hide(self._key.reveal())
        return self._key

    def _make(self) -> Secret:
        """Create it; after a lost answer, revoke what that may have created and try once more."""
        self._make_room()
        try:
            return self._create()
        except AnswerLost as error:
            log.warning("%s Looking for the key that it may have made.", error)
        self._make_room()
        return self._create()

    def _make_room(self) -> None:
        """Revoke an earlier key that is left; raise Rejected if it can't be, or may be a person's."""
        if self._journal.entry(JOURNAL_KEY) is None:
            return
        self._revoke_left_over(patient=True)
        if self.left:
            text = f"No v2 key is made for {self._where} while an earlier one may be left there."
            raise Rejected(text, status=409, hint=" ".join(self.left))

    def _create(self) -> Secret:
        self._journal.begin(JOURNAL_KEY, [str(row["keyid"]) for row in self._rows(patient=True)])
        try:
            key, keyid = self._v1.v2_keys.create(self._username, self._there() + LIFETIME)
        except Rejected:  # a proxy may refuse although the key was created
            self._revoke_left_over(patient=True)
            raise
        if keyid:
            self._journal.made(JOURNAL_KEY, keyid)
        return key

    def _there(self) -> datetime:
        """Return the time by the workspace's clock, which says when a key expires."""
        return self._now() + timedelta(seconds=self._v1.http.ahead)

    def _today(self) -> date:
        return self._there().astimezone(timezone.utc).date()

    def _rows(self, *, patient: bool) -> list[Json]:
        """Return the user's keys that have not expired."""
        rows, today = self._v1.v2_keys.of(self._username, patient=patient), self._today()
        return [row for row in rows if row.get("keyid") and (_day(row, "expiry_date") or today) >= today]

    def _revoke_left_over(self, *, patient: bool = False) -> None:
        """Revoke the key that the journal says is left; what may be somebody else's is only reported, and expires."""
        entry = self._journal.entry(JOURNAL_KEY)
        if entry is None:
            return
        keyid = entry.target_id
        try:
            keyid = keyid or self._orphan(entry, patient=patient)
            why = self._revoke(keyid, patient=patient) if keyid else ""
        except (ApiError, Unreachable) as error:
            why = error.message
        self._stays = ""
        if why:
            named = f"the API key {keyid}" if keyid else "the API key that ends in a day"
            self._stays = f"Revoke {named} of {self._where}, if it is still there: it could not be revoked."
            log.warning("%s The next import tries again: %s", self._stays, why)
        else:
            self._journal.gone(JOURNAL_KEY)

    def _revoke(self, keyid: str, *, patient: bool) -> str:
        """Delete a key, in a few tries, until it is no longer listed; return why it may still be there."""
        why, begun = "", time.monotonic()
        for pause in _TRIES:
            time.sleep(pause)
            try:
                with suppress(NotFound):  # it is gone already, or there is no such route: the list will show
                    self._v1.v2_keys.delete(self._username, keyid, patient=patient)
                if all(str(row["keyid"]) != keyid for row in self._rows(patient=patient)):
                    return ""
                why = "it is still listed"
            except (ApiError, Unreachable) as error:
                why = error.message
            if time.monotonic() - begun > interrupts.at_most(_SECONDS):
                break
        return why

    def _orphan(self, entry: JournalEntry, *, patient: bool) -> str:
        """Return the id of the key that we created although the answer got lost; empty if none is certainly ours.

        If the list does not show when keys expire, one counts as ours only for a while: later it may be a person's.
        """
        new = [row for row in self._rows(patient=patient) if str(row["keyid"]) not in entry.before]
        others = [_key_in(path) for path in self._others(self._journal)] if new else []
        new = [row for row in new if str(row["keyid"]) not in others]
        made = self._key is not None  # then one of these is certainly ours
        if not (made and len(new) == 1):
            new = [row for row in new if _may_be_ours(row, self._today())]
        lately = self._now().timestamp() - entry.begun_at < _LATELY
        if len(new) == 1 and "" not in others and (made or lately or _day(new[0], "expiry_date")):
            return str(new[0]["keyid"])
        if new:
            ids = ", ".join(str(row["keyid"]) for row in new)
            which = "the API key" if len(new) == 1 else "one of the API keys"
            self._unsure = f"Revoke {which} {ids} of {self._where}, if nobody needs it: an import may have left it."
            log.warning("%s It ends by itself in a day.", self._unsure)
        elif made:
            raise ApiError("it is not listed")
        return ""


def _may_be_ours(row: Json, today: date) -> bool:
    """Tell whether a key expires as soon as ours do, or does not show when."""
    made, ends = _day(row, "created_at"), _day(row, "expiry_date")
    return ends is None or (ends <= today + LIFETIME and (made is None or ends - made <= LIFETIME))


def _day(row: Json, name: str) -> date | None:
    """Return a date from a key's row, which may hold a date or a time; None if it holds neither."""
    try:
        return date.fromisoformat(str(row.get(name))[:10])
    except ValueError:
        return None


def _key_in(journal: Path) -> str | None:
    """Return the id of the key that another run holds, empty while it is being created; None if it holds none."""
    try:
        entry = Journal(journal, read_only=True).entry(JOURNAL_KEY)
    except (BundleError, OSError):
        return None
    return entry.target_id if entry else None
