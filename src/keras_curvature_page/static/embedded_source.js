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

// All packets of a chunk; its text is not needed any more then.
async function unpacked(chunk) {
  const bytes = await inflated(chunk.data);
  delete chunk.data;
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const headers = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const packets = headers.map((header, i) => ({ step: chunk.steps[i], header, arrays: {}, memo: new Map(), bytes: 0, digits: chunk.digits }));
  let at = 4 + length;
  for (const [name, shape, along, dropped] of chunk.arrays) {
    const size = shape.reduce((product, count) => product * count, 1);
    const values = restored(bytes, at, packets.length, size, along, dropped);
    at += 4 * packets.length * size;
    packets.forEach((packet, i) => {
      packet.arrays[name] = { shape, values: values.subarray(i * size, (i + 1) * size) };
      packet.bytes += 4 * size;
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

// Numbers are differences to the step before and, where they go `along`, to the place before: the
// lowest bytes of all of them, then the next ones. What is summed up is a float's bits, by size,
// without the last ones that were `dropped`.
function restored(bytes, at, rows, size, along, dropped) {
  const count = rows * size;
  const sums = new Int32Array(count), bits = new Int32Array(count);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0, sum = 0; column < size; column++, i++) {
      const code = bytes[at + i] | bytes[at + count + i] << 8
        | bytes[at + 2 * count + i] << 16 | bytes[at + 3 * count + i] << 24;
      const difference = (code >>> 1) ^ -(code & 1);
      sum = along ? (sum + difference) | 0 : difference;
      const value = row ? (sums[i - size] + sum) | 0 : sum;
      sums[i] = value;
      bits[i] = value < 0 ? (-value << dropped) | 0x80000000 : value << dropped;
    }
  }
  return new Float32Array(bits.buffer);
}
