// What is known of each run, and the form of a packet: see packets.py.

export const MEMORY = 128e6; // bytes that the steps of all open runs may take
const SELDOM = ["diagnosis", "distances"]; // kinds of what is written at a few steps only

// One run and output: what stays the same, and its steps as they are asked for.
export class Series {
  constructor(listed) {
    this.key = JSON.stringify([listed.run, listed.name, listed.output]);
    this.label = labelOf(listed);
    this.steps = [];
    this.probe = null;
    this.seldom = new Map(SELDOM.map((kind) => [kind, new Map()])); // packets by step
    this.cache = new Map();
    this.pending = new Map();
    this.bytes = 0;
    this.room = MEMORY;
    this.update(listed);
  }

  // Whether more steps would drive others out of memory.
  get full() { return this.bytes > 0.95 * this.room; }

  // Steps of a kind that are not read yet.
  unread(kind) {
    const known = this.seldom.get(kind);
    return (this.listed[`${kind}_steps`] ?? []).filter((step) => !known.has(step));
  }

  get complete() { return Boolean(this.probe) && SELDOM.every((kind) => !this.unread(kind).length); }

  // What was found last at `step`; before that, what is found first.
  latest(kind, step) {
    const known = this.seldom.get(kind);
    const steps = [...known.keys()].sort((a, b) => a - b);
    return known.get(steps.findLast((s) => s <= step) ?? steps[0]);
  }

  // Takes over a newer listing of the same run; whether there is something new.
  update(listed) {
    const more = listed.steps.length !== this.steps.length
      || listed.steps.at(-1) !== this.steps.at(-1);
    this.listed = listed;
    this.steps = listed.steps;
    return more || SELDOM.some((kind) => this.unread(kind).length);
  }

  // The step shown at `step`: the last one up to it, or else the first.
  at(step) {
    let low = 0, high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] <= step) low = middle + 1; else high = middle;
    }
    return this.steps[Math.max(0, low - 1)];
  }

  // Of these steps the ones that are neither in memory nor on their way.
  missing(steps) {
    const wanted = new Set(steps.filter((step) => step !== undefined));
    return [...wanted].filter((step) => !this.cache.has(step) && !this.pending.has(step));
  }

  keep(packet) {
    this.cache.set(packet.step, packet);
    this.bytes += packet.bytes;
    for (const [step, { bytes }] of this.cache) { // the oldest first
      if (this.bytes <= this.room || step === packet.step) break;
      this.cache.delete(step);
      this.bytes -= bytes;
    }
  }

  get(step) {
    const found = this.cache.get(step);
    if (found) { // now the youngest
      this.cache.delete(step);
      this.cache.set(step, found);
    }
    return found;
  }
}

function labelOf({ run, name, output }) {
  const ending = `/${name}`;
  const shown = run.endsWith(ending) ? run.slice(0, -ending.length) : run;
  const monitor = name === "curvature" ? "" : ` (${name})`;
  return `${shown}${monitor}${output ? ` · ${output}` : ""}`;
}

// Makes sure that what does not change is in memory.
export async function loadProbes(source, all) {
  const stale = all.filter(({ probe, listed }) => probe?.step !== listed.probe_steps.at(-1));
  await read(source, stale.map((series) => [series, [series.listed.probe_steps.at(-1)]]), "probe_tag",
    (series, packet) => {
      series.probe = packet;
      series.cache.clear();
      series.bytes = 0;
    });
}

// Makes sure that all that is written at a few steps only is in memory.
export async function loadSeldom(source, all) {
  await Promise.all(SELDOM.map((kind) => read(
    source, all.map((series) => [series, series.unread(kind)]), `${kind}_tag`,
    (series, packet) => series.seldom.get(kind).set(packet.step, packet),
  )));
}

// Makes sure that steps are in memory: [series, steps] for each. In as few requests as may be.
export async function loadSteps(source, pairs) {
  const asked = pairs.map(([series, steps]) => [series, series.missing(steps)]);
  const arriving = read(source, asked, "tag", (series, packet) => series.keep(packet));
  for (const [series, steps] of asked) steps.forEach((step) => series.pending.set(step, arriving));
  try {
    await Promise.all(pairs.flatMap(([series, steps]) => steps.map((step) => series.pending.get(step))));
  } finally {
    for (const [series, steps] of asked) steps.forEach((step) => series.pending.delete(step));
  }
}

function read(source, pairs, tag, keep) {
  const wanted = pairs.flatMap(([series, steps]) => steps.map((step) => [series, series.listed, tag, step]));
  return source.read(wanted, keep);
}

// Step as int64, length as uint32, place of the series as uint32, packet; and so on.
export function opened(buffer) {
  const view = new DataView(buffer);
  const packets = [];
  for (let at = 0; at < buffer.byteLength;) {
    const step = Number(view.getBigInt64(at, true));
    const length = view.getUint32(at + 8, true);
    const packet = length ? unpack(buffer, at + 16, step) : { step, header: null, arrays: {} };
    packet.bytes = length;
    packets.push([view.getUint32(at + 12, true), packet]);
    at += 16 + length;
  }
  return packets;
}

function unpack(buffer, start, step) {
  const length = new DataView(buffer).getUint32(start + 4, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, start + 8, length));
  const header = JSON.parse(text);
  const arrays = {};
  let place = start + 8 + length;
  for (const [name, shape] of header.arrays) {
    const count = shape.reduce((product, size) => product * size, 1);
    arrays[name] = { shape, values: new Float32Array(buffer, place, count) };
    place += 4 * count;
  }
  return { step, header, arrays, memo: new Map() };
}

// Of what is drawn against one or two inputs of several.
export const HELD = "the other inputs are held at a central probe point";

// The part of an array at the given leading indices, as one flat array.
export function part(array, ...indices) {
  if (!array) return null;
  let size = array.values.length, start = 0;
  for (let i = 0; i < indices.length; i++) {
    if (indices[i] >= array.shape[i]) return null;
    size /= array.shape[i];
    start += indices[i] * size;
  }
  return array.values.subarray(start, start + size);
}
