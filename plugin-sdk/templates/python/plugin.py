"""Tags VMs that have stopped, and counts how often."""

from enum import Enum

from xapiary import Change, Event, calls, log, on, settings, store


class Step(Enum):
    """What to do about a VM."""

    NOTHING = "nothing"
    TAG = "tag"
    UNTAG = "untag"


def decide(was: str, now: str, tagged: bool) -> Step:
    """Plain data in, a decision out: this part is tested without a pool."""
    if (was, now) == ("Running", "Halted") and not tagged:
        return Step.TAG
    if now == "Running" and tagged:
        return Step.UNTAG
    return Step.NOTHING


@on("power")
def power(event: Event, change: Change) -> None:
    """A VM has another power state than before."""
    vm, tag = change.new, settings.get("tag")
    match decide(change.old["power_state"], vm["power_state"], tag in vm["tags"]):
        case Step.TAG:
            calls.call("VM.add_tags", vm, tag)
            key = f"stops/{vm.uuid}"
            stops = store.get_json(key, 0) + 1
            store.set_json(key, stops)
            log.info(f"{vm['name_label']} has stopped", vm=vm.uuid, stops=stops)
        case Step.UNTAG:
            calls.call("VM.remove_tags", vm, tag)
