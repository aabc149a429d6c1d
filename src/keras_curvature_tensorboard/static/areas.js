// Charts that are painted: the distribution, the map over two inputs, bars, the heat map.

import { Chart, colourScale, inPlot, shortened } from "./chart.js";
import { formatted, padded, quantile, reach, roundedUp, shares, union } from "./numbers.js";
import { HELD, part } from "./packets.js";
import { colours, css, diverging, faded, rising } from "./theme.js";

const BINS = 32;
const CUT = 4; // times as high as the outline may the bars be, or both could not be read
const GRID = 72; // cells of the map along each input
const NEAREST = 4; // probe points that a cell is mixed from

// How the Laplacian is spread over the probe.
export function distribution(view) {
  const unit = view.probe.header.curvature_unit;
  const values = (packet) => packet.arrays.laplacian_quantiles?.values ?? [];
  const over = (packet) => packet.arrays.scale_laplacian_quantiles?.values ?? [];
  const state = { bins: new Float64Array(BINS), over: new Float64Array(BINS), range: [0, 1] };
  const edges = (i) => state.range[0] + (i / BINS) * (state.range[1] - state.range[0]);

  const bars = (u, ctx) => {
    ctx.fillStyle = faded(colours.exact, 0.65);
    state.bins.forEach((share, i) => box(u, ctx, edges(i), 0, edges(i + 1), 100 * share, 1));
    outline(u, ctx, state.over, edges);
    ctx.strokeStyle = colours.ink;
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    const zero = u.valToPos(0, "x", true);
    ctx.moveTo(zero, u.bbox.top);
    ctx.lineTo(zero, u.bbox.top + u.bbox.height);
    ctx.stroke();
  };
  const told = (i) => (
    `${formatted(edges(i))} to ${formatted(edges(i + 1))}: exact ${percent(state.bins[i])}, over ±h ${percent(state.over[i])}`
  );
  const chart = new Chart({
    title: "Distribution of the Laplacian",
    x: `Laplacian [${unit}]`, y: "share of the probe [%]", height: 210,
    legend: [{ label: "exact", colour: "exact", kind: "block" }, { label: "over ±h", colour: "scale", kind: "solid" }],
    paint: (u) => inPlot(u, bars),
    hover: (u, left) => {
      const i = Math.floor(((u.posToVal(left, "x") - state.range[0]) / (edges(1) - edges(0))));
      return i >= 0 && i < BINS ? told(i) : "";
    },
    cells: () => Array.from(state.bins, (share, i) => ({ x: (edges(i) + edges(i + 1)) / 2, y: 50 * share })),
    table: () => [
      { name: `from [${unit}]`, values: Array.from(state.bins, (_, i) => edges(i)) },
      { name: `to [${unit}]`, values: Array.from(state.bins, (_, i) => edges(i + 1)) },
      { name: "share, exact [%]", values: Array.from(state.bins, (share) => 100 * share) },
      { name: "share, over ±h [%]", values: Array.from(state.over, (share) => 100 * share) },
    ],
  }, () => view.about());

  return {
    key: "distribution",
    chart,
    reach: (packet) => ({ x: union(reach(values(packet)), reach(over(packet))) }),
    show(packet, _, limits) {
      state.range = padded(union(limits.x, [0, 0]), 0.04);
      const { bins, outside } = shares(values(packet), state.range, BINS);
      state.bins = bins;
      state.over = shares(over(packet), state.range, BINS).bins;
      const [tallest, tallestOver] = [Math.max(...bins, 0.02), Math.max(...state.over)];
      const cut = tallestOver > 0 && tallest > CUT * tallestOver;
      const top = 100 * (cut ? CUT * tallestOver : Math.max(tallest, tallestOver));
      const note = [summary(values(packet), outside, unit), cut && `one bar reaches ${percent(tallest)}`];
      chart.update({ xRange: state.range, yRange: [0, 1.08 * top], note: note.filter(Boolean).join("; ") });
    },
  };
}

function summary(values, outside, unit) {
  if (!values.length) return "no finite values";
  const [low, middle, high] = [0.05, 0.5, 0.95].map((share) => formatted(quantile(values, share)));
  const beyond = outside ? `; ${formatted((100 * outside) / values.length)} % beyond the axis` : "";
  return `exact: median ${middle}, 5 % to 95 %: ${low} to ${high} ${unit}${beyond}`;
}

const percent = (share) => `${formatted(100 * share)} %`;

function outline(u, ctx, bins, edges) {
  ctx.strokeStyle = colours.scale;
  ctx.lineWidth = 1.8 * devicePixelRatio;
  ctx.beginPath();
  bins.forEach((share, i) => {
    const y = u.valToPos(100 * share, "y", true);
    ctx.lineTo(u.valToPos(edges(i), "x", true), y);
    ctx.lineTo(u.valToPos(edges(i + 1), "x", true), y);
  });
  ctx.stroke();
}

function box(u, ctx, x0, y0, x1, y1, gap) {
  const left = u.valToPos(x0, "x", true), right = u.valToPos(x1, "x", true);
  const a = u.valToPos(y0, "y", true), b = u.valToPos(y1, "y", true);
  ctx.fillRect(left, Math.min(a, b), Math.max(1, right - left - gap), Math.abs(a - b));
}

export const MAPS = {
  laplacian: "Laplacian",
  second0: "along the first input",
  second1: "along the second input",
  mixed: "mixed derivative",
  scale: "Laplacian over ±h",
  value: "function",
};

function mapName(map, a, b) {
  const [da, db] = [a, b].map((name) => (/^\w+$/.test(name) ? `∂${name}` : `∂(${shortened(name)})`));
  const symbols = { second0: `∂²y/${da}²`, second1: `∂²y/${db}²`, mixed: `∂²y/${da}${db}` };
  return symbols[map] ?? MAPS[map];
}

// A map over the plane of two inputs: the space between probe points is filled from them.
export function planeMap(view, map) {
  const { header, arrays } = view.probe;
  const [a, b] = header.names;
  const [xs, ys] = [part(arrays.x, 0), part(arrays.x, 1)];
  const box2 = [padded(reach(xs), 0.03), padded(reach(ys), 0.03)];
  const mixing = view.once("mixture", () => mixture(xs, ys, box2));
  const image = document.createElement("canvas");
  image.width = image.height = GRID;
  const state = { values: new Float32Array(xs.length), low: -1, high: 1 };
  const name = () => mapName(map, a, b);
  const unit = () => (map === "value"
    ? (header.units === "std" ? "σy" : "y") : header.curvature_unit);
  const share = (value) => (value - (state.low + state.high) / 2) / ((state.high - state.low) / 2);
  const colour = (value) => diverging(share(value));

  const chart = new Chart({
    title: "Map", x: a, y: b, height: 330, right: 88,
    paint(u, ctx) {
      inPlot(u, () => drawMap(u, ctx, image, box2, header.held ? [] : xs, ys, state.values, colour));
      colourScale(u, ctx, { ...state, colour: (value) => css(colour(value)), unit: unit() });
    },
    hover: (u, left, top) => near(u, xs, ys, left, top, (i) => (
      `${a} ${formatted(xs[i])}, ${b} ${formatted(ys[i])}: ${formatted(state.values[i])} ${unit()}`
    )),
    cells: () => Array.from(xs, (x, i) => ({ x, y: ys[i] })),
    table: () => [
      { name: a, values: xs }, { name: b, values: ys },
      { name: `${name()} [${unit()}]`, values: state.values },
    ],
  }, () => view.about());

  return {
    key: map === "scale" ? "map_laplacian" : `map_${map}`, // the two Laplacians share their colours
    shows: map,
    chart,
    reach: (packet) => ({ z: reach(mapped(packet, view.entry(), map) ?? []) }),
    show(packet, _, limits) {
      state.values = mapped(packet, view.entry(), map) ?? new Float32Array(xs.length).fill(NaN);
      const range = limits.z ?? [-1, 1];
      const size = roundedUp(Math.max(Math.abs(range[0]), Math.abs(range[1])) || 1);
      [state.low, state.high] = map === "value" ? padded(range, 0) : [-size, size];
      fill(image, mixing, state.values, colour);
      const widths = [a, b].map((input, i) => `${formatted(arrays.scale.values[i])} along ${shortened(input)}`);
      chart.update({
        xRange: box2[0], yRange: box2[1], title: `Map: ${name()}`,
        note: [map === "scale" && `h = ${widths.join(", ")}`, header.held && HELD, beyond(state)].filter(Boolean).join("; "),
      });
    },
  };
}

// How many points have the last colour of the scale without being that number.
function beyond({ values, low, high }) {
  const count = values.reduce((sum, value) => sum + (value < low || value > high), 0);
  return count ? `${count} points lie beyond the colours` : "";
}

function mapped({ arrays, memo }, entry, map) {
  const sum = (array) => {
    const [first, second] = [part(array, entry, 0), part(array, entry, 1)];
    return first && first.map((value, i) => value + second[i]);
  };
  const key = `${map} ${entry}`;
  if (!memo.has(key)) {
    memo.set(key, {
      laplacian: () => sum(arrays.second),
      second0: () => part(arrays.second, entry, 0),
      second1: () => part(arrays.second, entry, 1),
      mixed: () => part(arrays.mixed, entry),
      scale: () => sum(arrays.scale_second),
      value: () => part(arrays.value, entry),
    }[map]());
  }
  return memo.get(key);
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

function fill(image, { count, points, weights }, values, colour) {
  const ctx = image.getContext("2d");
  const pixels = ctx.createImageData(GRID, GRID);
  for (let cell = 0; cell < GRID * GRID; cell++) {
    let sum = 0, total = 0;
    for (let k = cell * count; k < (cell + 1) * count; k++) {
      const value = values[points[k]];
      if (value !== value) continue;
      sum += weights[k] * value;
      total += weights[k];
    }
    if (total > 0) pixels.data.set([...colour(sum / total), 255], 4 * cell);
  }
  ctx.putImageData(pixels, 0, 0);
}

function drawMap(u, ctx, image, [[x0, x1], [y0, y1]], xs, ys, values, colour) {
  const left = u.valToPos(x0, "x", true), top = u.valToPos(y1, "y", true);
  ctx.globalAlpha = 0.8;
  ctx.drawImage(image, left, top, u.valToPos(x1, "x", true) - left, u.valToPos(y0, "y", true) - top);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = faded(colours.ink, 0.55);
  ctx.lineWidth = 0.7 * devicePixelRatio;
  const radius = (xs.length > 500 ? 2.2 : 3) * devicePixelRatio;
  for (let i = 0; i < xs.length; i++) {
    ctx.fillStyle = css(colour(values[i]));
    ctx.beginPath();
    ctx.arc(u.valToPos(xs[i], "x", true), u.valToPos(ys[i], "y", true), radius, 0, 2 * Math.PI);
    ctx.fill();
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

const MOST_BARS = 16;

// The most curved inputs, one bar each.
export function featureBars(view) {
  const { feature_unit: unit, inputs } = view.probe.header;
  const count = Math.min(MOST_BARS, view.packet.header.features.length);
  const state = { names: [], values: [] };
  const axis = new Array(count).fill("");
  const chart = new Chart({
    title: "Curvature along each input", x: `mean |∂²y/∂x²| [${unit}]`,
    height: Math.max(60 + 19 * count, view.packet.arrays.interactions ? heatHeight(inputs) : 0),
    names: { y: axis },
    paint: (u) => inPlot(u, (_, ctx) => {
      state.values.forEach((value, i) => {
        ctx.fillStyle = colours.exact;
        box(u, ctx, 0, i + 0.14, value, i + 0.86, 0);
      });
    }),
    hover: (u, left, top) => told(Math.floor(u.posToVal(top, "y"))),
    cells: () => state.values.map((value, i) => ({ x: value / 2, y: i + 0.5 })),
    table: () => [
      { name: "input", values: view.packet.header.features },
      { name: `mean |second derivative| [${unit}]`, values: view.packet.arrays.features.values },
    ],
  }, () => view.about());
  const told = (i) => (i >= 0 && i < state.names.length
    ? `${state.names[i]}: ${formatted(state.values[i])} ${unit}` : "");

  return {
    key: "features",
    chart,
    reach: (packet) => ({ x: union([0, 0], reach(packet.arrays.features.values)) }),
    show(packet, _, limits) {
      state.names = packet.header.features.slice(0, count);
      state.values = Array.from(packet.arrays.features.values.subarray(0, count));
      axis.splice(0, count, ...state.names);
      const top = padded(limits.x, 0.04)[1];
      const others = inputs - count;
      chart.update({
        xRange: [0, top], yRange: [0, count],
        note: others > 0 ? `the ${count} most curved of ${inputs} inputs` : "",
      });
    },
  };
}

const heatHeight = (d) => Math.min(520, 90 + Math.max(26, 220 / d) * d);

// Which inputs act together.
export function heatMap(view) {
  const { names, feature_unit: unit } = view.probe.header;
  const d = names.length;
  const state = { values: new Float32Array(d * d), low: 0, high: 1 };
  const colour = (value) => css(rising(value / state.high));
  const at = (i, j) => state.values[i * d + j];
  const told = (i, j) => (i >= 0 && j >= 0 && i < d && j < d
    ? `${names[i]} × ${names[j]}: ${formatted(at(i, j))} ${unit}` : "");
  const chart = new Chart({
    title: "Which inputs act together: mean |Hessian|", right: 88, height: heatHeight(d), names: { x: names, y: names },
    paint(u, ctx) {
      inPlot(u, () => {
        for (let i = 0; i < d; i++) {
          for (let j = 0; j < d; j++) {
            ctx.fillStyle = colour(at(i, j));
            box(u, ctx, j, i, j + 1, i + 1, d > 24 ? 0 : 1);
          }
        }
      });
      colourScale(u, ctx, { ...state, colour, unit });
    },
    hover: (u, left, top) => told(Math.floor(u.posToVal(top, "y")), Math.floor(u.posToVal(left, "x"))),
    cells: () => Array.from({ length: d * d }, (_, k) => ({ x: (k % d) + 0.5, y: Math.floor(k / d) + 0.5 })),
    table: () => [
      { name: "input", values: names },
      ...names.map((name, j) => ({
        name: `${name} [${unit}]`, values: names.map((_, i) => at(i, j)),
      })),
    ],
  }, () => view.about());

  return {
    key: "interactions",
    chart,
    reach: (packet) => ({ z: union([0, 0], reach(packet.arrays.interactions?.values ?? [])) }),
    show(packet, _, limits) {
      state.values = packet.arrays.interactions?.values ?? new Float32Array(d * d);
      state.high = roundedUp(limits.z?.[1] || 1);
      chart.update({ xRange: [0, d], yRange: [0, d] });
    },
  };
}
