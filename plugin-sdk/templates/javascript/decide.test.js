// What the plugin decides, without a pool: `node --test`.

import assert from "node:assert/strict";
import test from "node:test";

import { decide } from "./decide.js";

test("a stop is tagged once and a start clears it", () => {
  assert.equal(decide("Running", "Halted", false), "tag");
  assert.equal(decide("Running", "Halted", true), "nothing");
  assert.equal(decide("Halted", "Running", true), "untag");
  assert.equal(decide("Suspended", "Halted", false), "nothing");
});
