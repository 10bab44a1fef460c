// The plugin's own keys.

import * as contract from "xapiary:plugin/store@0.1.0";

import { told } from "./errors.js";

const PAGE_KEYS = 256;

export function get(key) {
  const bytes = told(() => contract.get(key));
  return bytes === null ? null : Uint8Array.from(bytes);
}

export const set = (key, bytes) => told(() => contract.set(key, bytes));

const remove = (key) => told(() => contract.delete(key));
export { remove as delete };

export function getJson(key, otherwise = null) {
  const bytes = get(key);
  return bytes === null ? otherwise : JSON.parse(decode(bytes));
}

export const setJson = (key, value) => set(key, encode(JSON.stringify(value)));

export function* keys(prefix = "") {
  let after = null;
  for (;;) {
    const page = told(() => contract.keys(prefix, PAGE_KEYS, after));
    if (page.length === 0) return;
    yield* page;
    after = page.at(-1);
  }
}

// The engine has no TextEncoder; percent-encoding knows UTF-8.
function encode(text) {
  const bytes = encodeURIComponent(text).replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Uint8Array.from(bytes, (byte) => byte.charCodeAt(0));
}

function decode(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""));
}
