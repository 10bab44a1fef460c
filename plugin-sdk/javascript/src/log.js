// The plugin's voice.

import * as contract from "xapiary:plugin/log@0.1.0";

const write = (level) => (message, fields = {}) =>
  contract.write(
    level,
    `${message}`,
    Object.entries(fields).map(([name, value]) => [name, `${value}`]),
  );

export const trace = write("trace");
export const debug = write("debug");
export const info = write("info");
export const warn = write("warn");
export const error = write("error");
