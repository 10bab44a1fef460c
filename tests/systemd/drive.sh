#!/usr/bin/env bash
# Plays the administrator inside the container of `cargo xtask test-systemd`: installs the service beside a simulated
# pool, treats it badly, and writes `ok NAME` or `not ok NAME: WHY` for each finding.
#
# It waits on conditions, each with a limit in seconds; what has no limit of its own is ended by drive.service.
set -uo pipefail

report=/results/report
database=/var/lib/private/xapiary/journal.db
drop_ins=/etc/systemd/system/xapiary.service.d

trap 'journalctl --no-pager --output short-precise >/results/journal.log' EXIT

main() {
    install_service
    check "the service gets ready" start_service || fail_all "the service is not there, so nothing else can be seen"
    check "it runs as a user of its own" not_root
    check "its state is closed to others" state_is_private
    check "it watches the pool" await 20 pool_is_watched
    check "its log has fields of its own" await 10 log_has_fields
    check "the status line tells of the pool" await 20 status_tells
    check "a plugin acts" await 60 more_effects_than 0
    check "the VM runs again" await 20 concluded_effects

    remember before
    kill_main KILL
    check "it is started again after kill -9" await 30 restarted 1
    check "no event of before is lost or changed" same_events before
    check "numbers have no gap" numbers_are_gapless
    check "what happened while it was down is told" await 20 gap_is_told
    check "what waited is delivered" await 30 all_settled_up_to "$last"
    check "the plugin goes on" await 60 more_effects_than "$effects"

    remember before
    kill_main STOP
    check "a hang is caught by the watchdog" await 40 restarted 2
    check "the watchdog was the reason" await 10 watchdog_bit
    check "no event of before the hang is lost or changed" same_events before
    check "the plugin goes on after the hang" await 60 more_effects_than "$effects"

    check "a reload is taken up by the process that runs" reload_service
    check "a reload with a mistake is refused with its line" mistaken_reload
    check "a signal reloads too" hang_up
    check "the plugin goes on after the reloads" await 60 more_effects_than "$(count_effects)"

    check "a clean stop" stop_service
    check "the stop was told" await 10 logged "stopped"
    check "the file is sound" file_is_sound
    remember before
    check "it starts again after the stop" start_service
    check "no event of before the stop is lost or changed" same_events before
    check "a wrong configuration is told with its line" wrong_configuration
    check "a wrong configuration is not tried again" not_tried_again
    check "the unit is hardened" hardened
    echo end >>"$report"
}

install_service() {
    mkdir -p /etc/xapiary/credentials "$drop_ins"
    (umask 077 && echo "correct horse" >/etc/xapiary/credentials/lab)
    cp /usr/lib/xapiary-shipped/plugins/vm-keepalive.toml /etc/xapiary/plugins/
    # The pool crashes VMs without end, and the plugin is to keep up.
    sed -i 's/^max_starts = .*/max_starts = 1000/' /etc/xapiary/plugins/vm-keepalive.toml
    # A shorter time for the watchdog, so that the test does not take long.
    cat >"$drop_ins/test.conf" <<-UNIT
	[Service]
	LoadCredential=lab:/etc/xapiary/credentials/lab
	WatchdogSec=4
	TimeoutAbortSec=4
	UNIT
    systemctl daemon-reload
    timeout 40 systemctl start xapiary-test-pool || fail_all "the simulated pool did not come up"
    configure
}

configure() {
    cat >/etc/xapiary/xapiary.toml <<-CONFIG
	[[pool]]
	name = "lab"
	url = "https://127.0.0.1:8443"
	user = "root"
	password = { credential = "lab" }
	trust = { pin = ["$(pool_fingerprint)"] }
	CONFIG
}

pool_fingerprint() { sed --quiet 's/^fingerprint: //p' /run/xapiary-test-pool.out; }

start_service() { timeout 40 systemctl start xapiary; }
not_root() { [ "$(stat --format %u "/proc/$(main_pid)")" -ge 61184 ]; }
state_is_private() { [ "$(stat --format %a /var/lib/private/xapiary)" = 700 ] && [ "$(stat --format %a "$database")" = 600 ]; }
pool_is_watched() { [ "$(ask "SELECT count(*) FROM object WHERE class = 'VM'")" -gt 20 ] && logged "compared the whole pool"; }
log_has_fields() { [ -n "$(journalctl --unit xapiary --output cat --no-pager XAPIARY_POOL=lab)" ]; }
status_tells() { [[ "$(systemctl show --property StatusText xapiary)" == *"lab: "*objects* ]]; }
more_effects_than() { [ "$(count_effects)" -gt "$1" ]; }
concluded_effects() { [ "$(ask "SELECT count(*) FROM effect WHERE method LIKE '%VM.start' AND outcome IS NOT NULL")" -gt 0 ]; }
restarted() { [ "$(systemctl show --property NRestarts --value xapiary)" -ge "$1" ] && systemctl --quiet is-active xapiary; }
watchdog_bit() { journalctl --no-pager --output cat | grep --quiet "xapiary.service: Watchdog timeout"; }
all_settled_up_to() { [ "$(ask "SELECT cursor FROM plugin WHERE name = 'vm-keepalive'")" -ge "$1" ]; }
numbers_are_gapless() { [ "$(ask "SELECT count(*) = max(sequence) - min(sequence) + 1 FROM event")" = 1 ]; }
gap_is_told() {
    [ "$(ask "SELECT count(*) FROM event WHERE sequence > $last AND class = 'VM' AND payload ->> 'origin' = 'resync' AND payload ->> 'gap'")" -gt 0 ]
}
same_events() { [ -s "/results/$1" ] && cmp "/results/$1" <(events_up_to "$last"); }
file_is_sound() { [ "$(ask "PRAGMA integrity_check")" = ok ]; }
logged() { journalctl --unit xapiary --output cat --no-pager | grep --quiet -- "$1"; }

# How often the configuration was taken up.
taken_up() { [ "$(journalctl --unit xapiary --output cat --no-pager | grep --count "the configuration was taken up")" -ge "$1" ]; }

reload_service() {
    local before=$(main_pid)
    echo "concurrency = 2" | cat - /etc/xapiary/plugins/vm-keepalive.toml >/tmp/grant && cp /tmp/grant /etc/xapiary/plugins/vm-keepalive.toml
    timeout 40 systemctl reload xapiary && await 10 taken_up 1 && [ "$(main_pid)" = "$before" ] &&
        [ "$(systemctl show --property ActiveState --value xapiary)" = active ]
}

mistaken_reload() {
    local before=$(main_pid)
    sed -i 's/^concurrency/concurency/' /etc/xapiary/plugins/vm-keepalive.toml
    ! timeout 40 systemctl reload xapiary && [ "$(main_pid)" = "$before" ] &&
        await 10 logged 'nothing was taken up, all is as it was: .*vm-keepalive.toml:1:1: concurency: unknown key' &&
        sed -i 's/^concurency/concurrency/' /etc/xapiary/plugins/vm-keepalive.toml
}

hang_up() { kill_main HUP && await 20 taken_up 2; }

stop_service() {
    timeout 60 systemctl stop xapiary && [ "$(systemctl show --property Result --value xapiary)" = success ] &&
        [ "$(systemctl show --property ExecMainStatus --value xapiary)" = 0 ]
}

wrong_configuration() {
    systemctl stop xapiary
    sed -i 's/^user/usr/' /etc/xapiary/xapiary.toml
    ! timeout 40 systemctl start xapiary && await 10 logged 'xapiary.toml:[0-9]*:1: pool.lab.usr: unknown key'
}

not_tried_again() {
    [ "$(systemctl show --property ExecMainStatus --value xapiary)" = 2 ] &&
        [ "$(systemctl show --property ActiveState --value xapiary)" = failed ]
}

hardened() { systemd-analyze security --offline=true --threshold=20 /etc/systemd/system/xapiary.service >/results/security.log; }

# Notes what the journal holds now.
remember() {
    last=$(ask "SELECT sequence FROM tail")
    effects=$(count_effects)
    events_up_to "$last" >"/results/$1"
}

events_up_to() { ask "SELECT sequence, kind, class, reference, at_micros, payload FROM event WHERE sequence <= $1 ORDER BY sequence"; }
count_effects() { ask "SELECT count(*) FROM effect"; }
ask() { sqlite3 -readonly "$database" ".timeout 5000" "$1"; }
main_pid() { systemctl show --property MainPID --value xapiary; }
kill_main() { systemctl kill --kill-whom=main --signal="$1" xapiary; }

# await SECONDS COMMAND...: until the command succeeds.
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# check NAME COMMAND...
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok $name" >>"$report"
    else
        echo "not ok $name: $* failed after $SECONDS s: ${output//$'\n'/ }" >>"$report"
        return 1
    fi
}

fail_all() {
    echo "not ok set-up: $1" >>"$report"
    exit 1
}

main
