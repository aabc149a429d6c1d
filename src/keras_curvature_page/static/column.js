// One run at one step: the verdict, the numbers, and the charts that fit its inputs.

import { changeBars, distribution, featureBars, grids, heatMap, words } from "./areas.js";
import { shortened } from "./chart.js";
import { element } from "./dom.js";
import { featureTable } from "./features.js";
import { againstDistance, GHOSTS, oneInput, slices } from "./lines.js";
import { maps } from "./maps.js";
import { epochName, formatted, union } from "./numbers.js";

const SHARE = "0 to 1"; // a unit that only explains

const VERSION = 1; // of what the monitor writes

export class Column {
  constructor(series, choices) {
    this.series = series;
    this.choices = choices;
    this.panels = null;
    this.packet = null;
    this.built = "";
    this.verdict = element("p", { className: "verdict" });
    this.moment = element("p", { className: "moment" });
    this.numbers = element("dl", { className: "numbers" });
    this.meanings = element("details", { className: "diagnosis" });
    this.shape = element("ul", { className: "shape" });
    this.diagnosis = element("details", { className: "diagnosis" });
    this.charts = element("div", { className: "charts" });
    this.root = element("section", { className: "column" },
      element("header", {}, element("h2", {}, series.label), this.moment, this.verdict, this.numbers, this.meanings, this.shape, this.diagnosis),
      this.charts);
    this.root.setAttribute("aria-label", series.label);
  }

  get probe() { return this.series.probe; }

  entry() { return Math.min(this.choices.entry, this.probe.header.entries - 1); }

  map() { return this.choices.map; }

  feature() { return Math.max(0, this.probe.header.names.indexOf(this.choices.feature)); }

  // A name as it stands beside a chart: cut so that it can be told from the others.
  label(name) {
    const { names, labels } = this.probe.header;
    const { features = [], labels: own } = this.packet.header;
    return labels?.[names.indexOf(name)] ?? own?.[features.indexOf(name)] ?? shortened(name);
  }

  about() { return `${this.series.label}, ${epochName(this.packet.step)}`; }

  // Earlier steps to draw faintly, and by which axes stay the same: evenly spread, ends included.
  anchors() {
    const { steps } = this.series;
    const count = Math.min(steps.length, GHOSTS + 1);
    return [...new Set(Array.from({ length: count }, (_, i) => (
      steps[Math.round((i * (steps.length - 1)) / Math.max(1, count - 1))]
    )))];
  }

  // What `draw` needs at `step`.
  needs(step) { return [this.series.at(step), ...this.anchors()]; }

  has(step) { return this.series.complete && this.needs(step).every((s) => this.series.cache.has(s)); }

  // The packet that has the curvature over distances: estimates have one at a few steps only.
  distances(packet) {
    const own = packet.arrays.spectrum ? packet : this.series.latest("distances", packet.step);
    return own?.arrays.spectrum ? own : null;
  }

  // Takes the packets of a step; whether there is something to draw.
  take(step) {
    this.packet = this.series.get(this.series.at(step));
    const shown = this.packet.step;
    const other = shown !== step ? ` (the last measured up to ${epochName(step)})` : "";
    this.moment.textContent = `${epochName(shown)}${other}`;
    return this.attempt(() => {
      const known = this.anchors().map((s) => this.series.get(s)).filter((p) => p?.header);
      this.known = known;
      this.earlier = known.filter((p) => p.step < shown).slice(-GHOSTS);
      this.diagnose(this.series.latest("diagnosis", shown));
      this.describe();
      this.build();
      this.charts.hidden = false;
      return true;
    });
  }

  // A packet may be whole and yet not hold what this page knows: then only its column says so.
  attempt(action) {
    try {
      const { version } = this.probe.header;
      if (version === VERSION) return action();
      this.unreadable(`This run was written by another version of keras-curvature (format ${version}, not ${VERSION}).`);
    } catch {
      this.unreadable("The record of this step cannot be read.");
    }
    return null;
  }

  unreadable(reason) {
    this.verdict.textContent = reason;
    this.numbers.replaceChildren();
    this.meanings.hidden = true;
    this.shape.hidden = true;
    this.diagnosis.hidden = true;
    this.charts.hidden = true;
  }

  describe() {
    const { verdict, numbers, shape = [] } = this.packet.header;
    const { meanings } = this.probe.header;
    this.verdict.textContent = verdict.sentence;
    this.verdict.dataset.kind = verdict.kind;
    this.numbers.replaceChildren(...Object.entries(numbers).map(([name, value]) => {
      const [unit = "", sentence, formula] = meanings[name] ?? [];
      const title = [`${name}${unit && ` [${unit}]`}`, sentence, formula].filter(Boolean).join("\n");
      return element("div", { title },
        element("dt", {}, name),
        element("dd", {}, formatted(value), element("small", {}, unit === SHARE ? "" : ` ${unit}`)));
    }));
    this.explain(Object.keys(numbers), meanings);
    this.shape.hidden = !shape.length;
    this.shape.replaceChildren(...shape.map((sentence) => element("li", {}, sentence)));
  }

  // The same as the mouse finds at each number, for those who have none.
  explain(names, meanings) {
    this.meanings.hidden = false;
    const known = JSON.stringify(names);
    if (this.explained === known) return;
    this.explained = known;
    this.meanings.replaceChildren(
      element("summary", {}, "What these numbers mean"),
      element("dl", {}, ...names.flatMap((name) => {
        const [unit, sentence, formula] = meanings[name] ?? [];
        return [element("dt", {}, `${name}${unit && ` [${unit}]`}`), element("dd", {}, [sentence, formula].filter(Boolean).join(". "))];
      })));
  }

  // What was found out about the model, before training and after it.
  diagnose(packet) {
    this.diagnosis.hidden = !packet?.header;
    if (this.diagnosis.hidden || this.diagnosed === packet) return;
    this.diagnosed = packet;
    const { headline, opening, findings, left_out: leftOut, checks } = packet.header;
    const said = ({ title, ...sentences }) => element("li", {}, element("strong", {}, title),
      ...Object.entries(sentences).map(([name, text]) => element("p", {}, element("em", {}, name), ` ${text}`)));
    this.diagnosis.replaceChildren(
      element("summary", {}, `${headline}, ${epochName(packet.step)}`),
      element("p", {}, opening),
      element("ol", {}, ...findings.map(said)),
      leftOut ? element("p", {}, `${leftOut} more in the text dashboard.`) : "",
      element("p", { title: checks.join("\n") }, `${checks.length} checks were made.`));
  }

  // Charts are made anew only for another kind of run or of map.
  build() {
    const { inputs } = this.probe.header;
    const { arrays, header } = this.packet;
    const wanted = JSON.stringify([
      this.probe.step, this.map(), Boolean(this.distances(this.packet)),
      header.features?.length, header.changes?.length, header.pairs, Boolean(arrays.interactions),
      header.profiles?.length,
    ]);
    if (this.built === wanted) return;
    this.built = wanted;
    this.panels?.forEach(({ chart }) => chart.destroy());
    const changes = header.changes ? [changeBars(this)] : [];
    const own = inputs === 1 ? [...oneInput(this), ...changes]
      : inputs === 2 ? changes : arrays.grid ? grids(this) : this.byInput(changes);
    const { laplacian_quantiles: laplacian } = arrays;
    const table = header.profiles && this.probe.header.profile_columns ? [featureTable(this)] : [];
    this.panels = [
      ...own,
      ...table,
      ...maps(this),
      ...(laplacian ? [distribution(this)] : []),
      ...againstDistance(this),
    ];
    this.charts.replaceChildren(
      !laplacian ? element("p", { className: "remark" }, estimates(this.probe.header)) : "",
      ...this.panels.map(({ chart }) => chart.root));
  }

  // Bars, which inputs act together, and slices.
  byInput(changes) {
    const { arrays, header: { features = [], pairs } } = this.packet;
    return [
      ...(features.length ? [featureBars(this)] : []),
      ...changes,
      ...(arrays.interactions ? [heatMap(this)] : pairs ? [words("Which inputs act together", pairs)] : []),
      ...slices(this),
    ];
  }

  // Computes what depends on the probe alone a single time.
  once(key, compute) { return remembered(this.probe, key, compute); }

  // How far each chart has to reach, by what it has to share axes with; null if that is not known.
  limits(sameAxes) { return this.attempt(() => this.reaches(sameAxes)); }

  reaches(sameAxes) {
    const { inputs, curvature_unit: unit } = this.probe.header;
    const packets = sameAxes ? [...this.known, this.packet] : [this.packet];
    return this.panels.map((panel) => {
      const along = panel.key.startsWith("slice") ? this.choices.feature : "";
      const place = [panel.key, inputs, unit, along].join(); // charts of one place share their axes
      const own = [panel.shows ?? "", place, this.entry(), this.feature()].join();
      const reaches = packets.map((packet) => remembered(packet, own, () => panel.reach(packet)));
      const merged = {};
      for (const side of ["x", "y", "z"]) merged[side] = union(...reaches.map((r) => r[side]));
      return [place, merged];
    });
  }

  draw(limits) {
    this.attempt(() => this.panels.forEach((panel, i) => panel.show(this.packet, this.earlier, limits[i])));
  }

  restyle() {
    this.panels?.forEach(({ chart }) => chart.restyle());
  }

  destroy() {
    this.panels?.forEach(({ chart }) => chart.destroy());
    this.root.remove();
  }
}

// Why there is no chart where one was to be expected.
const estimates = ({ inputs, points }) => (
  `${inputs.toLocaleString("en")} inputs: the numbers are estimates from random directions at ${points} `
  + "probe points, and no single point's is sure enough to be drawn. The Images dashboard shows "
  + "examples from near."
);

function remembered(packet, key, compute) {
  if (!packet.memo.has(key)) packet.memo.set(key, compute());
  return packet.memo.get(key);
}
