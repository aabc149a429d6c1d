// Charts that are painted: the distribution, bars, rows and columns of colours.

import { Chart, colourScale, inPlot } from "./chart.js";
import { element } from "./dom.js";
import { formatted, padded, quantile, reach, roundedUp, shares, union } from "./numbers.js";
import { part } from "./packets.js";
import { colours, css, faded, rising } from "./theme.js";

const BINS = 32;
const CUT = 4; // times as high as the outline may the bars be, or both could not be read

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
    rounded: () => view.packet.rounded,
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

const MOST_BARS = 16;
const BAR = { 1: 19, 2: 28 }; // pixels of a row, by how many bars it has

// How curved the function is along each input, the most curved first: exactly, and kinks included.
export function featureBars(view) {
  const { feature_unit: unit, inputs } = view.probe.header;
  const { arrays, header } = view.packet;
  const over = arrays.features_over ? [{ array: "features_over", label: "over ±h, kinks included", colour: "scale" }] : [];
  const others = inputs - (header.changes?.length ?? 0);
  return bars(view, {
    key: "features",
    title: "Curvature along each input",
    x: `mean |∂²y/∂x²| [${unit}]`,
    unit,
    names: ({ header: { features } }) => features,
    series: [{ array: "features", label: "exact", colour: "exact" }, ...over],
    column: "mean |second derivative|",
    least: arrays.interactions ? heatHeight(inputs) : 0,
    note: (count) => (others > count ? `the ${count} most curved of ${others} inputs` : ""),
  });
}

// How much the output changes along inputs that have two values in the probe.
export function changeBars(view) {
  const { ways } = view.packet.header;
  return bars(view, {
    key: "changes",
    title: "Change along inputs of two values",
    x: "mean |change of y| [σy]",
    unit: "σy",
    names: ({ header: { changes } }) => changes,
    said: (i, { header: { ways, counts } }) => ` ${ways[i]}${counts?.[i] ? `; ${counts[i]}` : ""}`,
    series: [{ array: "changes", label: [...new Set(ways)].length === 1 ? ways[0] : "from one to the other", colour: "exact" }],
    column: "mean |change of the output|",
    least: 0,
    note: (count) => (ways.length > count ? `the ${count} largest of ${ways.length}` : ""),
  });
}

// `names(packet)` are those of the rows, `series` the bars of each row, `said` what is told of one
// row besides its number.
function bars(view, { key, title, x, unit, names, series, column, least, note, said = () => "" }) {
  const count = Math.min(MOST_BARS, names(view.packet).length);
  const state = { names: [], rows: [], packet: view.packet };
  const axis = new Array(count).fill("");
  const thick = 0.72 / series.length;
  const numbers = (i) => series.map(({ label }, k) => (
    `${series.length > 1 ? `${label.split(",")[0]} ` : ""}${formatted(state.rows[k][i])}`)).join(", ");
  const told = (i) => (i >= 0 && i < state.names.length
    ? `${state.names[i]}${said(i, state.packet)}: ${numbers(i)} ${unit}` : "");
  const chart = new Chart({
    title, x, height: Math.max(60 + BAR[series.length] * count, least),
    names: { y: axis },
    label: (name) => view.label(name),
    legend: series.length > 1 ? series.map(({ label, colour }) => ({ label, colour, kind: "block" })) : [],
    paint: (u) => inPlot(u, (_, ctx) => series.forEach(({ colour }, k) => {
      ctx.fillStyle = colours[colour];
      state.rows[k]?.forEach((value, i) => box(u, ctx, 0, i + 0.14 + k * thick, value, i + 0.14 + (k + 1) * thick, 0));
    })),
    hover: (u, left, top) => told(Math.floor(u.posToVal(top, "y"))),
    cells: () => state.names.map((_, i) => ({ x: state.rows[0][i] / 2, y: i + 0.5 })),
    rounded: () => view.packet.rounded,
    table: () => [
      { name: "input", values: names(view.packet) },
      ...series.map(({ array, label }, k) => ({
        name: `${column}${k ? `, ${label.split(",")[0]}` : ""} [${unit}]`, values: view.packet.arrays[array].values,
      })),
    ],
  }, () => view.about());

  const known = (packet) => series.map(({ array }) => packet.arrays[array]?.values ?? []);
  return {
    key,
    chart,
    reach: (packet) => ({ x: union([0, 0], ...known(packet).map(reach)) }),
    show(packet, _, limits) {
      state.packet = packet;
      state.names = names(packet).slice(0, count);
      state.rows = known(packet).map((values) => Array.from(values.slice(0, count)));
      axis.splice(0, count, ...state.names);
      chart.update({ xRange: [0, padded(limits.x, 0.04)[1]], yRange: [0, count], note: note(count) });
    },
  };
}

const heatHeight = (d) => Math.min(520, 90 + Math.max(26, 220 / d) * d);

// Words in the place of a chart.
export function words(title, text) {
  const root = element("figure", { className: "chart" },
    element("header", {}, element("h3", {}, title)), element("p", { className: "remark" }, text));
  const chart = { root, restyle() {}, destroy: () => root.remove() };
  return { key: "words", chart, reach: () => ({}), show() {} };
}

// Which inputs act together. With an input of two values there is no second derivative, but the
// change of the slope along the other one from one value to the other.
export function heatMap(view) {
  const { names, feature_unit: unit } = view.probe.header;
  const two = new Set(view.packet.header.changes ?? []);
  const change = (...pair) => pair.some((name) => two.has(name));
  const between = ", the change of a slope from one value to the other, over their difference";
  const shape = [names.length, names.length];
  return cells(view, {
    key: "interactions",
    title: `Which inputs act together: mean |${two.size ? "mixed derivative" : "Hessian"}|`,
    remark: two.size ? `with an input of two values${between}` : "",
    unit,
    shape,
    height: heatHeight(names.length),
    axes: { names: { x: names, y: names }, label: (name) => view.label(name) },
    of: (packet) => packet.arrays.interactions?.values,
    place: (i, j) => `${names[i]} × ${names[j]}${change(names[i], names[j]) ? between : ""}`,
    table: (at) => [
      { name: "input", values: names },
      ...names.map((name, j) => ({ name: `${name} [${unit}]`, values: names.map((_, i) => at(i, j)) })),
    ],
  });
}

// How curved the function is at each place of an image or a sequence: exactly, and kinks included.
export function grids(view) {
  const { feature_unit: unit, grid: [row, column] } = view.probe.header;
  const { shape: [, ...shape] } = view.packet.arrays.grid;
  const [rows, columns] = shape.map((count) => Array.from({ length: count }, (_, i) => String(i)));
  return ["exact", "over ±h, kinks included"].map((what, which) => cells(view, {
    key: "grid",
    shows: what,
    title: `Curvature by place, ${what}: mean |∂²y/∂x²|`,
    unit,
    shape,
    height: Math.round(Math.min(420, Math.max(120, 60 + (320 * shape[0]) / shape[1]))),
    axes: { x: column, y: row, names: { x: columns, y: rows } },
    of: (packet) => part(packet.arrays.grid, which),
    place: (i, j) => `${row} ${i}, ${column} ${j}`,
    table: (at) => [
      { name: row, values: rows },
      ...columns.map((name, j) => ({ name: `${column} ${name} [${unit}]`, values: rows.map((_, i) => at(i, j)) })),
    ],
  }));
}

// Rows and columns of colours for numbers from 0 on.
function cells(view, { key, shows, title, remark = "", unit, shape: [rows, columns], height, axes, of, place, table }) {
  const state = { values: new Float32Array(rows * columns), low: 0, high: 1 };
  const colour = (value) => css(rising(value / state.high));
  const at = (i, j) => state.values[i * columns + j];
  const told = (i, j) => (i >= 0 && j >= 0 && i < rows && j < columns
    ? `${place(i, j)}: ${formatted(at(i, j))} ${unit}` : "");
  const count = () => state.values.reduce((total, value) => total + (value > state.high * (1 + 1e-6)), 0);
  const chart = new Chart({
    title, right: 96, height, ...axes,
    paint(u, ctx) {
      inPlot(u, () => {
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) {
            ctx.fillStyle = colour(at(i, j));
            box(u, ctx, j, i, j + 1, i + 1, Math.max(rows, columns) > 24 ? 0 : 1);
          }
        }
      });
      colourScale(u, ctx, { ...state, colour, unit, beyond: { high: count() } });
    },
    hover: (u, left, top) => told(Math.floor(u.posToVal(top, "y")), Math.floor(u.posToVal(left, "x"))),
    cells: () => Array.from({ length: rows * columns }, (_, k) => ({ x: (k % columns) + 0.5, y: Math.floor(k / columns) + 0.5 })),
    rounded: () => view.packet.rounded,
    table: () => table(at),
  }, () => view.about());

  return {
    key,
    shows,
    chart,
    reach: (packet) => ({ z: union([0, 0], reach(of(packet) ?? [])) }),
    show(packet, _, limits) {
      state.values = of(packet) ?? new Float32Array(rows * columns);
      state.high = roundedUp(limits.z?.[1] || 1);
      const beyond = count();
      const notes = [remark, beyond ? `${beyond} beyond the colours` : ""];
      chart.update({ xRange: [0, columns], yRange: [0, rows], note: notes.filter(Boolean).join("; ") });
    },
  };
}
