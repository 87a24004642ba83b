"""One short-lived v2 key a run: in the journal before it is made, until it is revoked."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cmlutils import log as logs
from cmlutils.errors import AnswerLost, ApiError, BundleError, NotFound, Rejected, Unreachable
from cmlutils.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cmlutils.config import Secret
    from cmlutils.remote.v1 import ApiV1

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=1)
JOURNAL_KEY = "v2 key"


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class V2Key:
    """The key of one run on one workspace; made at first use.

    A key that a crash or a lost answer left behind is revoked, by its id or because it is the one that is new. Keys
    that runs of other bundles made are known from their journals, which `others` finds, and left alone.
    """

    def __init__(
        self,
        v1: ApiV1,
        username: str,
        journal: Journal,
        others: Callable[[Journal], Iterable[Path]] = lambda _: (),
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._v1 = v1
        self._username = username
        self._journal = journal
        self._others = others
        self._now = now
        self._key: Secret | None = None
        self._refusal: Rejected | None = None

    def get(self) -> Secret:
        """Return the key, made now if there is none yet; raise Rejected when the workspace makes none."""
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
        before = self._ids()
        self._journal.begin(JOURNAL_KEY, before)
        try:
            return self._create()
        except Rejected:
            self._journal.gone(JOURNAL_KEY)
            raise
        except AnswerLost as error:
            log.warning("%s Looking for the key that it may have made.", error)
        self.revoke_left_over(patient=True)
        self._journal.begin(JOURNAL_KEY, self._ids())
        return self._create()

    def _create(self) -> Secret:
        key, keyid = self._v1.v2_keys.create(self._username, self._now() + LIFETIME)
        self._journal.made(JOURNAL_KEY, keyid)
        return key

    def _ids(self) -> list[str]:
        return [str(row["keyid"]) for row in self._v1.v2_keys.of(self._username) if row.get("keyid")]

    def revoke_left_over(self, *, patient: bool = False) -> None:
        """Revoke what the journal says is left; what could be another run's key is named and ends by itself."""
        step = self._journal.step(JOURNAL_KEY)
        if step is None:
            return
        keyid = step.target_id
        try:
            if not keyid:
                keyid = self._orphan(set(step.before))
            if keyid:
                self._v1.v2_keys.delete(self._username, keyid, patient=patient)
        except NotFound:
            log.debug("the v2 key is gone already")
        except (ApiError, Unreachable) as error:
            log.warning(
                "the v2 key with the id %s could not be revoked on %s: the next import tries again, and it ends by "
                "itself in a day: %s",
                keyid or "(unknown)",
                self._v1.http.host,
                error,
            )
            return
        self._journal.gone(JOURNAL_KEY)

    def _orphan(self, before: set[str]) -> str:
        """Return the id of the key whose answer got lost; empty when there is none, or more than one it could be."""
        new = [one for one in self._ids() if one not in before]
        others = [_key_in(path) for path in self._others(self._journal)] if new else []
        new = [one for one in new if one not in others]
        if len(new) == 1 and "" not in others:
            return new[0]
        if new:
            told = ", ".join(new)
            log.warning("one of these v2 keys may be left by an interrupted run; it ends by itself in a day: %s", told)
        return ""

    def close(self) -> None:
        """Revoke the key in one short try; what fails stays in the journal for the next run."""
        if self._key is not None:
            self._key = None
            self.revoke_left_over()


def _key_in(journal: Path) -> str | None:
    """Return the id of the key that another run holds, empty while it is being made; None where it holds none."""
    try:
        step = Journal(journal, read_only=True).step(JOURNAL_KEY)
    except (BundleError, OSError):
        return None
    return step.target_id if step else None
