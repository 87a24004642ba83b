"""The smallest possible target for testing repeatable steps: a shelf of things in memory."""

from collections import defaultdict
from dataclasses import replace

from cmlutils.errors import NotFound
from cmlutils.flows.replaying.ensure import ensure
from cmlutils.flows.replaying.kinds import Inventory, Kind
from cmlutils.flows.replaying.steps import Finished, Step
from cmlutils.journal import Journal


class Shelf:
    """Things by id; `trouble` lists, by verb, what its next calls run into; `asked` lists the verbs called.

    A trouble is an exception (the call has no effect), or a pair of it and "after" (raised after the effect), or None.
    Things made or removed show up so in the listing only after it was asked for `slow` times more.
    """

    def __init__(self, path):
        self.path = path
        self.things = {}
        self.shown = {}
        self.asked = []
        self.pauses = []
        self.trouble = defaultdict(list)
        self.slow = 0
        self.found = Finished()
        self.ids = iter(range(7, 99))

    @property
    def journal(self):
        """The journal, read anew from the disk."""
        return Journal(self.path)

    @property
    def writes(self):
        return [verb for verb in self.asked if verb not in {"list", "read"}]

    def put(self, name="a", **more):
        """Make a thing as a person does; return its id."""
        number = next(self.ids)
        self.things[number] = {"id": number, "name": name, "live": False, **more}
        self._show()
        return str(number)

    def _show(self):
        self.shown, self._behind = dict(self.things), 0

    def _call(self, verb, effect):
        self.asked.append(verb)
        met = self.trouble[verb].pop(0) if self.trouble[verb] else None
        if isinstance(met, tuple):
            effect()
            met = met[0]
        if met is not None:
            raise met
        return effect()

    def list(self):
        def effect():
            if self.shown != self.things:
                self._behind += 1
                if self._behind > self.slow:
                    self._show()
            return list(self.shown.values())

        return self._call("list", effect)

    def _change(self, change):
        """Make a change; the listing shows it later if this target is slow."""
        self._behind = 0
        result = change()
        if not self.slow:
            self._show()
        return result

    def create(self, name):
        def change():
            number = next(self.ids)
            self.things[number] = {"id": number, "name": name, "live": True}
            return self.things[number]

        return self._call("create", lambda: self._change(change))

    def finish(self, record, verb="finish"):
        def effect():
            self.things[record["id"]]["live"] = False
            return self.found

        return self._call(verb, effect)

    def read(self, past):
        def effect():
            if int(past.target_id) not in self.things:
                raise NotFound("Not there.", status=404)
            return self.things[int(past.target_id)]

        return self._call("read", effect)

    def remove(self, record):
        self._call("remove", lambda: self._change(lambda: self.things.pop(record["id"], None)))

    def request_stop(self, record):
        def effect():
            if record["id"] not in self.things:
                raise NotFound("Not there.", status=404)
            self.things[record["id"]]["live"] = False

        self._call("request_stop", effect)

    def kind(self, **changes):
        """Return the kind of all these things, like the kinds of workloads."""
        kind = Kind(
            name="thing",
            inventory=Inventory(self.list),
            identity_of=lambda one: (one["name"],),
            read=self.read,
            remove=self.remove,
        )
        return replace(kind, **changes)

    def step(self, name="a", nth=0, **changes):
        """Return a step for one thing of this name, like the steps for workloads."""
        return ShelfStep(self, name, nth, **changes)

    def ensure(self, step=None):
        """Run a step as a new process would, and return the outcome and the record."""
        self.asked.clear()
        self.pauses.clear()
        step = step or self.step()
        step.journal = self.journal
        return ensure(step)


class ShelfStep(Step):
    """A step for one thing of a shelf; `changes` override its methods and attributes."""

    runs_by_itself = True

    def __init__(self, shelf, name, nth, *, kind=None, **changes):
        super().__init__(kind or shelf.kind(), name, f"thing {name} {nth}", (name,), shelf.journal, shelf.pauses.append)
        self.shelf = shelf
        vars(self).update(changes)

    def create(self):
        return self.shelf.create(self.name)

    def finish(self, record):
        return self.shelf.finish(record)

    def again(self, record):
        return self.shelf.finish(record, "again")

    def request_stop(self, record):
        self.shelf.request_stop(record)
