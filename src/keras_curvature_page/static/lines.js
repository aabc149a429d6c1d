// Charts of lines: a function, its slope and its curvature against one input, and the
// curvature against the distance over which it is taken.

import { Chart, said } from "./chart.js";
import { epochName, extent, formatted, padded, paddedDecades, reach, union } from "./numbers.js";
import { HELD, part } from "./packets.js";
import { colours, faded, FINE } from "./theme.js";

export const GHOSTS = 8; // earlier epochs that are drawn faintly

const ghosts = (colour) => Array.from({ length: GHOSTS }, () => (
  { label: "earlier", colour, ghost: true, width: 1 }
));

// A chart of curves against a common x. `curves`: { label, colour, dash, of, ghosts } where
// `of(packet)` gives the numbers, or null; `fixed` ones are the same at every step. Axes need
// not reach curves that are `aside`. `clouds`: { label, colour, x, of } of points that no line joins.
export function curveChart(view, { key, spec, x, curves, fixed = [], clouds = [], zero = false, title, remark, under }) {
  const faint = curves.filter((curve) => curve.ghosts);
  const lines = [...faint.flatMap(({ colour }) => ghosts(colour)), ...fixed, ...curves];
  const chart = new Chart({
    ...spec,
    lines,
    rounded: () => view.packet.rounded,
    legend: [...spec.legend ?? [], ...clouds.map((cloud) => ({ ...cloud, kind: "dotted" }))],
    under: (u, ctx) => {
      under?.(u, ctx);
      clouds.forEach((cloud) => dots(u, ctx, cloud.x, cloud.of(view.packet) ?? [], colours[cloud.colour]));
    },
    table: () => [
      { name: said(spec.x), values: x(view.packet), exact: true },
      ...[...fixed, ...curves].map((curve) => ({
        name: `${curve.label} [${spec.unit}]`, values: curve.of(view.packet) ?? [],
      })),
    ],
  }, () => view.about());

  const main = [...fixed, ...curves, ...clouds].filter(({ aside }) => !aside);
  const reachOf = (packet) => union(
    ...main.map(({ of }) => (spec.logarithmic ? extent : reach)(of(packet) ?? [])), zero ? [0, 0] : null,
  );
  const pad = spec.logarithmic ? paddedDecades : padded;
  return {
    key,
    chart,
    reach: (packet) => ({ x: union(reach(x(packet) ?? []), ...clouds.map((cloud) => reach(cloud.x))), y: reachOf(packet) }),
    show(packet, earlier, limits) {
      const positions = x(packet);
      const gap = new Array(positions.length).fill(null);
      const rows = faint.flatMap(({ of }) => (
        Array.from({ length: GHOSTS }, (_, i) => (earlier[i] && of(earlier[i])) || gap)
      ));
      const drawn = [...fixed, ...curves].map(({ of }) => of(packet) ?? gap);
      const yRange = pad(limits.y);
      const seen = main.map(({ of }) => of(packet) ?? []);
      chart.update({
        data: [positions, ...rows, ...drawn],
        xRange: spec.logarithmic ? [limits.x[0] / 1.2, limits.x[1] * 1.2] : padded(limits.x, 0.02),
        yRange,
        title: title?.(),
        note: [remark?.(), note(seen, yRange)].filter(Boolean).join("; "),
      });
    },
  };
}

function note(rows, [low, high]) {
  let beyond = 0;
  for (const row of rows) for (const v of row) if (v < low || v > high) beyond += 1;
  return beyond ? `${beyond} values lie beyond the axes` : "";
}

// Function, slope and curvature against a single input. Where there are others, these are held on
// the lines, and the points of the probe, which differ in them, are dots.
export function oneInput(view) {
  const { header, arrays } = view.probe;
  const name = header.names[0] ?? "x";
  const std = header.units === "std";
  const [output, slope] = std ? ["σy", "σy/σx"] : ["y", "y/x"];
  const x = () => arrays.x.values;
  const common = { x: name === "x" ? "x" : `${name} [x]`, height: 210, link: "x" };
  const of = (array, ...rest) => (packet) => part(packet.arrays[array], view.entry(), ...rest);
  const still = (array, ...rest) => () => part(arrays[array], view.entry(), ...rest);
  // What is known and what was measured at the points of the probe.
  const atPoints = (found, rest, known, line) => {
    const given = arrays[known] ? [{ ...line, colour: "target", of: still(known, ...rest) }] : [];
    if (!arrays.points) return { fixed: given };
    const dots = { label: "points of the probe", colour: "exact", of: of(found, ...rest) };
    return {
      clouds: [dots, ...given].map((cloud) => ({ ...cloud, x: arrays.points.values })),
      remark: () => `on the line ${HELD}`,
    };
  };
  const h = arrays.scale.values[0];
  const unit = header.curvature_unit;

  return [
    curveChart(view, {
      key: "value",
      spec: { ...common, title: "Function", unit: output, y: `output [${output}]` },
      x,
      curves: [{ label: "model", colour: "exact", of: of("value"), ghosts: true }],
      ...atPoints("point_value", [], "target", { label: "data", dots: 3.5, only: true }),
    }),
    curveChart(view, {
      key: "slope",
      spec: { ...common, title: "Slope ∂y/∂x", unit: slope, y: `slope [${slope}]` },
      x,
      zero: true,
      curves: [{ label: "exact", colour: "exact", of: of("slope"), ghosts: true }],
      ...atPoints("point_slope", []),
    }),
    curveChart(view, {
      key: "second",
      spec: {
        ...common, title: "Curvature ∂²y/∂x²", unit, y: `curvature [${unit}]`, height: 240,
      },
      x,
      zero: true,
      curves: [
        { label: `over ±${Number(h.toPrecision(3))}`, colour: "scale", of: of("scale_second", 0), ghosts: true, width: 2 },
        { label: "exact", colour: "exact", of: of("second", 0), ghosts: true },
      ],
      ...atPoints("point_second", [0], "reference", { label: "known", dash: [5, 4], width: 1.8 }),
      under: (u, ctx) => margins(u, ctx, arrays),
    }),
  ];
}

// Points of their own places.
function dots(u, ctx, xs, ys, colour) {
  ctx.fillStyle = faded(colour, 0.4);
  ys.forEach((y, i) => {
    if (!Number.isFinite(y)) return;
    ctx.beginPath();
    ctx.arc(u.valToPos(xs[i], "x", true), u.valToPos(y, "y", true), 1.8 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fill();
  });
}

// Shades where the window x ± h leaves the probe's range: the model extrapolates there.
function margins(u, ctx, { x: { values: x }, window }) {
  if (!window) return;
  const { top, height } = u.bbox;
  const [first, last] = window.values;
  ctx.fillStyle = faded(colours.scale, 0.07);
  for (const [from, to] of [[x[0], first], [last, x.at(-1)]]) {
    const left = u.valToPos(from, "x", true);
    ctx.fillRect(left, top, u.valToPos(to, "x", true) - left, height);
  }
}

// The function and its curvature along one of many inputs, the others held.
export function slices(view) {
  const { header, arrays } = view.probe;
  if (!arrays.slice_x) return [];
  const std = header.units === "std";
  const x = () => part(arrays.slice_x, view.feature());
  const of = (array) => (packet) => part(packet.arrays[array], view.entry(), view.feature());
  const name = () => header.names[view.feature()];
  const along = (what) => () => `${what} along ${name()}`;
  const [unit, output] = [header.curvature_unit, std ? "σy" : "y"];
  const common = { x: () => `${view.label(name())} [x]`, height: 210, link: "slice" };
  return [
    curveChart(view, {
      key: "slice_value",
      spec: { ...common, title: "Function along one input", unit: output, y: `output [${output}]` },
      x,
      title: along("Function"),
      remark: () => HELD,
      curves: [{ label: "model", colour: "exact", of: of("slice_value"), ghosts: true }],
    }),
    curveChart(view, {
      key: "slice_second",
      spec: { ...common, title: "Curvature along one input", unit, y: `curvature [${unit}]` },
      x,
      title: along("Curvature"),
      remark: () => `h = ${formatted(arrays.scale.values[view.feature()])}; ${HELD}`,
      zero: true,
      curves: [
        { label: "over ±h", colour: "scale", of: of("slice_scale_second"), ghosts: true, width: 2 },
        { label: "exact", colour: "exact", of: of("slice_second"), ghosts: true },
      ],
    }),
  ];
}

// How curved the function is over each distance: where it is smooth this settles as the
// distance shrinks, where it has kinks it does not.
export function againstDistance(view) {
  const { header, arrays } = view.probe;
  if (!view.distances(view.packet)) return [];
  const [along, unit] = header.distance_units;
  const row = (i) => (packet) => (
    part(view.distances(packet)?.arrays.spectrum, i)?.map((v) => (v ? Math.abs(v) : NaN))
  );
  const used = arrays.distance.values[0];
  return [curveChart(view, {
    key: "spectrum",
    spec: {
      title: "Curvature against distance", height: 210, logarithmic: true,
      x: `distance h [${along}]`, unit, y: `curvature [${unit}]`,
      legend: [{ label: `h of scale_mean, ${formatted(used)}`, colour: "scale", kind: "fine" }],
    },
    x: row(0),
    curves: [
      { label: "root mean square", colour: "exact", of: row(2), ghosts: true, dots: 5 },
      { label: "|mean|", colour: "exact", of: row(1), dash: [5, 4], aside: true },
      { label: "rounding in the model's dtype", colour: "target", of: row(3), dash: FINE, aside: true },
    ],
    remark: () => {
      const { step, header } = view.distances(view.packet);
      return `${header.distances}${step === view.packet.step ? "" : ` Measured ${at(step)}.`}`;
    },
    under: (u, ctx) => marker(u, ctx, used),
  })];
}

const at = (step) => (step === 0 ? epochName(step) : `at ${epochName(step)}`);

function marker(u, ctx, x) {
  const { top, height } = u.bbox;
  const left = u.valToPos(x, "x", true);
  ctx.strokeStyle = colours.scale;
  ctx.lineWidth = 1.3 * devicePixelRatio;
  ctx.setLineDash(FINE);
  ctx.beginPath();
  ctx.moveTo(left, top);
  ctx.lineTo(left, top + height);
  ctx.stroke();
}
