// Light or dark, as TensorBoard is at the moment. The colours are those of the pictures
// that the monitor draws: told apart by the colour-blind too (Okabe and Ito, 2008).

const THEMES = {
  light: {
    page: "#ffffff", ink: "#1f2328", faint: "#656d76", grid: "#e8eaed", line: "#c9ced6",
    exact: "#0072b2", scale: "#d55e00", target: "#9aa1a9",
    negative: "#2166ac", zero: "#f7f7f7", positive: "#b2182b",
  },
  dark: {
    page: "#1e1f22", ink: "#e8eaed", faint: "#a5abb3", grid: "#34373c", line: "#565b63",
    exact: "#56b4e9", scale: "#ff9e4a", target: "#7d848d",
    negative: "#5aa9e6", zero: "#2b2d31", positive: "#ff7a66",
  },
};

export const colours = { ...THEMES.light };

export const FONT = "12px Roboto, system-ui, sans-serif";
export const FINE = [2, 3]; // a line of dots

// Calls `changed` whenever the theme is another one than before. Gives what chooses one by name, ""
// for the system's; in TensorBoard nothing, because it has a choice of its own.
export function followTheme(changed) {
  const outside = hostBody();
  let chosen = "";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const update = () => {
    const dark = outside ? outside.classList.contains("dark-mode") : system.matches;
    const name = chosen || (dark ? "dark" : "light");
    if (document.documentElement.dataset.theme === name) return;
    document.documentElement.dataset.theme = name;
    Object.assign(colours, THEMES[name]);
    for (const [key, value] of Object.entries(colours)) {
      document.documentElement.style.setProperty(`--${key}`, value);
    }
    changed();
  };
  if (outside) new MutationObserver(update).observe(outside, { attributeFilter: ["class"] });
  else system.addEventListener("change", update);
  update();
  return outside ? null : (name) => {
    chosen = name;
    update();
  };
}

// TensorBoard's page around ours, where it lets itself be seen.
function hostBody() {
  try {
    const { document: page } = window.parent;
    return window.parent !== window && page.querySelector("tb-webapp") ? page.body : null;
  } catch {
    return null;
  }
}

export function faded(colour, alpha) {
  const [red, green, blue] = channels(colour);
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

// A colour for a number of either sign; `share` from -1 to 1.
export function diverging(share) {
  if (!(share === share)) return channels(colours.grid);
  const end = channels(share < 0 ? colours.negative : colours.positive);
  return between(channels(colours.zero), end, Math.min(1, Math.abs(share)));
}

// A colour for a number from 0 on; `share` from 0 to 1.
export function rising(share) {
  if (!(share === share)) return channels(colours.grid);
  return between(channels(colours.zero), channels(colours.exact), Math.min(1, share));
}

export const css = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

const between = (a, b, share) => a.map((from, i) => Math.round(from + share * (b[i] - from)));
