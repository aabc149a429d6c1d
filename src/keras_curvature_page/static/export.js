// Saves what a chart shows, as a picture and as a table.

import { element } from "./dom.js";
import { colours, FINE, FONT } from "./theme.js";

const MARGIN = 16, LINE = 20, SWATCH = 20; // pixels
const DIGITS = 10; // that a rounded number may have: see fixed_point.py

export function savePng(chart) {
  const drawn = chart.plot.ctx.canvas;
  const ratio = drawn.width / chart.plot.width;
  const items = chart.legendItems();
  const canvas = element("canvas");
  const ctx = canvas.getContext("2d");
  ctx.font = FONT;
  const notes = folded(ctx, chart.note, chart.plot.width);
  canvas.width = drawn.width + 2 * MARGIN * ratio;
  canvas.height = drawn.height + (2 * MARGIN + LINE * (items.length + notes.length + 2.2)) * ratio;
  ctx.scale(ratio, ratio);
  ctx.fillStyle = colours.page;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.textBaseline = "top";
  ctx.fillStyle = colours.ink;
  ctx.font = "bold 14px Roboto, system-ui, sans-serif";
  ctx.fillText(chart.heading.textContent, MARGIN, MARGIN);
  ctx.font = FONT;
  ctx.fillStyle = colours.faint;
  ctx.fillText(chart.about(), MARGIN, MARGIN + LINE);
  ctx.drawImage(drawn, MARGIN, MARGIN + 2 * LINE, chart.plot.width, chart.plot.height);
  let top = MARGIN + 2.2 * LINE + chart.plot.height;
  for (const { label, colour, kind } of items) {
    swatch(ctx, colours[colour], kind, MARGIN, top + 6);
    ctx.fillStyle = colours.ink;
    ctx.fillText(label, MARGIN + SWATCH + 8, top);
    top += LINE;
  }
  ctx.fillStyle = colours.faint;
  for (const line of notes) {
    ctx.fillText(line, MARGIN, top);
    top += LINE;
  }
  canvas.toBlob((blob) => save(blob, `${fileName(chart)}.png`), "image/png");
}

// A piece of a line as the chart draws it; kinds as in the style sheet.
function swatch(ctx, colour, kind, left, middle) {
  const { width, dash = [], alpha = 1 } = {
    solid: { width: 2.5 }, dashed: { width: 2.5, dash: [5, 4] }, fine: { width: 2, dash: FINE },
    faint: { width: 1.5, alpha: 0.4 }, dotted: { width: 4, dash: [4, 6] }, block: { width: 9, alpha: 0.65 },
  }[kind];
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.globalAlpha = alpha;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(left, middle);
  ctx.lineTo(left + SWATCH, middle);
  ctx.stroke();
  ctx.restore();
}

// A text as lines that are no wider than `width`.
function folded(ctx, text, width) {
  const lines = [];
  for (const word of text ? text.split(" ") : []) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && ctx.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

export function saveCsv(chart) {
  const columns = chart.spec.table();
  const rounded = chart.spec.rounded?.();
  const count = Math.max(...columns.map(({ values }) => values.length));
  const rows = [columns.map(({ name }) => cell(name))];
  for (let i = 0; i < count; i++) rows.push(columns.map(({ values, exact }) => cell(values[i], !exact && rounded)));
  const text = `${rows.map((row) => row.join(",")).join("\r\n")}\r\n`;
  save(new Blob([text], { type: "text/csv" }), `${fileName(chart)}.csv`);
}

// A rounded number is a short decimal, and arithmetic adds what is none of it. A spreadsheet must not
// take a name for a formula.
function cell(value, rounded) {
  if (typeof value === "number") {
    return Number.isFinite(value) ? String(rounded ? Number(value.toPrecision(DIGITS)) : value) : "";
  }
  const text = /^[=+\-@\t\r]/.test(value ?? "") ? `'${value}` : value ?? "";
  return `"${text.replaceAll('"', '""')}"`;
}

const fileName = (chart) => (
  `${chart.about()} ${chart.heading.textContent}`.replaceAll("∂", "d").replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 120)
);

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
