// The pool as the daemon last saw it.

import * as contract from "xapiary:plugin/objects@0.1.0";

import { told } from "./errors.js";
import { Reference, fromContract } from "./values.js";

const PAGE_OBJECTS = 64;

export class PoolObject {
  #record;

  constructor(record) {
    this.#record = record;
  }

  get class() {
    return this.#record.class();
  }

  get reference() {
    return new Reference(this.#record.reference());
  }

  get uuid() {
    return this.#record.uuid();
  }

  fields() {
    return this.#record.fields();
  }

  get(field) {
    return told(() => fromContract(this.#record.get(field)));
  }

  follow(field) {
    return told(() => this.#record.follow(field).map(wrap));
  }

  record() {
    return JSON.parse(this.#record.toJson());
  }
}

/** A record of the contract as an object of the pool; `null` stays `null`. */
export const wrap = (record) => (record === null ? null : new PoolObject(record));

export function* find(cls, where = "") {
  let after = null;
  do {
    const page = told(() => contract.find(cls, where, PAGE_OBJECTS, after));
    yield* page.objects.map(wrap);
    after = page.next;
  } while (after !== null);
}

export const byReference = (reference) => told(() => wrap(contract.byReference(`${reference}`)));

export const byUuid = (cls, uuid) => told(() => wrap(contract.byUuid(cls, uuid)));

export const byNameLabel = (cls, name) => told(() => contract.byNameLabel(cls, name).map(wrap));
