// Packets that stand in the page itself, in chunks of many steps: see chunks.py for their form.
// In a notebook more of them arrive as messages while the model trains.

export class EmbeddedSource {
  constructor(told) {
    this.series = [];
    this.chunks = new Map(); // by run, tag and step
    this.news = () => {};
    this.add(told);
  }

  add({ series, chunks, broken }) {
    this.series = series;
    this.broken = broken;
    for (const chunk of chunks) {
      for (const [place, step] of chunk.steps.entries()) this.chunks.set(address(chunk.run, chunk.tag, step), [chunk, place]);
    }
  }

  async runs() { return { kept: null, series: this.series, broken: this.broken }; }

  // A step that has no chunk is one whose record is broken.
  async read(wanted, keep) {
    for (const [place, listed, tag, step] of wanted) {
      const [chunk, index] = this.chunks.get(address(listed.run, listed[tag], step)) ?? [];
      const packets = chunk && await (chunk.packets ??= unpacked(chunk));
      keep(place, packets?.[index] ?? { step, header: null, arrays: {}, bytes: 0 });
    }
  }

  // From the page around this one, which tells it what the monitor measured since.
  follow(reload) {
    if (window.parent === window) return;
    window.addEventListener("message", ({ source, data }) => {
      if (source !== window.parent || !data?.kerasCurvature) return;
      data.kerasCurvature.forEach((told) => this.add(told));
      reload();
    });
    if (window.name) window.parent.postMessage(`${window.name} ready`, "*");
  }
}

const address = (run, tag, step) => JSON.stringify([run, tag, step]);

const GAINS = 64; // gains are multiples of a 64th

// All packets of a chunk; its text is not needed any more then.
async function unpacked(chunk) {
  const bytes = await inflated(chunk.data);
  delete chunk.data;
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const told = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const packets = told.headers.map((header, i) => (
    { step: chunk.steps[i], header, arrays: {}, memo: new Map(), bytes: 0, rounded: chunk.rounded }));
  const rows = packets.length;
  const multiples = new Multiples(rows, told.fixed);
  let at = 4 + length;
  for (const [name, shape, how] of chunk.arrays) {
    const size = shape.reduce((product, count) => product * count, 1);
    const codes = differences(bytes, at, rows * size);
    const values = how === "fixed" ? multiples.restored(codes, size, ...told.fixed[name]) : exact(codes, rows, size, how);
    at += 4 * rows * size;
    packets.forEach((packet, i) => {
      packet.arrays[name] = { shape, values: values.subarray(i * size, (i + 1) * size) };
      packet.bytes += values.BYTES_PER_ELEMENT * size;
    });
  }
  return packets;
}

async function inflated(text) {
  if (!window.DecompressionStream) throw new Error("This page needs a browser of 2023 or later.");
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The lowest bytes of all of them, then the next ones; the sign is in the lowest bit.
function differences(bytes, at, count) {
  const found = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const code = bytes[at + i] | bytes[at + count + i] << 8
      | bytes[at + 2 * count + i] << 16 | bytes[at + 3 * count + i] << 24;
    found[i] = (code >>> 1) ^ -(code & 1);
  }
  return found;
}

// Differences to the step before and, where they go `along`, to the place before; what is summed
// up is a float's bits, by size.
function exact(codes, rows, size, along) {
  const sums = new Int32Array(rows * size), bits = new Int32Array(rows * size);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0, sum = 0; column < size; column++, i++) {
      sum = along ? (sum + codes[i]) | 0 : codes[i];
      const value = row ? (sums[i - size] + sum) | 0 : sum;
      sums[i] = value;
      bits[i] = value < 0 ? -value | 0x80000000 : value;
    }
  }
  return new Float32Array(bits.buffer);
}

// Differences, in quanta, to what was to be expected from the step before and from the change of
// another place since. The places of all such arrays come one after the other.
class Multiples {
  constructor(rows, fixed) {
    this.rows = rows;
    this.width = Object.values(fixed).reduce((sum, [, predictors]) => sum + predictors.length, 0);
    this.values = new Float64Array(rows * this.width);
    this.first = 0;
  }

  restored(codes, size, quanta, predictors, gains) {
    const { rows, width, values, first } = this;
    const found = new Float64Array(rows * size); // in which a short decimal stays one
    const each = size / quanta.length; // places of one quantum
    for (let row = 0, i = 0; row < rows; row++) {
      for (let place = 0; place < size; place++, i++) {
        const here = row * width + first + place, other = here - predictors[place];
        const before = row ? values[here - width] : 0;
        const change = values[other] - (row ? values[other - width] : 0);
        const quantum = quanta[Math.floor(place / each)][row];
        const expected = Math.floor((before + (gains[place] / GAINS) * change) / quantum + 0.5);
        values[here] = (expected + codes[i]) * quantum;
        found[i] = values[here];
      }
    }
    this.first += size;
    return found;
  }
}
