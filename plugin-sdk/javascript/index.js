/**
 * Write plugins for the Xapiary daemon in JavaScript. What everything is for stands in `index.d.ts`.
 */

export * as calls from "./src/calls.js";
export { PluginError, GiveUp, Retry } from "./src/errors.js";
export * as log from "./src/log.js";
export * as objects from "./src/objects.js";
export { plugin } from "./src/plugin.js";
export * as settings from "./src/settings.js";
export * as store from "./src/store.js";
export { Reference } from "./src/values.js";
