// XAPI's values as JavaScript knows them.

export class Reference {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  toString() {
    return this.#handle;
  }

  toJSON() {
    return this.#handle;
  }
}

export function fromContract({ tag, val }) {
  switch (tag) {
    case "nothing":
      return null;
    case "moment":
      return new Date(val);
    case "reference":
      return new Reference(val);
    case "references":
      return val.map((handle) => new Reference(handle));
    case "pairs":
      return Object.fromEntries(val);
    case "json":
      return JSON.parse(val);
    default:
      return val;
  }
}

export function toContract(argument) {
  switch (typeof argument) {
    case "undefined":
      return { tag: "nothing" };
    case "boolean":
      return { tag: "truth", val: argument };
    case "bigint":
      return { tag: "whole", val: Number(argument) };
    case "number":
      return Number.isInteger(argument) ? { tag: "whole", val: argument } : { tag: "real", val: argument };
    case "string":
      return { tag: "text", val: argument };
    case "object":
      return ofObject(argument);
    default:
      throw new TypeError(`XAPI has no value for a ${typeof argument}`);
  }
}

function ofObject(argument) {
  if (argument === null) return { tag: "nothing" };
  const reference = referenceOf(argument);
  if (reference !== undefined) return { tag: "reference", val: `${reference}` };
  if (argument instanceof Date) return { tag: "moment", val: argument.toISOString() };
  if (Array.isArray(argument)) return ofArray(argument);
  const pairs = Object.entries(argument);
  return pairs.every(([, value]) => typeof value === "string")
    ? { tag: "pairs", val: pairs }
    : { tag: "json", val: JSON.stringify(argument) };
}

function ofArray(items) {
  const references = items.map(referenceOf);
  if (items.length > 0 && references.every((reference) => reference !== undefined)) {
    return { tag: "references", val: references.map(String) };
  }
  return items.every((item) => typeof item === "string")
    ? { tag: "texts", val: items }
    : { tag: "json", val: JSON.stringify(items) };
}

/** An object of the pool may stand for its reference. */
function referenceOf(argument) {
  if (argument instanceof Reference) return argument;
  return argument?.reference instanceof Reference ? argument.reference : undefined;
}
