/**
 * Write plugins for the Xapiary daemon in JavaScript.
 *
 * A plugin is a module that exports `handle`, made of one function for each subscription of its `plugin.toml`:
 *
 * ```js
 * import { log, plugin } from "xapiary";
 *
 * export const handle = plugin({
 *   power(event, change) {
 *     if (change.new) log.info(`${change.new.get("name_label")} is ${change.new.get("power_state")}`);
 *   },
 * });
 * ```
 *
 * Each event meets a fresh instance, as it was right after the module was loaded: what must be remembered goes into `store`.
 * A handler that returns is done for good. One that throws `Retry` is called again later, one that throws `GiveUp` never again
 * for this event. A `PluginError` that nobody catches is tried again when the pool could not be reached and given up otherwise;
 * anything else that is thrown is a mistake in the plugin, is told with its place, and is tried again a few times.
 *
 * Nothing is asynchronous: a call to the daemon returns when it is done, and waiting is not CPU time. The clock shows the time of
 * the event and randomness is the same in every attempt, so that a run can be repeated exactly. There are no files, no sockets and
 * no environment.
 *
 * Whole numbers beyond 2^53 lose their last digits.
 */

/** A handle to one object, made by the daemon for this plugin. It is good for one delivery: remember a UUID instead. */
export class Reference {
  private constructor();
  toString(): string;
}

/** What a field holds and what a call gives: what XAPI calls void and the null reference is `null`. */
export type Value = null | string | number | boolean | Date | Reference | string[] | Reference[] | { [key: string]: any } | any[];

/** What a call takes: a value, or an object (or a change) in place of its reference. */
export type Argument = Value | PoolObject | Change | undefined;

/** One object's record at one moment. It does not change while the plugin holds it. */
export interface PoolObject {
  /** The class, as XAPI spells it: `VM`, `host`, `VDI`. */
  readonly class: string;
  /** The handle, for `calls` and for `objects.byReference`. */
  readonly reference: Reference;
  /** The UUID; `null` for the few classes that have none. */
  readonly uuid: string | null;
  /** The names of the fields that this record has and the grant shows. */
  fields(): string[];
  /** One field, by XAPI's name. An unknown one throws with fault `invalid`, one that the grant hides with `denied`. */
  get(field: string): any;
  /** The objects that a reference field points to, in order. Those that are gone or that the grant hides are left out. */
  follow(field: string): PoolObject[];
  /** All fields that the grant shows, as JSON has them. It costs as much as reading each of them. */
  record(): { [field: string]: any };
}

/** One delivery of one event. */
export interface Event {
  /** Position in the journal: the same event has the same number on every attempt. */
  sequence: number;
  /** The pool's name in the daemon's configuration. */
  pool: string;
  /** When the daemon learned of it. */
  at: Date;
  /** Said by the pool as it happened, found by comparing after an interruption, or an old event run again on purpose. */
  origin: "live" | "resync" | "replay";
  /** Changes may have been missed or folded before this one. */
  gap: boolean;
  /** 1 on the first delivery. */
  attempt: number;
  /** The manifest's name of the subscription that matched. */
  subscription: string;
  /** What it is about; what the handler gets as its second argument. */
  subject: Change | TaskOutcome | Alert | Tick | Connection;
}

/** An object appeared, changed or went away. */
export interface Change {
  /** The class, as XAPI spells it. */
  class: string;
  reference: Reference;
  /** Its UUID, where the class has one. */
  uuid: string | null;
  operation: "added" | "modified" | "deleted";
  /** The record before; `null` when the object was added. */
  old: PoolObject | null;
  /** The record after; `null` when the object was deleted. */
  new: PoolObject | null;
  /** The names of the fields that differ between the two. */
  changed: string[];
  /** The delivery whose call caused this, where it was the daemon's: PLUGIN/SEQUENCE. */
  causedBy: string | null;
}

/** A task of the pool has ended. */
export interface TaskOutcome {
  /** The task's handle; the object itself may be gone. */
  reference: Reference;
  /** What was asked for, such as `Async.VM.start`. */
  name: string;
  /** How it ended; `lost`: it vanished before its outcome was known. */
  ending: "succeeded" | "failed" | "cancelled" | "lost";
  /** The method's result, when it succeeded. */
  value?: any;
  /** XAPI's error, when it failed. */
  error?: PluginError;
  /** The delivery that started it, where it was the daemon's: PLUGIN/SEQUENCE. */
  startedBy: string | null;
}

/** The pool has something to tell: an object of XAPI's class `message`. */
export interface Alert {
  /** The kind of alert, such as `HA_HOST_FAILED`. */
  name: string;
  /** 1 (most pressing) to 5; 0 where the pool says something else. */
  priority: number;
  /** The class of the object that it is about. */
  class: string;
  /** The UUID of that object. */
  uuid: string;
  /** What it says, often XML; empty where no `[[read]]` of the grant shows `body` of `message`. */
  body: string;
}

/** A schedule of the manifest is due. */
export interface Tick {
  schedule: string;
  /** When it was due. A late delivery keeps the time that was planned. */
  due: Date;
}

/** The daemon's connection to the pool changed. */
export interface Connection {
  link: "connected" | "lost" | "moved" | "resynced";
  /** Why it was lost, or where it moved to; empty otherwise. */
  detail: string;
}

/** Makes `handle` of one function for each subscription, by the names in `plugin.toml`. */
export function plugin(handlers: { [subscription: string]: (event: Event, subject: any) => void }): (event: unknown) => void;

/** Whose fault an error is, which decides whether trying again can help. */
export type Fault = "denied" | "limit" | "xapi" | "transport" | "in-doubt" | "dry-run" | "invalid";

/** Why something was not done. */
export class PluginError extends Error {
  constructor(fault: Fault, code: string, params?: string[], advice?: string);
  fault: Fault;
  /** A stable name for programs, such as `VM_BAD_POWER_STATE`. */
  code: string;
  /** The details that belong to the code, in its order. */
  params: string[];
  /** What a person can do about it; empty where there is nothing to say. */
  advice: string;
}

/** Thrown by a handler that wants the event again. What this attempt wrote to the store is forgotten. */
export class Retry extends Error {
  /** @param seconds not before so long  @param why for the person who reads the log */
  constructor(seconds: number, why: string);
}

/** Thrown by a handler when trying again cannot help: the delivery becomes a dead letter with this reason. */
export class GiveUp extends Error {
  constructor(why: string);
}

/** The pool as the daemon last saw it. Nothing here reaches the pool, so reading is cheap and never loads it. */
export namespace objects {
  /** The objects of a class for which a CEL expression over `self` holds; without one, all. Read a page at a time. */
  function find(cls: string, where?: string): Iterable<PoolObject>;
  /** The object behind a handle; `null` when it no longer exists. */
  function byReference(reference: Reference): PoolObject | null;
  /** The object of a class with this UUID; `null` when there is none. */
  function byUuid(cls: string, uuid: string): PoolObject | null;
  /** The objects of a class with this `name_label`. Names are not unique. */
  function byNameLabel(cls: string, name: string): PoolObject[];
}

/**
 * Calls to the pool. Every XAPI method can be named; the grant decides. A call that changes something is recorded before it is
 * sent. When an attempt was cut short, the same call of a later one is answered from the record.
 */
export namespace calls {
  /** Calls a method and waits for the answer. The session is the daemon's and is no argument. */
  function call(method: string, ...args: Argument[]): any;
  /** Calls a method asynchronously; it is named without `Async.`. After a crash, the redelivered event gets the same task back. */
  function start(method: string, ...args: Argument[]): Task;

  /** A call that runs in the pool. Dropping it does not stop it. */
  interface Task {
    /** The handle of XAPI's task object. */
    readonly reference: Reference;
    /** Waits at most so long and says how far the task is. Waiting is not CPU time. */
    wait(seconds: number): Progress;
    /** Waits and gives the method's result. Whatever is not a success throws; `TASK_PENDING` and `TASK_LOST` are in doubt. */
    result(seconds: number): any;
    /** Asks XAPI to stop the task. Not every task can be stopped, and one that was asked to may still succeed. */
    cancel(): void;
  }

  /** How far a task is; `lost`: it vanished before its outcome was seen, look at the object itself. */
  type Progress =
    | { state: "pending"; part: number }
    | { state: "succeeded"; value: any }
    | { state: "failed"; error: PluginError }
    | { state: "cancelled" }
    | { state: "lost" };
}

/**
 * The plugin's own keys, of 1 to 512 bytes. What a delivery writes is kept when the delivery is done, and forgotten when it
 * fails. A delivery reads its own writes.
 */
export namespace store {
  /** The value of a key; `null` when it was never set or was deleted. */
  function get(key: string): Uint8Array | null;
  /** Sets a key. Going over the size that the grant gives throws with fault `limit`. */
  function set(key: string, value: Uint8Array): void;
  function remove(key: string): void;
  /** Deletes a key. Deleting what is not there is no error. */
  export { remove as delete };
  /** What `setJson` wrote; `otherwise` when there is nothing. */
  function getJson<T = any>(key: string, otherwise?: T): T;
  function setJson(key: string, value: unknown): void;
  /** The keys that begin with a prefix, in the order of their bytes. */
  function keys(prefix?: string): Iterable<string>;
}

/** What the administrator set for this plugin, checked against the manifest, with its defaults filled in. */
export namespace settings {
  /** All settings by name, without secrets. */
  function all(): { [name: string]: any };
  /** One setting; `otherwise` when it is not set and the manifest has no default for it. */
  function get<T = any>(name: string, otherwise?: T): T;
  /** One secret by the name that the grant gives it. One that is not granted throws with fault `denied`. */
  function secret(name: string): string;
}

/** The plugin's voice. Lines go to the daemon's log, which adds plugin, pool, event and attempt. */
export namespace log {
  /** Every step, for the author. */
  function trace(message: string, fields?: { [name: string]: unknown }): void;
  /** Why a decision was made. */
  function debug(message: string, fields?: { [name: string]: unknown }): void;
  /** What was done. */
  function info(message: string, fields?: { [name: string]: unknown }): void;
  /** Something is odd, and work goes on. */
  function warn(message: string, fields?: { [name: string]: unknown }): void;
  /** Something was not done, and a person should look. */
  function error(message: string, fields?: { [name: string]: unknown }): void;
}
