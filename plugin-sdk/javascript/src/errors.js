// Why something was not done, and how a handler says that a delivery did not work out.

const WORDS = {
  denied: "the grant does not allow it: ",
  limit: "a limit is used up: ",
  xapi: "the pool answered ",
  transport: "the pool could not be reached: ",
  "in-doubt": "it is not known whether it was done: ",
  "dry-run": "planned only, this is a dry run: ",
  invalid: "this makes no sense: ",
};

export class PluginError extends Error {
  constructor(fault, code, params = [], advice = "") {
    super(`${WORDS[fault]}${code}${params.length > 0 ? ` (${params.join(", ")})` : ""}`);
    this.name = "PluginError";
    this.fault = fault;
    this.code = code;
    this.params = params;
    this.advice = advice;
  }
}

export class Retry extends Error {
  constructor(seconds, why) {
    super(why);
    this.name = "Retry";
    this.seconds = seconds;
  }
}

export class GiveUp extends Error {
  constructor(why) {
    super(why);
    this.name = "GiveUp";
  }
}

/** The contract's error as an exception. */
export const ofContract = ({ fault, code, params, advice }) => new PluginError(fault, code, params, advice);

/** Calls into the contract and has its errors thrown as `PluginError`. */
export function told(call) {
  try {
    return call();
  } catch (thrown) {
    throw thrown?.payload?.fault === undefined ? thrown : ofContract(thrown.payload);
  }
}
