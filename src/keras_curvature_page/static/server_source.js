// Packets from a server: TensorBoard's plugin, or the small one of `keras-curvature view`.

import { opened } from "./packets.js";

const MOST_STEPS = 64; // in one request, as the server allows
const RELOAD = 5000; // ms; as often as TensorBoard itself looks for new data

export class ServerSource {
  async runs() {
    const response = await fetch("./runs");
    if (!response.ok) throw new Error(`The list of runs could not be read (${response.status}).`);
    return response.json();
  }

  // `wanted`: [place, listed, tag, step] of each; calls `keep(place, packet)` as they arrive.
  async read(wanted, keep) {
    const portions = [];
    for (let i = 0; i < wanted.length; i += MOST_STEPS) portions.push(wanted.slice(i, i + MOST_STEPS));
    await Promise.all(portions.map(async (portion) => {
      const bySeries = new Map();
      for (const [place, listed, tag, step] of portion) {
        const known = bySeries.get(place) ?? { listed, tag, steps: [] };
        known.steps.push(step);
        bySeries.set(place, known);
      }
      const query = new URLSearchParams();
      for (const { listed, tag, steps } of bySeries.values()) {
        query.append("run", listed.run);
        query.append("tag", listed[tag]);
        query.append("steps", steps.join(","));
      }
      const response = await fetch(`./packets?${query}`);
      if (!response.ok) throw new Error(`Some steps could not be read (${response.status}).`);
      const places = [...bySeries.keys()];
      for (const [place, packet] of opened(await response.arrayBuffer())) keep(places[place], packet);
    }));
  }

  // Calls `reload` when there may be something new.
  follow(reload) {
    setInterval(() => {
      if (!document.hidden && window.innerWidth) reload();
    }, RELOAD);
  }
}
