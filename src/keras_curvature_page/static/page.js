// The page: runs side by side at the epoch of one slider. Where its data come from `source` says.

import { Column } from "./column.js";
import { element, takesKeys } from "./dom.js";
import { mapsOf } from "./maps.js";
import { epochName, epochOf, union } from "./numbers.js";
import { loadProbes, loadSeldom, loadSteps, MEMORY, Series } from "./packets.js";
import { followTheme } from "./theme.js";

const AHEAD = 12; // steps that are fetched together before they are asked for
const REST = 150; // ms without a move, after which the slider rests
const FIRST_CHOSEN = 3; // runs that are shown to begin with

class Page {
  constructor(source) {
    this.source = source;
    this.series = new Map();
    this.columns = new Map();
    this.steps = [];
    this.step = null;
    this.turn = 0;
    this.choices = { sameAxes: true, sameColours: false, map: "laplacian", entry: 0, feature: null };
    this.build();
    this.theme = followTheme(() => this.restyle());
    this.themes.label.hidden = !this.theme;
  }

  build() {
    this.play = element("button", { type: "button", className: "play", onclick: () => this.toggle() });
    this.slider = element("input", { type: "range", min: 0, max: 0, value: 0, step: 1, id: "epoch" });
    this.slider.setAttribute("aria-label", "Epoch");
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.epoch = element("output", { className: "epoch" });
    this.speed = select("Speed", [[5, "5 per second"], [10, "10 per second"], [30, "30 per second"], [100, "100 per second"]]);
    this.speed.control.value = "10";
    this.same = element("input", { type: "checkbox", checked: true, onchange: () => this.choose("sameAxes", this.same.checked) });
    this.colours = element("input", { type: "checkbox", onchange: () => this.choose("sameColours", this.colours.checked) });
    this.map = select("Map", [], (value) => this.choose("map", value));
    this.feature = select("Slice along", [], (value) => this.choose("feature", value));
    this.entry = select("Output entry", [], (value) => this.choose("entry", Number(value)));
    this.themes = select("Theme", [["", "as the system"], ["light", "light"], ["dark", "dark"]], (name) => this.theme(name));
    this.note = element("p", { className: "note", role: "status" });
    this.broken = element("details", { className: "diagnosis", hidden: true });
    this.footer = element("footer", {}, this.note, this.broken);
    this.runs = element("ul");
    this.main = element("main");
    document.documentElement.lang = "en";
    document.title ||= "Curvature";
    document.body.replaceChildren(
      element("header", { className: "bar" }, element("h1", { className: "unseen" }, "Curvature"),
        element("div", { className: "transport" }, this.play, this.slider, this.epoch),
        element("div", { className: "options" }, this.speed.label,
          element("label", { title: "Axes that stay while the epoch changes, the same for all runs" }, this.same, " Same axes"),
          this.sameColours = element("label", { title: "One colour scale for all runs of one quantity" }, this.colours, " Same colours"),
          this.map.label, this.feature.label, this.entry.label, this.themes.label,
          element("span", { className: "keys" }, "← → one epoch · Page ↑↓ ten · Home, End · Space plays"))),
      element("div", { className: "below" },
        element("aside", {}, element("h2", {}, "Runs"), this.runs), this.main), this.footer);
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.showPlaying(false);
  }

  async start() {
    await this.reload();
    this.source.follow(() => this.reload());
  }

  // Asks what there is, and goes on to the last step if that is where we were.
  async reload() {
    let told;
    try {
      told = await this.source.runs();
    } catch (error) {
      this.tell(error.message);
      return;
    }
    this.tellBroken(told.broken ?? []);
    const first = !this.series.size;
    const atEnd = this.step === null || this.step === this.steps.at(-1);
    let changed = false;
    const present = new Set();
    for (const listed of told.series) {
      const fresh = new Series(listed);
      present.add(fresh.key);
      const known = this.series.get(fresh.key);
      if (!known) this.series.set(fresh.key, fresh);
      changed = (known ? known.update(listed) : true) || changed;
    }
    for (const key of [...this.series.keys()].filter((k) => !present.has(k))) {
      this.series.delete(key);
      changed = true;
    }
    if (!changed && this.told) return;
    this.told = true;
    distinguish([...this.series.values()]);
    if (first) this.openFirst();
    this.listRuns();
    this.kept = told.kept;
    await this.settle(atEnd);
  }

  // Records of the log that could not be read, each in a sentence.
  tellBroken(sentences) {
    this.broken.hidden = !sentences.length;
    if (this.broken.hidden) return;
    this.broken.replaceChildren(
      element("summary", {}, `Broken in the log: ${sentences.length} ${sentences.length === 1 ? "record" : "records"}, all others are shown`),
      element("ol", {}, ...sentences.map((sentence) => element("li", {}, sentence))));
  }

  // The first runs of one folder: those that are meant to be compared.
  openFirst() {
    const folder = ({ label }) => label.slice(0, label.lastIndexOf("/") + 1);
    const all = [...this.series.values()];
    all.filter((series) => folder(series) === folder(all[0])).slice(0, FIRST_CHOSEN)
      .forEach(({ key }) => this.open(key));
  }

  open(key) {
    const column = new Column(this.series.get(key), this.choices);
    this.columns.set(key, column);
  }

  listRuns() {
    const items = [...this.series.values()].map((series) => {
      const box = element("input", {
        type: "checkbox", checked: this.columns.has(series.key),
        onchange: () => this.toggleRun(series.key, box.checked),
      });
      return element("li", {}, element("label", { title: series.label }, box, element("span", {}, series.label)));
    });
    this.runs.replaceChildren(...items);
  }

  toggleRun(key, on) {
    if (on) this.open(key);
    else {
      this.columns.get(key)?.destroy();
      this.columns.delete(key);
    }
    return this.settle(false);
  }

  // After a change of runs or steps: columns in the order of the list, one slider for all.
  async settle(toEnd) {
    for (const [key, column] of [...this.columns]) {
      if (!this.series.has(key)) {
        column.destroy();
        this.columns.delete(key);
      }
    }
    const open = [...this.series.keys()].filter((key) => this.columns.has(key));
    const shown = open.map((key) => this.columns.get(key));
    shown.forEach(({ series }) => { series.room = MEMORY / shown.length; });
    this.main.replaceChildren(...shown.map(({ root }) => root));
    this.main.classList.toggle("single", shown.length === 1);
    this.steps = [...new Set(shown.flatMap(({ series }) => series.steps))].sort((a, b) => a - b);
    this.slider.max = Math.max(0, this.steps.length - 1);
    (this.steps.length ? this.footer : this.main).append(this.note); // where one looks
    if (!this.steps.length) {
      this.epoch.textContent = "";
      this.tell(this.series.size ? "Choose a run from the list." : "No run has curvature data yet.");
      return;
    }
    const index = toEnd ? this.steps.length - 1 : Math.max(0, this.steps.findLastIndex((s) => s <= this.step));
    await this.go(index);
    this.offer(shown);
  }

  // The choices that make sense for the runs that are open.
  offer(shown) {
    const headers = shown.map(({ probe }) => probe?.header).filter(Boolean);
    const maps = new Map(shown.filter(({ probe }) => probe?.header).flatMap(({ probe }) => mapsOf(probe)));
    this.map.label.hidden = maps.size < 2;
    fillSelect(this.map.control, [...maps], maps.has(this.choices.map) ? this.choices.map : [...maps.keys()][0]);
    this.sameColours.hidden = shown.length < 2 || !headers.some(({ inputs }) => inputs > 1);
    const names = [...new Set(shown.filter(({ probe }) => probe?.arrays.slice_x).flatMap(({ probe }) => probe.header.names))];
    this.feature.label.hidden = !names.length;
    fillSelect(this.feature.control, names.map((name) => [name, name]), this.choices.feature);
    const entries = Math.max(1, ...headers.map((header) => Math.min(4, header.entries)));
    this.entry.label.hidden = entries < 2;
    fillSelect(this.entry.control, Array.from({ length: entries }, (_, i) => [i, String(i)]), this.choices.entry);
    const most = Math.max(...shown.map(({ series }) => series.steps.length));
    const rounded = shown.some(({ packet }) => packet?.rounded);
    this.tell(this.kept && most >= this.kept
      ? `TensorBoard keeps a sample of ${this.kept} steps per run; start it with --samples_per_plugin curvature=0 for all of them.`
      : rounded ? "There are so many steps that curves, maps and bars are rounded here, to 1/10,000 of what their chart spans at each step." : "");
  }

  choose(what, value) {
    this.choices[what] = value;
    this.go(Number(this.slider.value));
  }

  // Shows the step at this place of the slider, as soon as its data is here.
  async go(index) {
    const begin = performance.now();
    const step = this.steps[Math.max(0, Math.min(this.steps.length - 1, index))];
    const turn = ++this.turn;
    this.step = step;
    this.slider.value = index;
    this.slider.setAttribute("aria-valuetext", epochName(step));
    this.epoch.textContent = epochOf(step, this.steps.at(-1));
    const columns = [...this.columns.values()];
    if (!columns.every((column) => column.has(step))) {
      try {
        const open = columns.map(({ series }) => series);
        await Promise.all([loadProbes(this.source, open), loadSeldom(this.source, open)]);
        await loadSteps(this.source, columns.map((column) => [column.series, column.needs(step)]));
      } catch (error) {
        this.tell(error.message);
        return;
      }
      if (turn !== this.turn) return;
    }
    this.draw(step, columns);
    performance.measure("curvature move", { start: begin, end: performance.now() });
    this.prefetch(index, columns);
  }

  draw(step, columns) {
    const taken = columns.filter((column) => column.take(step));
    this.chooseFeature(taken);
    const found = taken.map((column) => [column, column.limits(this.choices.sameAxes)]);
    const sound = found.filter(([, limits]) => limits);
    const { sameAxes, sameColours } = this.choices;
    const all = byPlace(sound.flatMap(([, limits]) => limits));
    for (const [column, limits] of sound) {
      const coloured = sameColours ? all : byPlace(limits);
      column.draw(limits.map(([place, own]) => ({ ...(sameAxes ? all.get(place) : own), z: coloured.get(place).z })));
    }
  }

  // The slice goes along the most curved input until another is chosen, and wherever no open
  // run has the input that was chosen for others.
  chooseFeature(columns) {
    const sliced = columns.filter(({ probe }) => probe.arrays.slice_x);
    if (!sliced.length || sliced.some(({ probe }) => probe.header.names.includes(this.choices.feature))) return;
    this.choices.feature = sliced[0].packet.header.features[0];
  }

  // When the slider rests, or plays: the steps ahead and behind, so that it finds them here;
  // then all others, first far apart and then closer, as long as there is room.
  prefetch(index, columns) {
    clearTimeout(this.waiting);
    const turn = this.turn;
    const around = [index - 1, ...range(index + 1, index + 1 + AHEAD), index - 2, index - 3];
    this.waiting = setTimeout(async () => {
      const open = columns.map(({ series }) => series);
      for (const places of this.playing ? [around] : [around, ...coarseToFine(this.steps.length)]) {
        if (turn !== this.turn && !this.playing) return;
        const steps = places.map((i) => this.steps[i]).filter((step) => step !== undefined);
        const pairs = open.filter((series) => !series.full).map((series) => [series, steps.map((step) => series.at(step))]);
        if (!pairs.length) return;
        try {
          await loadSteps(this.source, pairs);
        } catch {
          return; // what is not here then is asked for again when it is shown
        }
      }
    }, this.playing ? 0 : REST);
  }

  toggle() {
    if (this.playing) return this.showPlaying(false);
    if (Number(this.slider.value) >= this.steps.length - 1) this.slider.value = 0;
    this.showPlaying(true);
    return this.run();
  }

  // As many epochs a second as asked for; where drawing takes longer, some are passed over.
  async run() {
    const from = Number(this.slider.value), begin = performance.now();
    let index = from;
    while (this.playing) {
      await this.go(index);
      if (index >= this.steps.length - 1) break;
      const speed = Number(this.speed.control.value);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, 1000 / speed - 10)));
      await new Promise(requestAnimationFrame);
      const due = from + Math.floor(((performance.now() - begin) / 1000) * speed);
      index = Math.min(this.steps.length - 1, Math.max(index + 1, due));
    }
    this.showPlaying(false);
  }

  showPlaying(playing) {
    this.playing = playing;
    this.play.textContent = playing ? "❚❚" : "▶";
    this.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.play.title = playing ? "Pause (space)" : "Play (space)";
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target !== this.slider && takesKeys(event.target)) return;
    const last = this.steps.length - 1, here = Number(this.slider.value);
    const to = {
      ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here + 10, PageDown: here - 10, Home: 0, End: last,
    }[event.key];
    if (event.key === " ") this.toggle();
    else if (to !== undefined) this.go(Math.max(0, Math.min(last, to)));
    else return;
    event.preventDefault();
  }

  tell(text) {
    this.note.textContent = text;
  }

  restyle() {
    this.columns.forEach((column) => column.restyle());
    if (this.step !== null) this.go(Number(this.slider.value));
  }
}

// Runs that would be called the same have their whole names.
function distinguish(all) {
  const alike = (series) => all.filter(({ label }) => label === series.label).length > 1;
  for (const series of all.filter(alike)) {
    const { run, name, output } = series.listed;
    series.label = `${run} (${name})${output && ` · ${output}`}`;
  }
}

// How far all charts of one place reach together.
function byPlace(limits) {
  const reached = new Map();
  for (const [place, own] of limits) {
    const known = reached.get(place) ?? {};
    reached.set(place, Object.fromEntries(["x", "y", "z"].map((side) => [side, union(known[side], own[side])])));
  }
  return reached;
}

const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

// The places 0 to count - 1 in portions: ever closer to each other.
function coarseToFine(count) {
  const order = [];
  for (let stride = 2 ** Math.floor(Math.log2(Math.max(1, count))); stride >= 1; stride /= 2) {
    for (let i = 0; i < count; i += stride) if (i % (2 * stride) || !order.length) order.push(i);
  }
  return range(0, Math.ceil(order.length / AHEAD)).map((i) => order.slice(i * AHEAD, (i + 1) * AHEAD));
}

function select(name, options, changed = () => {}) {
  const control = element("select", { onchange: () => changed(control.value) });
  fillSelect(control, options);
  return { control, label: element("label", {}, `${name} `, control) };
}

function fillSelect(control, options, chosen) {
  control.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
  if (chosen !== undefined && chosen !== null) control.value = chosen;
}

export async function open(source) {
  const begin = performance.now();
  await new Page(source).start();
  performance.measure("curvature load", { start: begin, end: performance.now() });
}
