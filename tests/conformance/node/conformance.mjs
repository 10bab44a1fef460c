// Follows a simulated pool with the package xen-api and checks what it collects.
//
// Run by `cargo xtask test-conformance`, which starts the pool. By hand: conformance.mjs URL PASSWORD SPARE_HOST_URL,
// against `xapiary simulate --members --spare-hosts 1 --speed 10`. Prints one line for each check; ends with 1 when one failed.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'

import { createClient } from 'xen-api'

const [url, password, spareHost] = process.argv.slice(2)
// Tasks come and go with these very checks.
const PASSING = 'task'
const PATIENCE = 30_000

const connect = (watchEvents, to = url) =>
  createClient({
    url: to,
    auth: { user: 'root', password },
    allowUnauthorized: true,
    // How long it rests after a poll that failed; a minute unless told.
    eventPollDelay: 100,
    watchEvents,
  })
const follower = connect(true)
// A second client, whose answers do not come from what it collected.
const asker = connect(false)

async function until(what, condition) {
  const end = Date.now() + PATIENCE
  for (;;) {
    const found = await condition()
    if (found) {
      return found
    }
    assert(Date.now() < end, `${what} did not come to pass`)
    await pause(20)
  }
}

// A value as both ways of asking give it. The follower makes its own of some empty and odd values.
const plain = value => JSON.parse(JSON.stringify(value ?? null))

// All classes that can be asked for all their records, but for those.
async function classes() {
  const methods = await asker.call('system.listMethods')
  const names = methods.filter(method => method.endsWith('.get_all_records')).map(method => method.split('.')[0])
  return names.filter(name => name !== PASSING)
}

async function records(type) {
  try {
    return await asker.call(`${type}.get_all_records`)
  } catch (error) {
    assert.equal(error.code, 'MESSAGE_REMOVED', `${type}: ${error}`)
    return {}
  }
}

async function differences() {
  const found = []
  const types = await classes()
  assert(types.length > 40, String(types))
  for (const type of types) {
    const held = await records(type)
    const seen = new Map(
      Object.values(follower.objects.all)
        .filter(object => object.$type.toLowerCase() === type.toLowerCase())
        .map(object => [object.$ref, object])
    )
    for (const ref of new Set([...Object.keys(held), ...seen.keys()])) {
      if (held[ref] === undefined || !seen.has(ref)) {
        found.push(`${type} ${ref} is known to one only`)
        continue
      }
      for (const [field, value] of Object.entries(held[ref])) {
        const [wanted, got] = [plain(value), plain(seen.get(ref)[field])]
        try {
          assert.deepEqual(got, wanted)
        } catch {
          found.push(`${type}.${field} of ${ref}: ${JSON.stringify(got)}, the pool has ${JSON.stringify(wanted)}`)
        }
      }
    }
  }
  return found
}

async function same() {
  let found = []
  try {
    await until('equality', async () => (found = await differences()).length === 0)
  } catch (error) {
    throw found.length > 0 ? new Error(found.slice(0, 12).join('; ')) : error
  }
}

const halted = async () => {
  const vms = Object.entries(await asker.call('VM.get_all_records')).sort()
  const one = vms.find(
    ([, vm]) => vm.power_state === 'Halted' && !vm.is_a_template && !vm.is_a_snapshot && !vm.is_control_domain
  )
  return one[0]
}

const checks = {
  async collects() {
    await follower.objectsFetched
    assert(Object.keys(follower.objects.all).length > 100)
    await same()
  },

  async follows() {
    const vm = await halted()
    await asker.call('VM.start', vm, false, false)
    await until('the start', () => follower.getObject(vm).power_state === 'Running')
    const copy = await asker.call('VM.clone', await halted(), 'conformance-node')
    await until('the copy', () => follower.getObject(copy, undefined))
    await asker.call('VM.destroy', copy)
    await until('its end', () => follower.getObject(copy, undefined) === undefined)
    await asker.call('VM.hard_shutdown', vm)
    await same()
  },

  async tasks() {
    const copy = await follower.callAsync('VM.clone', await halted(), 'conformance-task')
    assert.match(copy, /^OpaqueRef:/)
    await follower.call('VM.destroy', copy)
    const task = await asker.call('Async.VM.unpause', await halted())
    await assert.rejects(follower.watchTask(task), { code: 'VM_BAD_POWER_STATE' })
    await asker.call('task.destroy', task)
  },

  async barrier() {
    const vm = await halted()
    await asker.call('VM.set_name_description', vm, 'seen by a barrier')
    assert.equal((await follower.barrier(vm)).name_description, 'seen by a barrier')
  },

  async restart() {
    const session = follower.sessionId
    await asker.call('host.restart_agent', follower.pool.master)
    // Both log in anew by themselves; while nobody answers their calls fail.
    await until('the loss of the session', async () => {
      await Promise.allSettled([follower.call('pool.get_all'), asker.call('pool.get_all')])
      return follower.sessionId !== undefined && follower.sessionId !== session
    })
    await until('an answer', () => asker.call('pool.get_all').then(() => true, () => false))
    const description = `after the restart ${Date.now()}`
    const vm = await halted()
    await asker.call('VM.set_name_description', vm, description)
    await until('the first change', () => follower.getObject(vm).name_description === description)
    await same()
  },

  async failover() {
    const before = follower.pool.master
    const next = (await asker.call('host.get_all')).find(host => host !== before)
    await asker.call('pool.designate_new_master', next)
    // This client learns where the coordinator is when it logs in, which is its user's to bring about.
    const refused = { code: 'HOST_IS_SLAVE' }
    await until('a refusal', () => asker.call('pool.get_all').then(() => false, error => error.code === refused.code))
    await assert.rejects(follower.call('pool.get_all'), refused)
    for (const client of [asker, follower]) {
      await client.disconnect()
      await client.connect()
    }
    // It fetches everything anew, beginning from a token. What is born after that token and is gone before its first
    // poll is no event, and stays in its collection should the fetch have met it: so let that poll pass.
    await Promise.all([once(follower, 'eventFetchingSuccess'), follower.barrier()])
    const address = await asker.call('host.get_address', next)
    assert.equal(follower._url.hostname, address)
    await until('the new coordinator', () => follower.pool.master === next)
    const copy = await asker.call('VM.clone', await halted(), 'conformance-failover')
    await until('a change at the new coordinator', () => follower.getObject(copy, undefined))
    await asker.call('VM.destroy', copy)
    await same()
  },

  async join() {
    const joiner = connect(false, spareHost)
    await joiner.connect()
    const [host] = Object.values(await joiner.call('host.get_all_records'))
    const coordinator = await asker.call('host.get_address', follower.pool.master)
    await joiner.call('pool.join', coordinator, 'root', password)
    const joined = () =>
      Object.values(follower.objects.all).find(object => object.uuid === host.uuid && object.$type === 'host')
    await until('the new host', () => joined()?.enabled)
    await same()
    // The new host's door leads this client to the coordinator.
    const refused = error => error.code === 'HOST_IS_SLAVE'
    await until('a refusal', () => joiner.call('pool.get_all').then(() => false, refused))
    await joiner.disconnect()
    await joiner.connect()
    assert.equal(joiner._url.hostname, coordinator)
    await joiner.call('pool.eject', joined().$ref)
    await until('its end', () => joined() === undefined)
    await same()
    await joiner.disconnect()
  },
}

let failed = 0
await Promise.all([follower.connect(), asker.connect()])
for (const [name, check] of Object.entries(checks)) {
  const begun = Date.now()
  try {
    await check()
    console.log(`ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`)
  } catch (error) {
    ++failed
    console.log(`FAILED ${name}: ${error?.code ?? ''} ${error?.message ?? error}`)
  }
}
process.exit(failed > 0 ? 1 : 0)
