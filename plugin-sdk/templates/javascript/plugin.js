// Tags VMs that have stopped, and counts how often.

import { calls, log, plugin, settings, store } from "xapiary";

import { decide } from "./decide.js";

export const handle = plugin({
  /** A VM has another power state than before. */
  power(event, { old, new: vm }) {
    const tag = settings.get("tag");
    switch (decide(old.get("power_state"), vm.get("power_state"), vm.get("tags").includes(tag))) {
      case "tag": {
        calls.call("VM.add_tags", vm, tag);
        const key = `stops/${vm.uuid}`;
        const stops = store.getJson(key, 0) + 1;
        store.setJson(key, stops);
        log.info(`${vm.get("name_label")} has stopped`, { vm: vm.uuid, stops });
        break;
      }
      case "untag":
        calls.call("VM.remove_tags", vm, tag);
        break;
    }
  },
});
