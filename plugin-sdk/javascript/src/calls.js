// Calls to the pool.

import * as contract from "xapiary:plugin/calls@0.1.0";

import { PluginError, ofContract, told } from "./errors.js";
import { Reference, fromContract, toContract } from "./values.js";

export const call = (method, ...args) => told(() => fromContract(contract.call(method, args.map(toContract))));

export const start = (method, ...args) => told(() => new Task(contract.start(method, args.map(toContract))));

class Task {
  #task;

  constructor(task) {
    this.#task = task;
  }

  get reference() {
    return new Reference(this.#task.reference());
  }

  wait(seconds) {
    const { tag, val } = this.#task.wait(Math.max(0, Math.round(seconds * 1000)));
    switch (tag) {
      case "pending":
        return { state: tag, part: val };
      case "succeeded":
        return { state: tag, value: fromContract(val) };
      case "failed":
        return { state: tag, error: ofContract(val) };
      default:
        return { state: tag };
    }
  }

  result(seconds) {
    const { state, value, error } = this.wait(seconds);
    if (state === "succeeded") return value;
    if (state === "failed") throw error;
    throw new PluginError(state === "cancelled" ? "xapi" : "in-doubt", `TASK_${state.toUpperCase()}`);
  }

  cancel() {
    told(() => this.#task.cancel());
  }
}
