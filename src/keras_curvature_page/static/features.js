// What the function makes of each input, as a table that sorts by any of its columns.

import { element } from "./dom.js";
import { formatted } from "./numbers.js";

const TITLE = "Features at a glance, in standard deviations (FFCA)";

// A panel like those of charts, which the column shows at every step.
export function featureTable(view) {
  const { profile_columns: numbers } = view.probe.header;
  const state = { by: 1, falling: true, rows: [] }; // columns: the name, numbers, the archetype
  const last = numbers.length + 1;
  const body = element("tbody");
  const heads = ["input", ...numbers.map(([name]) => name), "archetype"].map((name, i) => {
    const button = element("button", { type: "button", onclick: () => sort(i) }, name);
    const [, unit, sentence, formula] = numbers[i - 1] ?? [];
    if (unit) button.title = `[${unit}]\n${sentence}\n${formula}`;
    return element("th", { scope: "col" }, button);
  });
  const caption = element("caption", {}, TITLE);
  const table = element("table", { className: "features" }, caption, element("thead", {}, element("tr", {}, ...heads)), body);
  const root = element("figure", { className: "chart" }, element("div", { className: "scrolls" }, table));

  function sort(by) {
    // Numbers begin with the largest, words with the first.
    const falling = by > 0 && by < last;
    state.falling = by === state.by ? !state.falling : falling;
    state.by = by;
    fill();
  }

  function fill() {
    const { by, falling, rows } = state;
    heads.forEach((head, i) => {
      if (i === by) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren(...[...rows].sort(order(by, falling)).map(({ cells, meaning }) => element("tr", {},
      element("th", { scope: "row", title: cells[0] }, view.label(cells[0])),
      ...cells.slice(1, last).map((value) => element("td", {}, formatted(value))),
      element("td", { className: "word", title: meaning }, cells[last] || "\u2013"))));
  }

  const chart = { root, restyle() {}, destroy: () => root.remove() };
  return {
    key: "profiles",
    chart,
    reach: () => ({}),
    show({ header: { profiles = [] }, arrays }) {
      const { values = [], shape = [0, 0] } = arrays.profiles ?? {};
      state.rows = profiles.map(([name, archetype, meaning], i) => (
        { cells: [name, ...values.slice(i * shape[1], (i + 1) * shape[1]), archetype], meaning }
      ));
      fill();
    },
  };
}

// What is not a number comes last, whichever way.
function order(by, falling) {
  const sign = falling ? -1 : 1;
  return ({ cells: { [by]: a } }, { cells: { [by]: b } }) => {
    if (typeof a === "string") return sign * a.localeCompare(b);
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  };
}
