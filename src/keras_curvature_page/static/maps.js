// Maps over the plane of two inputs: of what was measured at the probe's points, and of functions
// that were evaluated on a grid.

import { Chart, colourScale, inPlot, shortened } from "./chart.js";
import { formatted, padded, reach, roundedUp } from "./numbers.js";
import { HELD, part } from "./packets.js";
import { colours, css, diverging, faded } from "./theme.js";

const GRID = 72; // cells of the map along each input
const NEAREST = 4; // probe points that a cell is mixed from

// What a run of two inputs can show, by what it is called in the menu. `of` takes its numbers
// from a packet, `needs` is an array of the probe without which there are none. What is summed up or
// subtracted here, fixed_point.py rounds so finely that the result is right.
const MEASURED = {
  laplacian: { name: () => "Laplacian", of: ({ second }) => sum(second(0), second(1)) },
  second0: { name: (da) => `∂²y/${da}²`, of: ({ second }) => second(0) },
  second1: { name: (da, db) => `∂²y/${db}²`, of: ({ second }) => second(1) },
  mixed: { name: (da, db) => `∂²y/${da}${db}`, of: ({ mixed }) => mixed() },
  scale: { name: () => "Laplacian over ±h", of: ({ over }) => sum(over(0), over(1)) },
  value: { name: () => "function", of: ({ value }) => value() },
  misfit: { name: () => "function − data", needs: "target", of: ({ value, target }) => minus(value(), target()) },
  error0: { name: (da) => `∂²y/${da}² − known`, needs: "reference", of: ({ second, known }) => minus(second(0), known(0)) },
  error1: { name: (da, db) => `∂²y/${db}² − known`, needs: "reference", of: ({ second, known }) => minus(second(1), known(1)) },
};

const OWN = "own "; // before the name of a function of the user's

const sum = (a, b) => a && b && a.map((value, i) => value + b[i]);
const minus = (a, b) => a && b && a.map((value, i) => value - b[i]);

// The maps that a run has, as [key, name in the menu].
export function mapsOf({ header, arrays }) {
  const own = (header.maps ?? []).map(({ name }) => [OWN + name, name]);
  if (header.inputs !== 2) return own;
  const measured = Object.entries(MEASURED).filter(([, { needs }]) => !needs || arrays[needs]);
  return [...measured.map(([key]) => [key, mapName(key, ...header.names)]), ...own];
}

function mapName(key, ...names) {
  const symbols = names.map((name) => (/^\w+$/.test(name) ? `∂${name}` : `∂(${shortened(name)})`));
  return MEASURED[key].name(...symbols);
}

// The maps of a run, of which one is chosen; of two inputs also the one that sees kinks.
export function maps(view) {
  const { inputs, maps: own = [] } = view.probe.header;
  const has = (key) => mapsOf(view.probe).some(([known]) => known === key);
  const chosen = view.map();
  const key = has(chosen) ? chosen : inputs === 2 ? "laplacian" : own.length ? OWN + own[0].name : null;
  if (key === null) return [];
  const shown = [key, ...(inputs === 2 ? ["scale"] : [])];
  return [...new Set(shown)].map((map) => (map.startsWith(OWN) ? gridMap(view, map) : pointMap(view, map)));
}

// A map of what was measured: the space between probe points is filled from them.
function pointMap(view, map) {
  const { header, arrays } = view.probe;
  const { names } = header;
  const [xs, ys] = [part(arrays.x, 0), part(arrays.x, 1)];
  const frame = [padded(reach(xs), 0.03), padded(reach(ys), 0.03)];
  const mixing = view.once("mixture", () => mixture(xs, ys, frame));
  const inside = map === "scale" ? within(arrays.window) : () => true;
  const value = map === "value" || map === "misfit";
  const unit = value ? (header.units === "std" ? "σy" : "y") : header.curvature_unit;
  const counted = (count) => (count === 1 ? "1 point lies" : `${count} points lie`);
  const widths = () => names.map((name, i) => `${formatted(arrays.scale.values[i])} along ${view.label(name)}`);
  return plane(view, {
    key: map === "scale" ? "map_laplacian" : `map_${map}`, // the two Laplacians share their colours
    shows: map,
    title: mapName(map, ...names),
    names, unit, frame, xs, ys, counted,
    signed: map !== "value",
    smooth: true,
    dots: !header.held, // else they are those of a grid
    values: (packet) => kept(packet, `${map} ${view.entry()}`, () => {
      const found = MEASURED[map].of(parts(packet, view)) ?? xs.map(() => NaN);
      return found.map((v, i) => (inside(xs[i], ys[i]) ? v : NaN));
    }),
    cells: (values) => mixed(mixing, values, (cell) => inside(...place(cell, frame))),
    size: GRID,
    remark: [
      map === "scale" && `h = ${widths().join(", ")}; no colour where x ± h leaves the probe’s range`,
      header.held && HELD,
    ].filter(Boolean).join("; "),
    nothing: ["laplacian", "second0", "second1", "mixed"].includes(map) ? "exactly 0 at every point: if it bends, then in kinks; see over ±h" : "",
  });
}

// A map of a function of the user's, evaluated on a grid.
function gridMap(view, map) {
  const index = view.probe.header.maps.findIndex(({ name }) => OWN + name === map);
  const { name, inputs, held } = view.probe.header.maps[index];
  const axes = [0, 1].map((side) => part(view.probe.arrays.map_axes, index, side));
  const size = axes[0].length;
  const frame = axes.map((axis) => {
    const half = (axis[1] - axis[0]) / 2;
    return [axis[0] - half, axis.at(-1) + half];
  });
  const at = Array.from({ length: size * size }, (_, i) => [axes[0][i % size], axes[1][Math.floor(i / size)]]);
  return plane(view, {
    key: map,
    shows: map,
    title: name,
    names: inputs,
    unit: "",
    frame,
    xs: at.map(([x]) => x),
    ys: at.map(([, y]) => y),
    counted: (count) => (count === 1 ? "1 place of the grid lies" : `${count} places of the grid lie`),
    signed: true,
    values: (packet) => part(packet.arrays.maps, index) ?? new Float32Array(size * size).fill(NaN),
    cells: (values) => Array.from({ length: size * size }, (_, cell) => (
      values[(size - 1 - Math.floor(cell / size)) * size + (cell % size)])), // rows from the top
    size,
    remark: held,
  });
}

// What all maps have: axes with names, colours, a scale that says when it is too short.
function plane(view, map) {
  const { names: [a, b], unit, frame, xs, ys } = map;
  const image = document.createElement("canvas");
  image.width = image.height = map.size;
  const state = { values: new Float32Array(xs.length), low: -1, high: 1 };
  const colour = (value) => diverging((value - (state.low + state.high) / 2) / ((state.high - state.low) / 2));
  const said = unit && ` ${unit}`;
  const chart = new Chart({
    rounded: () => view.packet.rounded,
    title: "Map", x: a, y: b, height: 330, right: 96,
    paint(u, ctx) {
      inPlot(u, () => drawMap(u, ctx, image, frame, Boolean(map.smooth)));
      if (map.dots) inPlot(u, () => drawDots(u, ctx, xs, ys));
      colourScale(u, ctx, { ...state, colour: (value) => css(colour(value)), unit, beyond: beyond(state) });
    },
    hover: (u, left, top) => near(u, xs, ys, left, top, (i) => (
      `${a} ${formatted(xs[i])}, ${b} ${formatted(ys[i])}: ${formatted(state.values[i])}${said}`
    )),
    cells: () => Array.from(xs, (x, i) => ({ x, y: ys[i] })),
    table: () => [
      { name: a, values: xs, exact: true }, { name: b, values: ys, exact: true },
      { name: map.title + (unit && ` [${unit}]`), values: state.values },
    ],
  }, () => view.about());

  return {
    key: map.key,
    shows: map.shows,
    chart,
    reach: (packet) => ({ z: reach(map.values(packet)) }),
    show(packet, _, limits) {
      state.values = map.values(packet);
      const range = limits.z ?? [-1, 1];
      const size = roundedUp(Math.max(Math.abs(range[0]), Math.abs(range[1])) || 1);
      [state.low, state.high] = map.signed ? [-size, size] : padded(range, 0);
      fill(image, map.cells(state.values), colour);
      const { low, high } = beyond(state);
      const nothing = map.nothing && state.values.every((value) => value === 0);
      chart.update({
        xRange: frame[0], yRange: frame[1], title: `Map: ${map.title}`,
        note: [map.remark, nothing && map.nothing, low + high && `${map.counted(low + high)} beyond the colours`].filter(Boolean).join("; "),
      });
    },
  };
}

// How many places have the first and the last colour of the scale without being that number.
function beyond({ values, low, high }) {
  const count = (is) => values.reduce((total, value) => total + is(value), 0);
  const slack = 1e-6 * (high - low); // numbers are in single precision
  return { low: count((value) => value < low - slack), high: count((value) => value > high + slack) };
}

// The arrays of a step, and those that stay the same, for the entry that is shown.
function parts({ arrays }, view) {
  const still = view.probe.arrays, entry = view.entry();
  return {
    value: () => part(arrays.value, entry),
    second: (i) => part(arrays.second, entry, i),
    over: (i) => part(arrays.scale_second, entry, i),
    mixed: () => part(arrays.mixed, entry),
    target: () => part(still.target, entry),
    known: (i) => part(still.reference, entry, i),
  };
}

function kept({ memo }, key, compute) {
  if (!memo.has(key)) memo.set(key, compute());
  return memo.get(key);
}

// Whether a window around a place lies within the probe's range.
function within(window) {
  if (!window) return () => true;
  const [first, last] = [part(window, 0), part(window, 1)];
  return (...at) => at.every((value, i) => value >= first[i] && value <= last[i]);
}

// Where the middle of a cell is; cells go by rows, from the top.
function place(cell, [[x0, x1], [y0, y1]]) {
  const along = ((cell % GRID) + 0.5) / GRID, up = 1 - (Math.floor(cell / GRID) + 0.5) / GRID;
  return [x0 + along * (x1 - x0), y0 + up * (y1 - y0)];
}

// For every cell the nearest points and their weights, 1/distance²; nothing far from all.
function mixture(xs, ys, [[x0, x1], [y0, y1]]) {
  const count = Math.min(NEAREST, xs.length);
  const points = new Int32Array(GRID * GRID * count), weights = new Float32Array(points.length);
  const u = Float32Array.from(xs, (x) => (x - x0) / (x1 - x0));
  const v = Float32Array.from(ys, (y) => (y - y0) / (y1 - y0));
  const far = Math.max(0.02, 3 / Math.sqrt(xs.length)) ** 2;
  const best = new Float32Array(count), who = new Int32Array(count);
  for (let cell = 0; cell < GRID * GRID; cell++) {
    const cu = ((cell % GRID) + 0.5) / GRID, cv = 1 - (Math.floor(cell / GRID) + 0.5) / GRID;
    best.fill(Infinity);
    for (let i = 0; i < u.length; i++) {
      const distance = (u[i] - cu) ** 2 + (v[i] - cv) ** 2;
      if (distance >= best[count - 1]) continue;
      let k = count - 1;
      for (; k > 0 && best[k - 1] > distance; k--) { best[k] = best[k - 1]; who[k] = who[k - 1]; }
      best[k] = distance;
      who[k] = i;
    }
    const seen = best[0] < far;
    for (let k = 0; k < count; k++) {
      points[cell * count + k] = who[k];
      weights[cell * count + k] = seen ? 1 / (best[k] + 1e-6) : 0;
    }
  }
  return { count, points, weights };
}

// The number of each cell, NaN where there is none.
function mixed({ count, points, weights }, values, inside) {
  return Array.from({ length: GRID * GRID }, (_, cell) => {
    if (!inside(cell)) return NaN;
    let total = 0, weight = 0;
    for (let k = cell * count; k < (cell + 1) * count; k++) {
      const value = values[points[k]];
      if (value !== value) continue;
      total += weights[k] * value;
      weight += weights[k];
    }
    return weight > 0 ? total / weight : NaN;
  });
}

function fill(image, cells, colour) {
  const ctx = image.getContext("2d");
  const pixels = ctx.createImageData(image.width, image.height);
  cells.forEach((value, cell) => {
    if (value === value) pixels.data.set([...colour(value), 255], 4 * cell);
  });
  ctx.putImageData(pixels, 0, 0);
}

function drawMap(u, ctx, image, [[x0, x1], [y0, y1]], smooth) {
  const left = u.valToPos(x0, "x", true), top = u.valToPos(y1, "y", true);
  ctx.imageSmoothingEnabled = smooth;
  ctx.drawImage(image, left, top, u.valToPos(x1, "x", true) - left, u.valToPos(y0, "y", true) - top);
}

// Where the probe's points are: small and hollow, so that they hide nothing.
function drawDots(u, ctx, xs, ys) {
  ctx.strokeStyle = faded(colours.ink, 0.4);
  ctx.lineWidth = 0.6 * devicePixelRatio;
  for (let i = 0; i < xs.length; i++) {
    ctx.beginPath();
    ctx.arc(u.valToPos(xs[i], "x", true), u.valToPos(ys[i], "y", true), 1.3 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.stroke();
  }
}

function near(u, xs, ys, left, top, tell) {
  let best = 24 ** 2, found = -1;
  for (let i = 0; i < xs.length; i++) {
    const distance = (u.valToPos(xs[i], "x") - left) ** 2 + (u.valToPos(ys[i], "y") - top) ** 2;
    if (distance < best) [best, found] = [distance, i];
  }
  return found < 0 ? "" : tell(found);
}
