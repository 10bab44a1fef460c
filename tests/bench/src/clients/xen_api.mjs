// Polls with the package xen-api and prints how many events it got and the CPU time that this process took for it.

import { createClient } from 'xen-api'

const [url, warming, polls] = process.argv.slice(2)
const xapi = createClient({ url, auth: { user: 'root', password: 'bench' }, watchEvents: false })
await xapi.connect()
const poll = () => xapi.call('event.from', ['*'], '', 0.1)

for (let done = 0; done < Number(warming); ++done) {
  await poll()
}
const begun = process.cpuUsage()
let events = 0
for (let done = 0; done < Number(polls); ++done) {
  events += (await poll()).events.length
}
const { user, system } = process.cpuUsage(begun)
console.log(JSON.stringify({ events, seconds: (user + system) / 1e6 }))
process.exit(0)
