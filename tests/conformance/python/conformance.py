"""Works a simulated pool with the package XenAPI and checks what it sees.

Usage: conformance.py HTTP_URL HTTPS_URL SOCKET_PATH PASSWORD, against `xapiary simulate --members --speed 40`.
Prints one line for each check; ends with 1 when one failed.
"""

import http.client
import sys
import time
import traceback
import xmlrpc.client

import XenAPI

import dump

HTTP, HTTPS, SOCKET, PASSWORD = sys.argv[1:5]
CLASSES = ["pool", "host", "VM", "VBD", "VDI", "VIF", "SR", "PBD", "network", "PIF", "VM_guest_metrics", "VM_metrics"]
PATIENCE = 30.0


def log_in(url):
    session = XenAPI.Session(url, ignore_ssl=True)
    session.login_with_password("root", PASSWORD, "2.21", "conformance")
    return session


def log_in_locally():
    """As `xapi_local()` does, whose path is built in. This client writes each slash of a path as an underscore."""
    session = XenAPI.Session(f"http://{SOCKET.replace('/', '_')}/", transport=XenAPI.UDSTransport())
    session.login_with_password("", "", "2.21", "conformance")
    return session


def fails(code, call, *arguments):
    try:
        call(*arguments)
    except XenAPI.Failure as failure:
        assert failure.details[0] == code, f"{failure.details} instead of {code}"
        return failure.details
    raise AssertionError(f"no {code}")


def only(found, what):
    assert len(found) == 1, f"{len(found)} of {what}"
    return next(iter(found))


def machine(x, state):
    """A VM that is no template, no snapshot and no control domain, and is in this state."""
    for ref, record in sorted(x.VM.get_all_records().items()):
        plain = not (record["is_a_template"] or record["is_a_snapshot"] or record["is_control_domain"])
        if plain and record["power_state"] == state:
            return ref
    raise AssertionError(f"no VM is {state}")


def check_refusals(session):
    x = session.xenapi
    fails("SESSION_AUTHENTICATION_FAILED", XenAPI.Session(HTTP).login_with_password, "root", "wrong", "2.21", "c")
    fails("HANDLE_INVALID", x.VM.get_record, "OpaqueRef:none")
    fails("MESSAGE_METHOD_UNKNOWN", x.VM.no_such_method)
    fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.VM.get_record)
    fails("UUID_INVALID", x.VM.get_by_uuid, "none")
    assert fails("VM_BAD_POWER_STATE", x.VM.start, machine(x, "Running"), False, False)[2:] == ["halted", "running"]


def check_records(session):
    x, differences, fields = session.xenapi, [], 0
    held = dump.read(HTTP, session._session)
    for name in CLASSES:
        records = getattr(x, name).get_all_records()
        rows = held[name.lower()]
        assert records.keys() == rows.keys(), f"{name}: other objects"
        assert sorted(getattr(x, name).get_all()) == sorted(records)
        for ref, record in records.items():
            for field, value in record.items():
                text = rows[ref].get(field, rows[ref].get(field.replace("_", "__", 1)))
                if text is None:
                    differences.append(f"{name}.{field} is not in the dump")
                    continue
                fields += 1
                wanted = dump.like(text, value)
                if type(value).__name__ == "DateTime":
                    wanted, value = text.replace("Z", ""), str(value).replace("Z", "")
                if wanted != value:
                    differences.append(f"{name}.{field} of {ref}: {value!r}, the dump has {wanted!r}")
    assert fields > 1000, f"only {fields} fields were compared"
    assert not differences, f"{len(differences)} of {fields} differ: " + "; ".join(sorted(set(differences))[:12])
    for ref, record in x.VM.get_all_records().items():
        assert x.VM.get_record(ref) == record


def check_where(session):
    x = session.xenapi
    every = x.VM.get_all_records()

    def where(expression, expected):
        got = x.VM.get_all_records_where(expression)
        wanted = {ref for ref, record in every.items() if expected(record)}
        assert set(got) == wanted, f"{expression}: {len(got)} instead of {len(wanted)}"
        assert wanted, f"{expression}: nothing to find"

    where('field "power_state" = "Running"', lambda vm: vm["power_state"] == "Running")
    where('field "is_a_template" = "true"', lambda vm: vm["is_a_template"])
    where(
        'field "is_a_template" = "false" and field "power_state" = "Halted"',
        lambda vm: not vm["is_a_template"] and vm["power_state"] == "Halted",
    )
    where('not field "is_control_domain" = "true"', lambda vm: not vm["is_control_domain"])
    where("true", lambda vm: True)


def check_fields(session):
    x = session.xenapi
    vm = machine(x, "Halted")
    x.VM.set_name_description(vm, "<käse & \"brot\">")
    assert x.VM.get_name_description(vm) == "<käse & \"brot\">"
    x.VM.add_to_other_config(vm, "conformance", "1")
    fails("MAP_DUPLICATE_KEY", x.VM.add_to_other_config, vm, "conformance", "2")
    x.VM.remove_from_other_config(vm, "conformance")
    x.VM.remove_from_other_config(vm, "conformance")
    x.VM.add_tags(vm, "conformance")
    x.VM.add_tags(vm, "conformance")
    assert x.VM.get_tags(vm).count("conformance") == 1
    x.VM.remove_tags(vm, "conformance")
    assert "conformance" not in x.VM.get_tags(vm)


def wait(session, ref, *states):
    begun = time.monotonic()
    while session.xenapi.task.get_status(ref) not in states:
        assert time.monotonic() - begun < PATIENCE, f"task {ref} is {session.xenapi.task.get_record(ref)}"
        time.sleep(0.02)


def check_life(session):
    x = session.xenapi
    every = sorted(x.VM.get_all_records().items())
    template = next(ref for ref, vm in every if vm["is_a_template"] and not vm["is_a_snapshot"])
    vm = x.VM.clone(template, "conformance-vm")
    x.VM.provision(vm)
    assert not x.VM.get_is_a_template(vm)
    x.VM.start(vm, False, False)
    assert x.VM.get_power_state(vm) == "Running"
    assert x.VM.get_resident_on(vm) != "OpaqueRef:NULL"
    assert "start" not in x.VM.get_allowed_operations(vm)
    x.VM.pause(vm)
    x.VM.unpause(vm)
    snapshot = x.VM.snapshot(vm, "conformance-snapshot")
    assert x.VM.get_snapshots(vm) == [snapshot] and x.VM.get_snapshot_of(snapshot) == vm
    fails("VM_BAD_POWER_STATE", x.VM.destroy, vm)
    x.VM.hard_shutdown(vm)
    assert x.VM.get_resident_on(vm) == "OpaqueRef:NULL"
    x.VM.destroy(snapshot)
    x.VM.destroy(vm)
    fails("HANDLE_INVALID", x.VM.get_power_state, vm)


def check_tasks(session):
    x = session.xenapi
    vm = machine(x, "Halted")
    ref = getattr(x, "Async").VM.start(vm, False, False)
    record = x.task.get_record(ref)
    assert record["name_label"] == "Async.VM.start" and record["status"] == "pending", record
    wait(session, ref, "success")
    record = x.task.get_record(ref)
    assert record["progress"] == 1.0 and record["result"] == "<value></value>" and record["error_info"] == [], record
    x.task.destroy(ref)
    ref = getattr(x, "Async").VM.start(vm, False, False)
    wait(session, ref, "failure")
    assert x.task.get_error_info(ref)[0] == "VM_BAD_POWER_STATE"
    x.task.destroy(ref)
    ref = getattr(x, "Async").VM.clone(machine(x, "Halted"), "conformance-clone")
    wait(session, ref, "success")
    result = x.task.get_result(ref)
    assert result.startswith("<value>OpaqueRef:") and result.endswith("</value>"), result
    x.VM.destroy(result[7:-8])
    x.VM.hard_shutdown(vm)


class Follower:
    """The event loop that every user of event.from writes."""

    def __init__(self, session, classes):
        self.session, self.classes, self.token, self.world = session, classes, "", {}
        self.poll(0.0)

    def poll(self, seconds):
        batch = self.session.xenapi_request("event.from", (self.classes, self.token, seconds))
        for event in batch["events"]:
            key = event["class"], event["ref"]
            if event["operation"] == "del":
                assert "snapshot" not in event
                self.world.pop(key, None)
            else:
                self.world[key] = event["snapshot"]
        self.token = batch["token"]
        return batch

    def until(self, condition):
        begun = time.monotonic()
        while not condition(self.world):
            assert time.monotonic() - begun < PATIENCE, "the change was not seen"
            self.poll(1.0)


def differences(follower, session):
    """Where the follower's world and the pool's records are not equal."""
    found = []
    for name in CLASSES:
        seen = {ref: record for (of, ref), record in follower.world.items() if of == name.lower()}
        held = getattr(session.xenapi, name).get_all_records()
        found += [f"{name} {ref} is known to one only" for ref in seen.keys() ^ held.keys()]
        for ref in seen.keys() & held.keys():
            found += [f"{name}.{field} of {ref}" for field in held[ref] if seen[ref].get(field) != held[ref][field]]
    return found


def same(follower, session):
    """Guests report some seconds after their boot, between the two looks, too: what differs must not stay so."""
    begun = time.monotonic()
    follower.poll(0.0)
    while found := differences(follower, session):
        assert time.monotonic() - begun < PATIENCE, "; ".join(found[:12])
        follower.poll(1.0)


def check_events(session):
    x, other = session.xenapi, log_in(HTTP)
    follower = Follower(other, CLASSES)
    same(follower, session)
    vm = machine(x, "Halted")
    x.VM.start(vm, False, False)
    follower.until(lambda world: world["vm", vm]["power_state"] == "Running")
    copy = x.VM.clone(machine(x, "Halted"), "conformance-events")
    follower.until(lambda world: ("vm", copy) in world)
    x.VM.destroy(copy)
    follower.until(lambda world: ("vm", copy) not in world)
    x.VM.hard_shutdown(vm)
    same(follower, session)
    fails("EVENT_FROM_TOKEN_PARSE_FAILURE", session.xenapi_request, "event.from", (["*"], "no token", 0.0))
    other.xenapi.session.logout()


def check_logout(session):
    ended = session._session
    session.xenapi.session.logout()
    # The client forgets its session by itself; asked without it, the pool is to have forgotten it, too.
    answer = xmlrpc.client.ServerProxy(HTTP).VM.get_all(ended)
    assert answer["ErrorDescription"] == ["SESSION_INVALID", ended], answer["ErrorDescription"]


def vacate_coordinator(session):
    """Makes the coordinator ready for its reboot, which is a restart of its toolstack. Returns its reference."""
    x = session.xenapi
    coordinator = x.pool.get_master(only(x.pool.get_all(), "pools"))
    x.host.disable(coordinator)
    for vm, record in x.VM.get_all_records().items():
        if record["resident_on"] == coordinator and not record["is_control_domain"]:
            x.VM.hard_shutdown(vm)
    return coordinator


def check_restart(session):
    other = log_in(HTTP)
    follower = Follower(other, CLASSES)
    coordinator = vacate_coordinator(session)
    getattr(session.xenapi, "Async").host.reboot(coordinator)
    # This client logs in again by itself when its session is gone; a loop that keeps its token would miss deletions.
    begun, before = time.monotonic(), other._session
    while other._session == before:
        assert time.monotonic() - begun < PATIENCE, "no restart was seen"
        follower.poll(1.0)
    follower = Follower(other, CLASSES)
    same(follower, other)
    vm = machine(other.xenapi, "Halted")
    other.xenapi.VM.set_name_description(vm, "after the restart")
    follower.until(lambda world: world["vm", vm]["name_description"] == "after the restart")
    other.xenapi.host.enable(coordinator)
    other.xenapi.session.logout()


def check_cut(session):
    """A call that waits for its answer when the toolstack restarts gets none: its connection ends."""
    coordinator = vacate_coordinator(session)
    try:
        session.xenapi.host.reboot(coordinator)
    except (http.client.HTTPException, ConnectionError):
        pass
    else:
        raise AssertionError("the call was answered")
    finally:
        log_in(HTTP).xenapi.host.enable(coordinator)


def run(name, check, session):
    begun = time.monotonic()
    try:
        check(session)
    except Exception as error:
        print(f"FAILED {name}: {error}")
        if not isinstance(error, (AssertionError, XenAPI.Failure)):
            traceback.print_exc()
        return 1
    print(f"ok {name} ({time.monotonic() - begun:.1f} s)")
    return 0


def main():
    failed = 0
    checks = [check_refusals, check_records, check_where, check_fields, check_life, check_tasks, check_events]
    for door, session in ("http", log_in(HTTP)), ("https", log_in(HTTPS)), ("unix", log_in_locally()):
        for check in checks:
            failed += run(f"{door}: {check.__name__.removeprefix('check_')}", check, session)
        failed += run(f"{door}: logout", check_logout, session)
    failed += run("restart", check_restart, log_in(HTTP))
    failed += run("call cut by a restart", check_cut, log_in(HTTP))
    sys.exit(1 if failed else 0)


main()
