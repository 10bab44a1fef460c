// From one delivery to the handler of its subscription, and from its end to what the daemon is told.

import { GiveUp, PluginError, Retry, ofContract } from "./errors.js";
import * as log from "./log.js";
import { wrap } from "./objects.js";
import { Reference, fromContract } from "./values.js";

/** How soon an event is tried again when the pool could not be reached and nobody caught the error. */
const TRANSPORT_RETRY_SECONDS = 10;

export function plugin(handlers) {
  return (wire) => {
    const event = eventOf(wire);
    try {
      const handler = handlers[event.subscription];
      if (handler === undefined) {
        const known = Object.keys(handlers).join(", ");
        throw new GiveUp(`the plugin has no handler for its subscription "${event.subscription}", only for: ${known}`);
      }
      const outcome = handler(event, event.subject);
      if (typeof outcome?.then === "function") {
        throw new TypeError(`the handler "${event.subscription}" is asynchronous: calls to the daemon wait by themselves`);
      }
    } catch (thrown) {
      throw failureOf(thrown);
    }
  };
}

/** What the contract takes for a delivery that did not work out; a mistake of the plugin's stays what it is. */
function failureOf(thrown) {
  if (thrown instanceof Retry) return retry(thrown.seconds, thrown.message);
  if (thrown instanceof GiveUp) return { tag: "give-up", val: thrown.message };
  if (thrown instanceof PluginError) {
    if (thrown.fault === "transport") return retry(TRANSPORT_RETRY_SECONDS, thrown.message);
    return { tag: "give-up", val: thrown.advice ? `${thrown.message}; ${thrown.advice}` : thrown.message };
  }
  // The daemon tells this line as the reason, and stops the instance as it does with any other plugin that breaks.
  const place = `${thrown?.stack ?? ""}`.split("\n")[0].trim().replace(/^at /, "");
  log.error(`the plugin panicked: ${thrown}`, { place });
  return thrown;
}

const retry = (seconds, why) => ({ tag: "retry", val: { after: Math.max(0, Math.round(seconds * 1000)), why } });

function eventOf(wire) {
  const { sequence, pool, at, origin, gap, attempt, subscription } = wire;
  const subject = subjectOf(wire.subject);
  return { sequence, pool, at: new Date(at), origin, gap, attempt, subscription, subject };
}

function subjectOf({ tag, val }) {
  switch (tag) {
    case "change":
      return { ...val, reference: new Reference(val.reference), old: wrap(val.old), new: wrap(val.new) };
    case "task": {
      const { name, startedBy, ending } = val;
      const common = { reference: new Reference(val.reference), name, startedBy, ending: ending.tag };
      if (ending.tag === "succeeded") return { ...common, value: fromContract(ending.val) };
      return ending.tag === "failed" ? { ...common, error: ofContract(ending.val) } : common;
    }
    case "tick":
      return { ...val, due: new Date(val.due) };
    case "connection":
      return { link: val.tag, detail: val.val ?? "" };
    default:
      return val;
  }
}
