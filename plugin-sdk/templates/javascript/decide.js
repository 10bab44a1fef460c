/**
 * What to do about a VM: plain data in, a decision out. This part is tested without a pool.
 *
 * @param {string} was the power state before
 * @param {string} now the power state after
 * @param {boolean} tagged whether it carries the tag
 * @returns {"tag" | "untag" | "nothing"}
 */
export function decide(was, now, tagged) {
  if (was === "Running" && now === "Halted" && !tagged) return "tag";
  if (now === "Running" && tagged) return "untag";
  return "nothing";
}
