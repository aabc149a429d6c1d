// Saves what a chart shows, as a picture and as a table.

import { element } from "./dom.js";
import { colours } from "./theme.js";

const MARGIN = 16, LINE = 20;

export function savePng(chart) {
  const drawn = chart.plot.ctx.canvas;
  const ratio = drawn.width / chart.plot.width;
  const lines = [chart.about(), ...legendLines(chart)];
  const canvas = element("canvas");
  canvas.width = drawn.width + 2 * MARGIN * ratio;
  canvas.height = drawn.height + (2 * MARGIN + LINE * (lines.length + 1.5)) * ratio;
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.fillStyle = colours.page;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.textBaseline = "top";
  ctx.fillStyle = colours.ink;
  ctx.font = "bold 14px Roboto, system-ui, sans-serif";
  ctx.fillText(chart.heading.textContent, MARGIN, MARGIN);
  ctx.font = "12px Roboto, system-ui, sans-serif";
  ctx.fillStyle = colours.faint;
  ctx.fillText(lines[0], MARGIN, MARGIN + LINE);
  ctx.drawImage(drawn, MARGIN, MARGIN + 2 * LINE, chart.plot.width, chart.plot.height);
  let top = MARGIN + 2.2 * LINE + chart.plot.height;
  for (const { text, colour } of lines.slice(1)) {
    ctx.fillStyle = colour;
    ctx.fillRect(MARGIN, top + 6, 14, 3);
    ctx.fillStyle = colours.ink;
    ctx.fillText(text, MARGIN + 20, top);
    top += LINE;
  }
  canvas.toBlob((blob) => save(blob, `${fileName(chart)}.png`), "image/png");
}

function legendLines(chart) {
  return (chart.spec.lines ?? [])
    .filter((line) => !line.ghost)
    .map((line) => ({ text: line.label, colour: colours[line.colour] }));
}

export function saveCsv(chart) {
  const columns = chart.spec.table();
  const count = Math.max(...columns.map(({ values }) => values.length));
  const rows = [columns.map(({ name }) => cell(name))];
  for (let i = 0; i < count; i++) rows.push(columns.map(({ values }) => cell(values[i])));
  const text = `${rows.map((row) => row.join(",")).join("\r\n")}\r\n`;
  save(new Blob([text], { type: "text/csv" }), `${fileName(chart)}.csv`);
}

// A spreadsheet must not take a name for a formula.
function cell(value) {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = /^[=+\-@\t\r]/.test(value ?? "") ? `'${value}` : value ?? "";
  return `"${text.replaceAll('"', '""')}"`;
}

const fileName = (chart) => (
  `${chart.about()} ${chart.heading.textContent}`.replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 120)
);

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
