// A titled chart with a legend that reads values, usable with mouse and keyboard.
//
// `spec` says what the chart is:
//   title            a text
//   x, y             labels of the axes, or functions that give them; y may be left out
//   unit             of what is drawn
//   legend           [{ label, colour, kind }] for what is painted; kinds as in the style sheet
//   height           of the plot, in pixels
//   lines            [{ label, colour, width?, dash?, dots?, only?, ghost? }] against a common x;
//                    `dots` is their size, `only` leaves the line between them out
//   paint(u, ctx)    draws what lines cannot; with `cells`
//   cells            () => [{ x, y, text }], the places that the keyboard steps through
//   names            { x: [...], y: [...] } of rows and columns instead of numbers
//   label            (name) => how it stands on the axis; all of it is shown under the mouse
//   right            room for a colour scale, in pixels
//   logarithmic      whether both axes are
//   rounded          () => whether its numbers are short decimals, to less than can be seen
//   link             a word: charts of the same word move their cursors together

import uPlot from "./uplot/uPlot.esm.js";
import { element } from "./dom.js";
import { saveCsv, savePng } from "./export.js";
import { formatted } from "./numbers.js";
import { colours, FINE, FONT } from "./theme.js";

const LONGEST_NAME = 18;
const NAME_HEIGHT = 13; // pixels that a name needs along its axis, or across it where it is slanted

const SLANT = 40; // degrees
const GHOST = { light: 0.28, dark: 0.5 }; // of the colour of earlier epochs

export class Chart {
  constructor(spec, about) {
    this.spec = spec;
    this.about = about; // () => what the chart shows now, for titles and names of files
    this.data = [[], ...(spec.lines ?? []).map(() => [])];
    this.xRange = [0, 1];
    this.yRange = [0, 1];
    this.note = "";
    this.build();
  }

  build() {
    const { title } = this.spec;
    this.plotPlace = element("div", { className: "plot", tabIndex: 0, role: "application" }); // its keys are its own
    this.plotPlace.setAttribute("aria-roledescription", "chart");
    this.spoken = element("span", { className: "unseen", role: "status" });
    this.legend = element("figcaption");
    this.tools = [
      element("button", { type: "button", title: `Save “${title}” as a picture`, onclick: () => savePng(this) }, "PNG"),
      element("button", { type: "button", title: `Save “${title}” as a table`, onclick: () => saveCsv(this) }, "CSV"),
    ];
    this.heading = element("h3", {}, title);
    this.root = element("figure", { className: "chart" },
      element("header", {}, this.heading, element("span", { className: "tools" }, ...this.tools)),
      this.plotPlace, this.legend, this.spoken);
    this.plotPlace.addEventListener("keydown", (event) => this.onKey(event));
    if (this.spec.names) this.plotPlace.addEventListener("mousemove", (event) => this.tellName(event));
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.plotPlace);
    this.buildLegend();
  }

  // What the colours and kinds of lines mean: [{ label, colour, kind, line? }].
  legendItems() {
    const { lines = [], legend = [] } = this.spec;
    const ghost = lines.find((line) => line.ghost);
    return [
      ...lines.filter((line) => !line.ghost).map((line) => ({ ...line, kind: kindOf(line), line })),
      ...ghost ? [{ label: "earlier epochs", colour: ghost.colour, kind: "faint" }] : [],
      ...legend,
    ];
  }

  buildLegend() {
    this.readings = new Map();
    const items = this.legendItems().map(({ label, colour, kind, line }) => {
      const swatch = element("i", { className: `swatch ${kind}` });
      swatch.style.color = colours[colour];
      const value = line ? quiet() : "";
      if (line) this.readings.set(line, value);
      return element("span", { className: "item" }, swatch, `${label} `, value);
    });
    this.position = quiet({ className: this.spec.lines ? "position" : "position painted" });
    this.remark = element("span", { className: "remark" }, this.note);
    this.legend.replaceChildren(...items, this.position, this.remark);
  }

  // New numbers: `data` as uPlot wants it, x first; the ranges of the axes; a remark below.
  update({ data, xRange, yRange, title, note = "", label = "" }) {
    this.data = data ?? this.data;
    this.xRange = xRange;
    this.yRange = yRange;
    if (title && title !== this.heading.textContent) this.heading.textContent = title;
    this.note = note;
    this.remark.textContent = note;
    this.plotPlace.setAttribute("aria-label", `${this.heading.textContent}. ${label} ${note}`);
    if (this.plot) this.plot.setData(this.drawable());
    else this.resize();
  }

  // uPlot leaves a gap at null, not at NaN.
  drawable() {
    if (!this.spec.lines) return [this.xRange, [null, null]];
    return this.data.map((row) => (hasGaps(row) ? Array.from(row, (v) => (v === v ? v : null)) : row));
  }

  resize() {
    const width = this.plotPlace.clientWidth;
    if (!width) return;
    if (!this.plot) this.plot = new uPlot(this.options(width), this.drawable(), this.plotPlace);
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.spec.height });
  }

  // Draws everything again, in the colours of the moment.
  restyle() {
    this.plot?.destroy();
    this.plot = null;
    this.buildLegend();
  }

  destroy() {
    this.resizing.disconnect();
    this.plot?.destroy();
    this.root.remove();
  }

  options(width) {
    const { spec } = this;
    const lines = (spec.lines ?? [{ label: "", colour: "exact" }]).map((line) => ({
      label: line.label,
      stroke: line.ghost ? withAlpha(colours[line.colour], GHOST[document.documentElement.dataset.theme]) : colours[line.colour],
      width: line.width ?? 1.6,
      dash: line.dash,
      points: { show: Boolean(line.dots), size: line.dots, width: 0, fill: colours[line.colour] },
      ...(line.only && { paths: () => null }),
      spanGaps: false,
    }));
    return {
      width,
      height: spec.height,
      padding: [8, spec.right ?? 18, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, distr: spec.logarithmic ? 3 : 1, range: () => this.xRange },
        y: { distr: spec.logarithmic ? 3 : 1, range: () => this.yRange, dir: spec.names?.y ? -1 : 1 }, // rows from the top
      },
      axes: [this.axis("x"), this.axis("y")],
      series: [{}, ...lines],
      cursor: {
        drag: { x: false, y: false, setScale: false },
        points: { size: 6, show: Boolean(spec.lines) && ((u, i) => !spec.lines[i - 1].ghost && undefined) },
        x: Boolean(spec.lines), y: false,
        ...(spec.link && { sync: { key: spec.link, setSeries: false } }),
      },
      hooks: {
        drawAxes: spec.under ? [(u) => inPlot(u, spec.under)] : [],
        draw: spec.paint ? [(u) => spec.paint(u, u.ctx)] : [],
        setCursor: [(u) => this.read(u)],
      },
    };
  }

  axis(side) {
    const names = this.spec.names?.[side];
    const style = {
      stroke: colours.faint, font: FONT, labelFont: FONT,
      label: this.spec[side] ?? null, labelSize: 18, labelGap: 2,
      grid: { stroke: colours.grid, width: 1, show: !names },
      ticks: { stroke: colours.line, width: 1, size: 4, show: !names },
      size: side === "x" ? 28 : 58,
      space: side === "x" ? 64 : 32,
      values: (u, splits) => splits.map((v) => (v === null ? "" : formatted(v))),
    };
    if (this.spec.logarithmic) return { ...style, splits: (u, i, low, high) => decades(low, high), filter: (u, splits) => splits };
    if (!names) return style;
    const label = this.spec.label ?? shortened;
    const texts = names.map(label);
    const longest = Math.max(...texts.map(widthOf));
    const slanted = side === "x" && Math.max(...texts.map((text) => text.length)) > 6;
    return {
      ...style,
      size: side === "y" ? 14 + longest : slanted ? 22 + longest * Math.sin((SLANT * Math.PI) / 180) : 28,
      splits: () => names.map((_, i) => i + 0.5),
      values: (u) => legible(u, side, names.map(label), slanted),
      rotate: slanted ? SLANT : 0,
      gap: 6,
    };
  }

  read(u) {
    const { left, top, idx } = u.cursor;
    const away = left === undefined || left < 0;
    if (!this.spec.lines) {
      this.position.textContent = away ? "" : this.spec.hover?.(u, left, top) ?? "";
      return;
    }
    const known = !away && idx !== null && idx !== undefined;
    this.spec.lines.forEach((line, i) => {
      const output = this.readings.get(line);
      if (output) output.textContent = known ? formatted(this.data[i + 1][idx]) : "";
    });
    this.position.textContent = known ? `at ${shortX(said(this.spec.x))} ${formatted(this.data[0][idx])}` : "";
  }

  // The whole name of the row or column whose label is under the mouse.
  tellName({ clientX, clientY }) {
    if (!this.plot) return;
    const { left, top, right, bottom } = this.plot.over.getBoundingClientRect();
    const { x, y } = this.spec.names;
    const slant = this.axis("x").rotate ? (clientY - bottom) / Math.tan((SLANT * Math.PI) / 180) : 0;
    const at = (names, share) => names?.[Math.floor(share * names.length)] ?? "";
    const below = clientY > bottom, beside = clientX < left;
    this.plotPlace.title = below ? at(x, (clientX - slant - left) / (right - left))
      : beside ? at(y, (clientY - top) / (bottom - top)) : "";
  }

  // Arrows move the cursor to the next point or cell; Escape takes it away.
  onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10 }[event.key];
    if (event.key === "Escape") this.plot?.setCursor({ left: -10, top: -10 });
    if (step === undefined || !this.plot) return;
    event.preventDefault();
    event.stopPropagation();
    const places = this.spec.cells?.() ?? Array.from(this.data[0], (x) => ({ x, y: this.yRange[0] }));
    if (!places.length) return;
    this.place = Math.max(0, Math.min(places.length - 1, (this.place ?? -1) + step));
    const { x, y } = places[this.place];
    this.plot.setCursor({ left: this.plot.valToPos(x, "x"), top: this.plot.valToPos(y, "y") });
    const read = [...this.readings].map(([{ label }, { textContent }]) => `${label} ${textContent}`);
    this.spoken.textContent = [this.position.textContent, ...read].join(", ");
  }
}

// What is read off by the mouse is not spoken: it changes too often.
function quiet(properties) {
  const made = element("output", properties);
  made.setAttribute("aria-live", "off");
  return made;
}

// The names of rows or columns; where they would cover each other, only some of them.
function legible(u, side, names, slanted) {
  const room = (side === "x" ? u.bbox.width : u.bbox.height) / uPlot.pxRatio / names.length;
  const needed = slanted ? NAME_HEIGHT / Math.sin((SLANT * Math.PI) / 180) : NAME_HEIGHT;
  const every = Math.ceil(needed / room - 0.2); // a fifth of the line's height is air
  return names.map((name, i) => (i % every ? "" : name));
}

// Draws within the frame of the plot only.
export function inPlot(u, paint) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  paint(u, ctx);
  ctx.restore();
}

// A colour scale to the right of the plot, from `low` at the bottom to `high` at the top; `beyond`
// says at which of its ends there are numbers that it has no colour for.
export function colourScale(u, ctx, { low, high, colour, unit, beyond = {} }) {
  const { bbox } = u;
  const ratio = uPlot.pxRatio;
  const left = bbox.left + bbox.width + 14 * ratio, width = 12 * ratio;
  const height = bbox.height - 18 * ratio, top = bbox.top + 18 * ratio;
  ctx.save();
  for (let i = 0; i < 48; i++) {
    ctx.fillStyle = colour(low + ((i + 0.5) / 48) * (high - low));
    ctx.fillRect(left, top + height * (1 - (i + 1) / 48), width, height / 48 + 1);
  }
  ctx.fillStyle = colours.faint;
  ctx.font = `${11 * ratio}px Roboto, system-ui, sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const value of low < 0 ? [low, 0, high] : [low, high]) {
    const sign = value === high && beyond.high ? "≥ " : value === low && beyond.low ? "≤ " : "";
    ctx.fillText(sign + formatted(value), left + width + 5 * ratio,
      top + height * (1 - (value - low) / (high - low || 1)));
  }
  ctx.fillText(unit, left, bbox.top + 4 * ratio);
  ctx.restore();
}

const hasGaps = (row) => row.some((value) => value !== value);

// Powers of ten; where these are too few, 2 and 5 times them too.
function decades(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = last - first < 3 ? [1, 2, 5] : [1];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return powers.flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
    .filter((value) => value >= low && value <= high);
}

const ruler = document.createElement("canvas").getContext("2d");

// How wide a text is on an axis, in pixels.
function widthOf(text) {
  ruler.font = FONT;
  return ruler.measureText(text).width;
}

// A text, or what a function says at the moment.
export const said = (text) => (typeof text === "function" ? text() : text);

const shortX = (label) => label.replace(/\s*\[.*$/, "");

export const shortened = (name) => (
  name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 6)}…${name.slice(-5)}`
);

const kindOf = ({ only, dash }) => (only ? "dotted" : dash === FINE ? "fine" : dash ? "dashed" : "solid");

function withAlpha(colour, alpha) {
  return `${colour}${Math.round(255 * alpha).toString(16).padStart(2, "0")}`;
}
