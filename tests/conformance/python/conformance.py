"""Works a simulated pool with the package XenAPI and checks what it sees.

Run by `cargo xtask test-conformance`, which starts the pool. By hand: conformance.py HTTP_URL HTTPS_URL SOCKET_PATH
PASSWORD SPARE_HOST_URL, against `xapiary simulate --members --spare-hosts 1 --speed 10 --role-user watcher:read-only`. Prints one line for each check; ends with 1 when one failed.
"""

import http.client
import socket
import ssl
import sys
import threading
import time
import traceback
import xmlrpc.client

import XenAPI

import dump

HTTP, HTTPS, SOCKET, PASSWORD, SPARE_HOST = sys.argv[1:6]
# Classes whose objects are neither rows of the dump nor, as a rule, there for long: tasks of these very checks.
PASSING = {"message", "session", "task"}
PATIENCE = 30.0
# The client itself waits for ever.
socket.setdefaulttimeout(2 * PATIENCE)
# How a connection ends when the toolstack behind it goes down, and how one fails while it is away.
CUT = (ConnectionError, http.client.HTTPException, ssl.SSLError, FileNotFoundError)


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


def classes_of(session):
    """All classes that can be asked for all their records, but for the passing ones."""
    methods = xmlrpc.client.ServerProxy(HTTP).system.listMethods()
    names = {name for name, _, method in (name.partition(".") for name in methods) if method == "get_all_records"}
    present = []
    for name in sorted(names - PASSING):
        try:
            getattr(session.xenapi, name).get_all_records()
        except XenAPI.Failure as failure:
            assert failure.details[0] == "MESSAGE_REMOVED", f"{name}: {failure.details}"
        else:
            present.append(name)
    assert len(present) > 40, present
    return present


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
    for name in classes_of(session):
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
    for name in follower.classes:
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
    follower = Follower(other, classes_of(session))
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


def check_legacy(session):
    """The old way to hear of events, in which every change is told and deletions have their last picture."""
    x = session.xenapi
    fails("SESSION_NOT_REGISTERED", x.event.next)
    x.event.register(["VM"])
    copy = x.VM.clone(machine(x, "Halted"), "conformance-legacy")
    x.VM.destroy(copy)
    told, begun = [], time.monotonic()
    while not told or told[-1]["operation"] != "del":
        assert time.monotonic() - begun < PATIENCE, told
        told += [event for event in x.event.next() if event["ref"] == copy]
    assert told[0]["operation"] == "add" and len(told) > 2, told
    assert all(event["snapshot"]["name_label"] == "conformance-legacy" for event in told)
    assert [int(event["id"]) for event in told] == sorted(int(event["id"]) for event in told)
    x.event.unregister(["VM"])


def check_roles(session):
    """Somebody who may look and not touch."""
    watcher = XenAPI.Session(HTTP)
    watcher.login_with_password("watcher", PASSWORD, "2.21", "conformance")
    x = watcher.xenapi
    vm = machine(x, "Halted")
    assert x.VM.get_record(vm) == session.xenapi.VM.get_record(vm)
    denied = fails("RBAC_PERMISSION_DENIED", x.VM.start, vm, False, False)
    assert denied[1] == "vm.start" and "vm-operator" in denied[2] and "read-only" not in denied[2], denied
    ref = getattr(x, "Async").VM.start(vm, False, False)
    wait(watcher, ref, "failure")
    assert x.task.get_error_info(ref) == denied
    x.task.destroy(ref)
    other = session.xenapi.task.create("of root", "")
    assert fails("RBAC_PERMISSION_DENIED", x.task.cancel, other)[1] == "task.destroy/any"
    session.xenapi.task.set_status(other, "success")
    session.xenapi.task.destroy(other)
    x.session.logout()


def coordinator_of(session):
    x = session.xenapi
    return x.pool.get_master(only(x.pool.get_all(), "pools"))


def patiently(call, *arguments):
    """Calls until there is a pool to answer."""
    begun = time.monotonic()
    while True:
        try:
            return call(*arguments)
        except CUT as error:
            assert time.monotonic() - begun < PATIENCE, f"nobody answers: {error!r}"
            time.sleep(0.02)


def changes_sides(expected):
    """Waits until a login at the spare host's door ends so: with a session, or with this error."""
    begun = time.monotonic()
    while True:
        try:
            session = patiently(log_in, SPARE_HOST)
        except XenAPI.Failure as failure:
            found, session = failure.details, None
        else:
            found = ["a session"]
        if found == expected:
            return session
        assert time.monotonic() - begun < PATIENCE, f"{found}, never {expected}"
        time.sleep(0.02)


def check_restart(session):
    """The event loop over a restart of the toolstack, in which somebody destroys what the loop knows."""
    x = session.xenapi
    doomed = x.VM.clone(machine(x, "Halted"), "conformance-restart")
    follower = Follower(session, classes_of(session))
    assert ("vm", doomed) in follower.world
    before, old = session._session, follower.token
    x.host.restart_agent(coordinator_of(session))
    seen = set()
    begun = time.monotonic()
    # This client logs in again by itself when its session is gone.
    while session._session == before:
        assert time.monotonic() - begun < PATIENCE, "no restart was seen"
        try:
            follower.poll(1.0)
        except CUT as error:
            seen.add(type(error).__name__)
            time.sleep(0.02)
    assert seen, "the restart was not felt"
    patiently(x.VM.destroy, doomed)
    # A loop that kept its token is told that everything is new. What went before its first poll would be lost to it.
    batch = session.xenapi_request("event.from", (["host"], old, 0.0))
    assert [event["operation"] for event in batch["events"]] == ["add"] * len(x.host.get_all()), batch["events"]
    follower = Follower(session, classes_of(session))
    assert ("vm", doomed) not in follower.world
    same(follower, session)
    vm = machine(x, "Halted")
    x.VM.set_name_description(vm, "after the restart")
    follower.until(lambda world: world["vm", vm]["name_description"] == "after the restart")


def check_cut(session):
    """Calls that wait for their answers when the toolstack restarts get none: their connections end."""
    vm = machine(session.xenapi, "Running")
    first = session.xenapi_request("event.from", (["vm"], "", 0.0))
    wait_for_guest(session, vm)
    ends = {}

    def call(name, method, arguments):
        own = xmlrpc.client.ServerProxy(HTTP)
        try:
            ends[name] = getattr(own, method)(session._session, *arguments)
        except CUT as error:
            ends[name] = error

    waiting = [
        ("a wait for events", "event.from", (["no such class"], first["token"], PATIENCE)),
        ("a shutdown", "VM.clean_shutdown", (vm,)),
    ]
    threads = [threading.Thread(target=call, args=one) for one in waiting]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    while not session.xenapi.task.get_by_name_label("VM.clean_shutdown"):
        assert time.monotonic() - begun < PATIENCE, "the shutdown did not begin"
    session.xenapi.host.restart_agent(coordinator_of(session))
    for thread in threads:
        thread.join(2 * PATIENCE)
    for name, end in ends.items():
        assert isinstance(end, CUT), f"{name} was answered: {end}"
    assert len(ends) == len(waiting), f"only these ended: {ends}"
    # What it was about is as before: the operation ended with the toolstack that did it.
    assert patiently(session.xenapi.VM.get_power_state, vm) == "Running"
    assert session.xenapi.VM.get_current_operations(vm) == {}
    assert session.xenapi.task.get_all() == []


def wait_for_guest(session, vm):
    """Until a VM can be shut down cleanly, which takes its agent."""
    begun = time.monotonic()
    while "clean_shutdown" not in session.xenapi.VM.get_allowed_operations(vm):
        assert time.monotonic() - begun < PATIENCE, "no guest agent spoke"
        time.sleep(0.02)


def check_join(session):
    """A script works at the new host's door, and the pool shows the host; then it is ejected."""
    x, spare = session.xenapi, log_in(SPARE_HOST)
    uuid = only(spare.xenapi.host.get_all_records().values(), "the spare host")["uuid"]
    fails("SESSION_AUTHENTICATION_FAILED", spare.xenapi.pool.join, "127.0.0.1", "root", "wrong")
    fails("JOINING_HOST_CONNECTION_FAILED", spare.xenapi.pool.join, "127.0.0.1:1", "root", PASSWORD)
    fails("JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS", x.pool.join, "127.0.0.3", "root", PASSWORD)
    token = session.xenapi_request("event.from", (["host"], "", 0.0))["token"]
    spare.xenapi.pool.join("127.0.0.1", "root", PASSWORD)
    seen, begun = {}, time.monotonic()
    while not seen.get("enabled"):
        assert time.monotonic() - begun < PATIENCE, f"the host does not come up: {seen}"
        batch = session.xenapi_request("event.from", (["host"], token, 5.0))
        token = batch["token"]
        seen = next((e["snapshot"] for e in batch["events"] if e["snapshot"]["uuid"] == uuid), seen)
    host = x.host.get_by_uuid(uuid)
    assert x.host.get_record(host) == seen
    assert x.host_metrics.get_record(seen["metrics"])["live"]
    changes_sides(["HOST_IS_SLAVE", "127.0.0.1"])
    x.pool.eject(host)
    fails("UUID_INVALID", x.host.get_by_uuid, uuid)
    alone = changes_sides(["a session"])
    assert only(alone.xenapi.host.get_all_records().values(), "the host")["uuid"] != uuid
    alone.xenapi.session.logout()


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
    checks += [check_legacy, check_roles, check_restart, check_cut, check_logout]
    for door, enter in ("http", lambda: log_in(HTTP)), ("https", lambda: log_in(HTTPS)), ("unix", log_in_locally):
        session = patiently(enter)
        for check in checks:
            failed += run(f"{door}: {check.__name__.removeprefix('check_')}", check, session)
    failed += run("https: join", check_join, log_in(HTTPS))
    sys.exit(1 if failed else 0)


main()
